//! Spreads what the window allows over the round trip.
//!
//! A window that leaves as one burst has to stand in somebody's queue, and where the queue is
//! shorter than the burst it is lost although the line has room. Acknowledgements that come in
//! batches (Wi-Fi, mobile networks, a peer that joins segments) turn every window into such bursts.

use std::time::Duration;

use super::time::Time;

/// Sent at once: what the rate gives in this time. Timers ring to the millisecond and late.
const BURST: Duration = Duration::from_millis(4);

/// Below this the line's own clock is finer than our timers.
const RTT_MIN: Duration = Duration::from_millis(4);

/// Always sent at once: as much as an initial window (RFC 6928), which nobody paces.
const BURST_SEGMENTS: u64 = 10;

/// Faster than the window by so much, in hundredths, or the window would never be used up: while it
/// doubles each round trip, and otherwise. The values of Linux (`tcp_pacing_ss_ratio`,
/// `tcp_pacing_ca_ratio`).
const RATIO_SLOW_START: u64 = 200;
const RATIO: u64 = 120;

/// A bucket that fills with the window's rate.
pub struct Pacer {
    /// Bytes that may leave at once, as of `since`.
    credit: u64,
    since: Time,
}

/// How fast, in bytes per second, and how much at once, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    rate: u64,
    burst: u64,
}

impl Pace {
    /// For a window over this round trip; `None` where nothing is held back.
    pub fn of(window: u64, rtt: Option<Duration>, slow_start: bool, mss: u64) -> Option<Self> {
        let rtt = rtt.filter(|rtt| *rtt >= RTT_MIN)?;
        let ratio = if slow_start { RATIO_SLOW_START } else { RATIO };
        let per_second = |micros: u128| u128::from(window * ratio / 100) * 1_000_000 / micros;
        let rate = u64::try_from(per_second(rtt.as_micros())).unwrap_or(u64::MAX);
        let burst = u64::try_from(u128::from(rate) * BURST.as_micros() / 1_000_000);
        Some(Self {
            rate: rate.max(1),
            burst: burst.unwrap_or(u64::MAX).max(BURST_SEGMENTS * mss),
        })
    }
}

impl Pacer {
    pub const fn new(now: Time) -> Self {
        Self {
            // Whatever the first burst may be.
            credit: u64::MAX,
            since: now,
        }
    }

    /// Whether `size` bytes may leave now; otherwise when.
    pub fn allows(&mut self, size: u64, pace: Pace, now: Time) -> Result<(), Time> {
        let waited = now.since(self.since).as_micros();
        let earned = u128::from(pace.rate) * waited / 1_000_000;
        if earned > 0 {
            let earned = u64::try_from(earned).unwrap_or(u64::MAX);
            self.credit = self.credit.saturating_add(earned);
            self.since = now;
        }
        self.credit = self.credit.min(pace.burst);
        if self.credit >= size.min(pace.burst) {
            return Ok(());
        }
        let missing = u128::from(size - self.credit) * 1_000_000;
        let micros = missing.div_ceil(u128::from(pace.rate));
        let pause = u64::try_from(micros).map_or(Duration::MAX, Duration::from_micros);
        Err(self.since + pause)
    }

    pub const fn sent(&mut self, size: u64) {
        self.credit = self.credit.saturating_sub(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u64 = 1000;
    const RTT: Duration = Duration::from_millis(20);

    /// Bytes that leave until `after`, when asked every `step`.
    fn leaves(pace: Pace, step: Duration, after: Duration) -> u64 {
        let mut pacer = Pacer::new(Time::ZERO);
        let mut now = Time::ZERO + RTT;
        let end = now + after;
        let mut bytes = 0;
        while now < end {
            while pacer.allows(MSS, pace, now).is_ok() {
                pacer.sent(MSS);
                bytes += MSS;
            }
            now = now + step;
        }
        bytes
    }

    #[test]
    fn a_window_leaves_within_the_round_trip_and_not_at_once() {
        let pace = Pace::of(200 * MSS, Some(RTT), false, MSS).unwrap();
        let first = leaves(pace, RTT, Duration::from_millis(1));
        assert_eq!(first, 48 * MSS, "four of twenty milliseconds' worth");
        for step in [100, 1000, 2000, 4000] {
            let all = leaves(pace, Duration::from_micros(step), 10 * RTT);
            // 1.2 windows each round trip, and the first burst.
            let expected = 2400 * MSS;
            assert!(
                (expected * 97 / 100..expected + first).contains(&all),
                "{step} µs: {all}"
            );
        }
    }

    #[test]
    fn the_time_that_is_told_is_the_time_when_it_may_leave() {
        let pace = Pace::of(20 * MSS, Some(RTT), false, MSS).unwrap();
        let mut pacer = Pacer::new(Time::ZERO);
        let mut now = Time::ZERO + RTT;
        for _ in 0..100 {
            if let Err(at) = pacer.allows(MSS, pace, now) {
                assert!(at > now);
                now = at;
                assert!(pacer.allows(MSS, pace, now).is_ok());
            }
            pacer.sent(MSS);
        }
    }

    #[test]
    fn an_initial_window_and_a_short_round_trip_are_not_held_back() {
        let pace = Pace::of(10 * MSS, Some(RTT), true, MSS).unwrap();
        assert!(leaves(pace, RTT, Duration::from_millis(1)) >= 10 * MSS);
        let short = Some(Duration::from_millis(1));
        assert_eq!(Pace::of(200 * MSS, short, false, MSS), None);
        assert_eq!(Pace::of(200 * MSS, None, false, MSS), None);
    }
}
