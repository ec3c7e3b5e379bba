//! How long the start took, and what waits until it is over.
//!
//! The webview, its two helper processes and the store keep every core busy until the first content is painted. What
//! the person does not see yet (the exchange with the servers, the tray) begins afterwards.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// A window that never paints, or that stays in the tray, holds nothing up.
const LONGEST: Duration = Duration::from_secs(3);

/// From the start of the process to the first painted content.
pub struct Startup {
    began: Instant,
    over: watch::Sender<bool>,
}

impl Startup {
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            over: watch::Sender::new(false),
        }
    }

    /// Milliseconds since the process began.
    pub fn elapsed_ms(&self) -> u128 {
        self.began.elapsed().as_millis()
    }

    /// Turns true when the first content is painted, or after three seconds without. Must run inside a tokio runtime.
    pub fn over(&self) -> watch::Receiver<bool> {
        let over = self.over.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LONGEST).await;
            over.send_if_modified(|over| !std::mem::replace(over, true));
        });
        self.over.subscribe()
    }

    /// Written once, at the first painted content.
    pub fn ready(&self) {
        if !self.over.send_replace(true) {
            tracing::info!(ms = self.elapsed_ms(), "window ready");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_the_window_begins_without_one_too() {
        let startup = Startup::begin();
        let mut over = startup.over();
        assert!(!*over.borrow());
        over.wait_for(|over| *over).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_the_window_begins_when_it_is_painted() {
        let startup = Startup::begin();
        let over = startup.over();
        startup.ready();
        assert!(*over.borrow());
    }
}
