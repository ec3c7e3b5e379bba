//! What a session carried, for [`crate::Health`].

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;

#[derive(Default)]
pub struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
    times: Mutex<Times>,
}

#[derive(Default, Clone, Copy)]
pub struct Times {
    pub opened: Option<Instant>,
    pub sent: Option<Instant>,
    pub heard: Option<Instant>,
}

impl Traffic {
    pub fn opened(&self, now: Instant) {
        let mut times = self.times.lock();
        times.opened = Some(now);
        times.heard = Some(now);
    }

    pub fn ended(&self) {
        self.times.lock().opened = None;
    }

    pub fn sent(&self, packets: usize, now: Instant) {
        self.sent.fetch_add(packets as u64, Ordering::Relaxed);
        self.times.lock().sent = Some(now);
    }

    pub fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub fn heard(&self, now: Instant) {
        self.times.lock().heard = Some(now);
    }

    /// Packets sent, packets received, and when.
    pub fn read(&self) -> (u64, u64, Times) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.sent), count(&self.received), *self.times.lock())
    }
}
