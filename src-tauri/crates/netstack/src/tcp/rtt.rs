//! Round-trip time and retransmission time-out (RFC 6298).

use std::time::Duration;

use super::time::Time;

/// Before the first sample (RFC 6298 §2.1).
const INITIAL_RTO: Duration = Duration::from_secs(1);

/// RFC 6298 §2.4 asks for a second, but allows for less where clocks are fine; every system uses
/// 200 ms today, and with one second a lost last packet is felt.
const MIN_RTO: Duration = Duration::from_millis(200);

/// RFC 6298 §2.5.
const MAX_RTO: Duration = Duration::from_mins(1);

/// How long the smallest round trip counts: the way may have changed (RFC 8985 §6.2 step 1).
const MINIMUM_VALID: Duration = Duration::from_mins(5);

/// What is known about the time to the other side and back.
pub struct Rtt {
    smoothed: Option<Duration>,
    variation: Duration,
    minimum: Duration,
    minimum_at: Time,
    backoffs: u32,
}

impl Rtt {
    pub const fn new(now: Time) -> Self {
        Self {
            smoothed: None,
            variation: Duration::ZERO,
            minimum: Duration::MAX,
            minimum_at: now,
            backoffs: 0,
        }
    }

    /// One measurement, of bytes that were sent once (Karn's rule).
    pub fn sample(&mut self, rtt: Duration, now: Time) {
        let rtt = rtt.max(Duration::from_micros(1));
        if rtt <= self.minimum || now.since(self.minimum_at) > MINIMUM_VALID {
            self.minimum = rtt;
            self.minimum_at = now;
        }
        self.smoothed = Some(match self.smoothed {
            None => {
                self.variation = rtt / 2;
                rtt
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(rtt)) / 4;
                (smoothed * 7 + rtt) / 8
            }
        });
    }

    pub const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The smallest of the last minutes; the largest duration before the first sample.
    pub const fn minimum(&self) -> Duration {
        self.minimum
    }

    /// How long to wait for an acknowledgement, doubled for each time-out without progress.
    pub fn timeout(&self) -> Duration {
        let base = match self.smoothed {
            None => INITIAL_RTO,
            // The floor stands under the variation, not under the sum: on a steady line of 300 ms
            // a time-out of 300 ms would fire at every hiccup.
            Some(smoothed) => smoothed + (self.variation * 4).max(MIN_RTO),
        };
        base.saturating_mul(1 << self.backoffs.min(10)).min(MAX_RTO)
    }

    pub const fn backoffs(&self) -> u32 {
        self.backoffs
    }

    pub fn back_off(&mut self) {
        self.backoffs += 1;
    }

    /// Something new was acknowledged (RFC 6298 §5.7 lets the next sample do it; a line that was
    /// gone for a minute should not cost another one).
    pub fn progress(&mut self) {
        self.backoffs = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_timeout_follows_the_line_and_doubles_without_progress() {
        let mut rtt = Rtt::new(Time::ZERO);
        assert_eq!(rtt.timeout(), INITIAL_RTO);
        for _ in 0..50 {
            rtt.sample(20 * MS, Time::ZERO);
        }
        assert_eq!(rtt.timeout(), 220 * MS);
        rtt.back_off();
        rtt.back_off();
        assert_eq!(rtt.timeout(), 880 * MS);
        for _ in 0..30 {
            rtt.back_off();
        }
        assert_eq!(rtt.timeout(), MAX_RTO);
        rtt.progress();
        assert_eq!(rtt.timeout(), 220 * MS);
    }

    #[test]
    fn a_longer_way_replaces_the_minimum_after_minutes() {
        let mut rtt = Rtt::new(Time::ZERO);
        rtt.sample(10 * MS, Time::ZERO);
        rtt.sample(50 * MS, Time::ZERO + Duration::from_mins(1));
        assert_eq!(rtt.minimum(), 10 * MS);
        rtt.sample(50 * MS, Time::ZERO + Duration::from_secs(400));
        assert_eq!(rtt.minimum(), 50 * MS);
    }
}
