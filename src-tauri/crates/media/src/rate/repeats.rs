//! How much may be sent again. Where packets are lost because the way is too narrow, repeats fill it all the more, and
//! what they push aside is the sound.

use std::time::Instant;

/// Part of the rate that repeats may take.
const SHARE: f64 = 0.2;
/// Bytes that may go at once after a calm: a key frame.
const BURST: f64 = 15_000.0;

#[derive(Debug)]
pub(crate) struct Repeats {
    bytes: f64,
    since: Option<Instant>,
}

impl Repeats {
    pub fn new() -> Self {
        Self {
            bytes: BURST,
            since: None,
        }
    }

    /// Whether so many bytes may go again now, over a way that carries `rate` bits per second. They count then.
    pub fn allow(&mut self, bytes: usize, rate: f64, now: Instant) -> bool {
        let passed = self.since.replace(now).map_or(0.0, |since| {
            now.saturating_duration_since(since).as_secs_f64()
        });
        self.bytes = (self.bytes + passed * rate * SHARE / 8.0).min(BURST);
        #[expect(clippy::cast_precision_loss)]
        let wanted = bytes as f64;
        let allowed = wanted <= self.bytes;
        if allowed {
            self.bytes -= wanted;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_a_fifth_of_the_rate() {
        let mut repeats = Repeats::new();
        let began = Instant::now();
        let passed = |repeats: &mut Repeats, from: u64, to: u64| {
            let moments = (from..to).map(|ms| began + Duration::from_millis(ms));
            moments
                .filter(|now| repeats.allow(1000, 1_000_000.0, *now))
                .count()
        };
        assert_eq!(passed(&mut repeats, 0, 1) + passed(&mut repeats, 0, 20), 15);
        let second = passed(&mut repeats, 20, 1020);
        assert!((24..=26).contains(&second), "{second}");
        // An hour without losses gives no more than a burst.
        let later = passed(&mut repeats, 3_600_000, 3_600_020);
        assert_eq!(later, 15);
    }
}
