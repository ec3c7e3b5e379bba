//! How steadily the pictures of one tile come.

use std::time::{Duration, Instant};

#[derive(Default)]
pub struct Pace {
    pictures: u64,
    longest: Duration,
    last: Option<Instant>,
}

impl Pace {
    pub fn picture(&mut self, now: Instant) {
        self.pictures += 1;
        self.pause_until(now);
        self.last = Some(now);
    }

    /// Pictures since this was asked last, and the longest pause that ended meanwhile or still lasts.
    pub fn take(&mut self, now: Instant) -> (u64, Duration) {
        self.pause_until(now);
        (
            std::mem::take(&mut self.pictures),
            std::mem::take(&mut self.longest),
        )
    }

    fn pause_until(&mut self, now: Instant) {
        let pause = self
            .last
            .map(|last| now.saturating_duration_since(last))
            .unwrap_or_default();
        self.longest = self.longest.max(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_counts_where_it_lasts_and_whole_where_it_ends() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut pace = Pace::default();
        assert_eq!(pace.take(at(0)), (0, Duration::ZERO));
        pace.picture(at(10));
        pace.picture(at(40));
        assert_eq!(pace.take(at(50)), (2, Duration::from_millis(30)));
        assert_eq!(pace.take(at(1050)), (0, Duration::from_millis(1010)));
        pace.picture(at(1100));
        assert_eq!(pace.take(at(1110)), (1, Duration::from_millis(1060)));
    }
}
