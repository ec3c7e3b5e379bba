//! What routers told about the way to single destinations.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A way may grow again: forget what was told after ten minutes (RFC 8201 §4).
const REMEMBERED: Duration = Duration::from_mins(10);

/// Destinations that are remembered at once; the oldest make place.
const DESTINATIONS_MAX: usize = 256;

/// Largest packet per destination, where it is smaller than the tunnel's.
#[derive(Default)]
pub struct Paths(Mutex<HashMap<IpAddr, (usize, Instant)>>);

impl Paths {
    pub fn narrowed(&self, destination: IpAddr, size: usize, now: Instant) {
        let mut known = self.0.lock();
        known.retain(|_, (_, told)| now.saturating_duration_since(*told) < REMEMBERED);
        if known.len() >= DESTINATIONS_MAX
            && let Some(oldest) = known
                .iter()
                .min_by_key(|(_, (_, told))| *told)
                .map(|(destination, _)| *destination)
        {
            known.remove(&oldest);
        }
        known.insert(destination, (size, now));
    }

    /// `limit`, or less where a router said so.
    pub fn mtu(&self, destination: IpAddr, limit: usize, now: Instant) -> usize {
        match self.0.lock().get(&destination) {
            Some((size, told)) if now.saturating_duration_since(*told) < REMEMBERED => {
                limit.min(*size)
            }
            _ => limit,
        }
    }
}
