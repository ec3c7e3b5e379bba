//! How much may be under way: CUBIC (RFC 9438) with `HyStart++` (RFC 9406).
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "windows are far below 2^52 bytes and never negative"
)]

use std::time::Duration;

use super::time::Time;

/// RFC 9438 §4.1.
const C: f64 = 0.4;
/// RFC 9438 §4.6.
const BETA: f64 = 0.7;
/// Growth of the Reno-friendly estimate per acknowledged window (RFC 9438 §4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// Segments at the start and after a rest (RFC 6928).
const INITIAL_SEGMENTS: u64 = 10;

/// RFC 9406 §4.3.
const RTT_THRESHOLD_MIN: Duration = Duration::from_millis(4);
const RTT_THRESHOLD_MAX: Duration = Duration::from_millis(16);
const RTT_SAMPLES: u32 = 8;
const CAUTIOUS_DIVISOR: u64 = 4;
const CAUTIOUS_ROUNDS: u32 = 5;

/// The congestion window of one connection, in bytes.
#[derive(Clone)]
pub struct Cubic {
    mss: u64,
    window: u64,
    threshold: u64,
    /// Window at the last reduction, in bytes (RFC 9438 §4.1.2: `W_max`, `cwnd_prior`).
    before: f64,
    prior: f64,
    epoch: Option<Epoch>,
    start: SlowStart,
}

/// Growth since the last reduction, in bytes and seconds.
#[derive(Clone)]
struct Epoch {
    since: Time,
    /// When the curve is back at `before`.
    k: f64,
    /// What Reno would have (`W_est`).
    reno: f64,
}

/// `HyStart++` leaves slow start before the queue of the line overflows.
#[derive(Clone, Default)]
struct SlowStart {
    round_end: u64,
    last_minimum: Option<Duration>,
    minimum: Option<Duration>,
    samples: u32,
    cautious: Option<Cautious>,
}

/// Conservative slow start: the round trip became longer, perhaps by chance.
#[derive(Clone)]
struct Cautious {
    baseline: Duration,
    rounds: u32,
}

impl Cubic {
    pub fn new(mss: usize) -> Self {
        let mss = mss as u64;
        Self {
            mss,
            window: mss * INITIAL_SEGMENTS,
            threshold: u64::MAX,
            before: 0.0,
            prior: 0.0,
            epoch: None,
            start: SlowStart::default(),
        }
    }

    pub const fn window(&self) -> u64 {
        self.window
    }

    pub const fn threshold(&self) -> u64 {
        self.threshold
    }

    pub const fn in_slow_start(&self) -> bool {
        self.window < self.threshold
    }

    pub fn set_mss(&mut self, mss: usize) {
        self.mss = mss as u64;
        self.window = self.window.max(self.mss * 2);
    }

    /// What a recovery allows for now; the threshold stays.
    pub fn set_window(&mut self, window: u64) {
        self.window = window.max(self.mss);
    }

    /// `acked` bytes arrived while the window was what held us back.
    pub fn acknowledged(&mut self, acked: u64, rtt: Duration, now: Time) {
        if self.in_slow_start() {
            // Without a limit for one acknowledgement: the pacer keeps batches apart (RFC 9406 §4.3).
            let grown = if self.start.cautious.is_some() {
                acked / CAUTIOUS_DIVISOR
            } else {
                acked
            };
            self.window = (self.window + grown).min(self.threshold.max(self.window));
            return;
        }
        self.avoid_congestion(acked as f64, rtt, now);
    }

    /// One round-trip sample, taken when everything before `una` had arrived and everything before
    /// `next` was sent (RFC 9406 §4.2). Only the first slow start is left early: later ones know
    /// from a loss where to end (§4.3).
    pub fn round_trip(&mut self, rtt: Duration, una: u64, next: u64) {
        if !self.in_slow_start() || self.threshold != u64::MAX {
            return;
        }
        let start = &mut self.start;
        if una >= start.round_end {
            start.round_end = next;
            start.last_minimum = start.minimum.take();
            start.samples = 0;
            if let Some(cautious) = &mut start.cautious {
                cautious.rounds += 1;
                if cautious.rounds >= CAUTIOUS_ROUNDS {
                    self.threshold = self.window;
                    return;
                }
            }
        }
        let minimum = start.minimum.map_or(rtt, |minimum| minimum.min(rtt));
        start.minimum = Some(minimum);
        start.samples += 1;
        if start.samples < RTT_SAMPLES {
            return;
        }
        match (&start.cautious, start.last_minimum) {
            (Some(cautious), _) if minimum < cautious.baseline => start.cautious = None,
            (None, Some(last))
                if minimum >= last + (last / 8).clamp(RTT_THRESHOLD_MIN, RTT_THRESHOLD_MAX) =>
            {
                start.cautious = Some(Cautious {
                    baseline: minimum,
                    rounds: 0,
                });
            }
            _ => {}
        }
    }

    /// Something was lost: lowers the threshold (RFC 9438 §4.6, §4.7). The window is the
    /// recovery's business.
    pub fn reduce(&mut self) {
        let window = self.window as f64;
        self.prior = window;
        self.before = if window < self.before {
            // Fast convergence: somebody else came, leave them room.
            window * (1.0 + BETA) / 2.0
        } else {
            window
        };
        self.threshold = ((window * BETA) as u64).max(2 * self.mss);
        self.epoch = None;
        self.start = SlowStart::default();
    }

    /// Nothing was sent for longer than a time-out: what the window stood for is gone
    /// (RFC 5681 §4.1). The threshold stays, so that it is back within a few round trips.
    pub fn rested(&mut self) {
        self.window = self.window.min(self.mss * INITIAL_SEGMENTS);
        self.epoch = None;
        self.start = SlowStart::default();
    }

    fn avoid_congestion(&mut self, acked: f64, rtt: Duration, now: Time) {
        let mss = self.mss as f64;
        let window = self.window as f64;
        let before = &mut self.before;
        let epoch = self.epoch.get_or_insert_with(|| {
            let k = if window < *before {
                ((*before - window) / mss / C).cbrt()
            } else {
                *before = window;
                0.0
            };
            Epoch {
                since: now,
                k,
                reno: window,
            }
        });
        let curve = |t: f64| C * (t - epoch.k).powi(3) * mss + *before;
        let t = now.since(epoch.since).as_secs_f64();

        let alpha = if epoch.reno < self.prior { ALPHA } else { 1.0 };
        let reno = epoch.reno + alpha * acked / window * mss;
        let grown = if curve(t) < reno {
            reno
        } else {
            let target = curve(t + rtt.as_secs_f64()).clamp(window, 1.5 * window);
            window + (target - window) * (acked / window).min(1.0)
        };
        epoch.reno = reno;
        self.window = grown.max(window) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: usize = 1000;
    const RTT: Duration = Duration::from_millis(100);

    fn after_a_loss_at(segments: u64) -> Cubic {
        let mut cubic = Cubic::new(MSS);
        cubic.set_window(segments * MSS as u64);
        cubic.reduce();
        cubic.set_window(cubic.threshold());
        cubic
    }

    /// Windows in segments after each of `rounds` round trips.
    fn grow(cubic: &mut Cubic, rounds: u32) -> Vec<u64> {
        (0..rounds)
            .map(|round| {
                let now = Time::ZERO + RTT * round;
                let mut left = cubic.window();
                while left > 0 {
                    let acked = left.min(2 * MSS as u64);
                    cubic.acknowledged(acked, RTT, now);
                    left -= acked;
                }
                cubic.window() / MSS as u64
            })
            .collect()
    }

    #[test]
    fn the_window_is_back_at_the_plateau_after_k_seconds() {
        // RFC 9438 §4.2: K = cbrt(W_max * (1 - beta) / C) = cbrt(1000 * 0.3 / 0.4) = 9.09 s.
        let mut cubic = after_a_loss_at(1000);
        let windows = grow(&mut cubic, 120);
        assert_eq!(cubic.threshold(), 700_000);
        assert!((985..=1000).contains(&windows[88]), "{}", windows[88]);
        assert!(
            windows[60] > 950 && windows[30] > 800,
            "concave: fast first"
        );
        assert!(windows[119] > 1005, "and beyond");
    }

    #[test]
    fn a_small_window_grows_as_reno_would() {
        let mut cubic = after_a_loss_at(10);
        let windows = grow(&mut cubic, 20);
        // 0.53 segments per round trip from 7 up to 10, then 1.
        assert!((17..=25).contains(&windows[19]), "{}", windows[19]);
    }

    /// Rounds of slow start with twenty samples each, whose times `rtt` gives by round and place;
    /// gives the window after each round, and stops when slow start is over.
    fn start(cubic: &mut Cubic, rounds: u32, rtt: impl Fn(u32, u64) -> u64) -> Vec<u64> {
        const SAMPLES: u64 = 20;
        let (mut una, mut next) = (0, cubic.window());
        let mut windows = Vec::new();
        for round in 0..rounds {
            let window = cubic.window();
            for place in 0..SAMPLES {
                let rtt = Duration::from_millis(rtt(round, place));
                cubic.round_trip(rtt, una, next);
                cubic.acknowledged(window / SAMPLES, rtt, Time::ZERO);
                una += window / SAMPLES;
            }
            una = una.max(next);
            next = una + cubic.window();
            windows.push(cubic.window());
            if !cubic.in_slow_start() {
                break;
            }
        }
        windows
    }

    #[test]
    fn a_steady_line_doubles_the_window_each_round() {
        let mut cubic = Cubic::new(MSS);
        let windows = start(&mut cubic, 10, |_, _| 20);
        assert_eq!(windows, (1..=10).map(|n| 10_000 << n).collect::<Vec<_>>());
    }

    #[test]
    fn a_round_trip_that_stays_longer_is_watched_for_five_rounds_and_then_ends_slow_start() {
        let mut cubic = Cubic::new(MSS);
        let windows = start(&mut cubic, 30, |round, _| if round < 5 { 20 } else { 27 });
        assert_eq!(windows[4], 320_000);
        assert!(!cubic.in_slow_start());
        // The part of a round in which it was noticed counts as the first of the five.
        assert_eq!(windows.len(), 11, "{windows:?}");
        let slower = windows[5..10]
            .windows(2)
            .all(|pair| pair[1] < pair[0] * 13 / 10);
        assert!(slower, "a quarter of the growth: {windows:?}");
    }

    #[test]
    fn a_round_that_was_late_by_chance_costs_its_own_growth_and_no_more() {
        let mut cubic = Cubic::new(MSS);
        let windows = start(&mut cubic, 10, |round, _| if round == 5 { 27 } else { 20 });
        assert!(cubic.in_slow_start());
        assert!(windows[9] > windows[4] << 4, "doubles again: {windows:?}");
    }

    #[test]
    fn batches_that_are_late_in_every_round_do_not_end_slow_start() {
        // A mobile network hands out its turns: half of each round comes a turn later.
        let mut cubic = Cubic::new(MSS);
        let windows = start(&mut cubic, 10, |round, place| {
            if round > 3 && place < 10 { 28 } else { 20 }
        });
        assert!(cubic.in_slow_start());
        assert!(windows[9] > windows[3] << 5, "{windows:?}");
    }

    #[test]
    fn after_a_loss_a_longer_round_trip_does_not_end_slow_start_before_its_threshold() {
        let mut cubic = after_a_loss_at(1000);
        cubic.rested();
        let windows = start(&mut cubic, 6, |round, _| 20 + u64::from(round) * 8);
        assert_eq!(windows[5], 640_000);
        assert_eq!(cubic.threshold(), 700_000);
    }
}
