//! The clock that the protocol is given.

use std::ops::Add;
use std::time::Duration;

/// Microseconds since an epoch of the caller's. The protocol never reads a clock itself, so that a
/// simulation can run an hour in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

impl Time {
    #[cfg(test)]
    pub const ZERO: Self = Self(0);

    pub fn from_epoch(elapsed: Duration) -> Self {
        Self(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
    }

    pub fn since_epoch(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// Zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The clock that stands in the timestamp option: milliseconds, as RFC 7323 §5.4 wants it
    /// between 1 ms and 1 s per tick.
    pub fn ticks(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "a timestamp wraps")]
        let ticks = (self.0 / 1000) as u32;
        ticks
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, pause: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}
