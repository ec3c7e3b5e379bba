//! The wall clock, passed in so that expiry can be tested without waiting.

use std::time::SystemTime;

/// Source of the current time. Token lifetimes follow the wall clock and not a monotonic one,
/// because the latter stands still while a laptop sleeps.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> SystemTime;
}

/// The computer's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
