//! When to renew the access token, and when to try again. No I/O.

use std::time::{Duration, SystemTime};

/// Longest time before its end at which a token is renewed.
const MARGIN: Duration = Duration::from_mins(1);
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// The timer looks at the wall clock at least this often, because timers sleep with the computer.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// The life of one access token.
#[derive(Debug, Clone)]
pub struct Schedule {
    issued_at: SystemTime,
    lifetime: Duration,
    failures: u32,
    retry_at: Option<SystemTime>,
}

impl Schedule {
    pub fn new(issued_at: SystemTime, lifetime: Duration) -> Self {
        Self {
            issued_at,
            lifetime,
            failures: 0,
            retry_at: None,
        }
    }

    /// The token can still be shown to servers. A clock that was set back behind the token's issue
    /// says nothing about its age.
    pub fn usable(&self, now: SystemTime) -> bool {
        now.duration_since(self.issued_at)
            .is_ok_and(|age| age < self.lifetime)
            || self
                .issued_at
                .duration_since(now)
                .is_ok_and(|early| early < MARGIN)
    }

    /// It is time to renew it, and no pause after a failure stands against it.
    pub fn due(&self, now: SystemTime) -> bool {
        self.retry_at.is_none_or(|at| at <= now) && (!self.usable(now) || self.near_its_end(now))
    }

    /// How long to sleep before looking again.
    pub fn sleep(&self, now: SystemTime) -> Duration {
        let renewal = self.left(now).saturating_sub(self.margin());
        let pause = self
            .retry_at
            .and_then(|at| at.duration_since(now).ok())
            .unwrap_or_default();
        renewal.max(pause).min(LONGEST_SLEEP)
    }

    /// What is left of the token's life.
    pub fn left(&self, now: SystemTime) -> Duration {
        let age = now.duration_since(self.issued_at).unwrap_or_default();
        self.lifetime.saturating_sub(age)
    }

    /// The network, or the server, did not let us. The pause doubles each time; `jitter` in 0..1
    /// spreads a whole hospital that comes back at once.
    pub fn failed(&mut self, now: SystemTime, jitter: f64) -> SystemTime {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        let at = now + pause.mul_f64(0.75 + 0.5 * jitter.clamp(0.0, 1.0));
        self.retry_at = Some(at);
        at
    }

    /// The reason for waiting is gone.
    pub fn hurry(&mut self) {
        self.failures = 0;
        self.retry_at = None;
    }

    pub fn retry_at(&self) -> Option<SystemTime> {
        self.retry_at
    }

    fn near_its_end(&self, now: SystemTime) -> bool {
        self.left(now) <= self.margin()
    }

    /// A tenth of short lives: a token of five minutes must not be renewed every four.
    fn margin(&self) -> Duration {
        MARGIN.min(self.lifetime / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        START + Duration::from_secs(1_000_000 + seconds)
    }

    fn schedule(lifetime: u64) -> Schedule {
        Schedule::new(at(0), Duration::from_secs(lifetime))
    }

    #[test]
    fn a_token_is_renewed_a_minute_or_a_tenth_of_its_life_before_the_end() {
        for (lifetime, renewal) in [(3600, 3540), (300, 270), (20, 18)] {
            assert!(!schedule(lifetime).due(at(renewal - 1)), "{lifetime}");
            assert!(schedule(lifetime).due(at(renewal)), "{lifetime}");
            assert!(schedule(lifetime).usable(at(renewal)));
            assert!(!schedule(lifetime).usable(at(lifetime)));
        }
    }

    #[test]
    fn after_a_failure_it_waits_longer_each_time_and_the_token_stays_usable() {
        let mut schedule = schedule(300);
        let now = at(280);
        let pauses: Vec<u64> = (0..10)
            .map(|_| {
                schedule
                    .failed(now, 0.5)
                    .duration_since(now)
                    .unwrap_or_default()
                    .as_secs()
            })
            .collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(!schedule.due(now));
        assert!(schedule.usable(now));
        schedule.hurry();
        assert!(schedule.due(now));
    }

    #[test]
    fn the_computers_sleep_and_a_clock_set_back_both_lead_to_a_renewal() {
        let schedule = schedule(300);
        assert!(schedule.due(at(90_000)));
        assert!(schedule.due(START));
        assert!(!schedule.usable(START));
        assert!(schedule.sleep(at(1)) <= LONGEST_SLEEP);
    }

    #[test]
    fn a_damaged_record_with_an_absurd_lifetime_breaks_nothing() {
        let schedule = Schedule::new(at(0), Duration::MAX);
        assert!(schedule.usable(at(90_000)) && !schedule.due(at(90_000)));
        assert_eq!(schedule.sleep(at(90_000)), LONGEST_SLEEP);
    }
}
