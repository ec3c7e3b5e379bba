//! Proportional Rate Reduction (RFC 6937, with the safe acknowledgements of RFC 9937): how much
//! may be sent while lost bytes are repaired, so that the window shrinks without a pause or a burst.

/// One recovery, in bytes.
#[derive(Clone)]
pub struct Prr {
    threshold: u64,
    /// What was under way when the recovery began.
    at_start: u64,
    delivered: u64,
    sent: u64,
}

impl Prr {
    pub fn new(threshold: u64, at_start: u64) -> Self {
        Self {
            threshold,
            at_start: at_start.max(1),
            delivered: 0,
            sent: 0,
        }
    }

    pub fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// The window after an acknowledgement of `delivered` bytes that left `in_flight` under way.
    /// `safe` is one that moved the left edge and told of no further loss.
    pub fn window(&mut self, delivered: u64, in_flight: u64, safe: bool, mss: u64) -> u64 {
        self.delivered += delivered;
        let allowed = if in_flight > self.threshold {
            let share = u128::from(self.delivered) * u128::from(self.threshold);
            let due = u64::try_from(share.div_ceil(u128::from(self.at_start))).unwrap_or(u64::MAX);
            due.saturating_sub(self.sent)
        } else {
            let mut limit = self.delivered.saturating_sub(self.sent).max(delivered);
            if safe {
                limit += mss;
            }
            limit.min(self.threshold - in_flight)
        };
        // The first repair goes out at once.
        let least = if self.sent == 0 { mss } else { 0 };
        in_flight + allowed.max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_tenths_are_sent_of_what_arrives() {
        let mut prr = Prr::new(70, 100);
        let mut in_flight = 99;
        let mut sent = 0;
        for _ in 0..99 {
            in_flight -= 1;
            let window = prr.window(1, in_flight, false, 1);
            let now = window - in_flight;
            prr.sent(now);
            sent += now;
            in_flight += now;
        }
        assert_eq!(sent, 70);
        assert_eq!(in_flight, 70);
    }

    #[test]
    fn after_heavy_loss_it_grows_back_to_the_threshold() {
        let mut prr = Prr::new(70, 100);
        let mut in_flight = 10;
        for _ in 0..100 {
            in_flight -= 1;
            let window = prr.window(1, in_flight, true, 1);
            prr.sent(window - in_flight);
            in_flight = window;
        }
        assert_eq!(in_flight, 70);
    }
}
