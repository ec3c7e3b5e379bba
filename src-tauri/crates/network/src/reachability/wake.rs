//! Noticing that the device slept.
//!
//! No system tells a plain program on all three platforms, but the wall clock does: it jumps over
//! the sleep, and so it does when the program was stopped and continued.

use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

const STEP: Duration = Duration::from_secs(5);
/// A busy machine may be late by some seconds; a sleep is longer.
const LATE: Duration = Duration::from_secs(10);

/// Sends once after each sleep, until the receiver is gone.
pub(super) async fn watch(woke: mpsc::Sender<()>) {
    loop {
        // Measured around the pause alone: slow work elsewhere must not look like sleep.
        let before = SystemTime::now();
        tokio::time::sleep(STEP).await;
        if slept(before, SystemTime::now()) {
            tracing::info!("The device woke up");
            if woke.send(()).await.is_err() {
                return;
            }
        } else if woke.is_closed() {
            return;
        }
    }
}

/// A clock set back says nothing about sleep.
fn slept(before: SystemTime, after: SystemTime) -> bool {
    after
        .duration_since(before)
        .is_ok_and(|passed| passed > STEP + LATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_is_a_sleep_and_a_late_timer_is_not() {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert!(!slept(then, then + STEP));
        assert!(!slept(then, then + STEP + LATE));
        assert!(slept(then, then + Duration::from_mins(1)));
        assert!(!slept(then, then - Duration::from_mins(1)));
    }
}
