//! When a session speaks without being asked: dead peer detection, keepalive, new keys. Time is passed in.
//!
//! ```text
//!            nothing came for `dpd`            nothing came for `PATIENCE` after each of `TRIES` questions
//!   quiet ─────────────────────────▶ asking ──────────────────────────────────────────────────▶ dead
//!     ▲                                │
//!     └──────── anything came ─────────┘
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// How long an answer to a question may take before it is asked again. Mobile networks take two seconds at times.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same when there is a reason to doubt already.
const DOUBT: Duration = Duration::from_millis(400);
/// Questions without an answer after which the peer is dead.
const TRIES: u8 = 3;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Ask whether the peer is there.
    Ask,
    /// Send a keepalive.
    Keepalive,
    /// Replace the session by a new one with new keys.
    Rekey,
    /// Nobody answers.
    Dead,
}

/// The times of one session.
#[derive(Debug)]
pub struct Pulse {
    dpd: Duration,
    keepalive: Duration,
    rekey_at: Option<Instant>,
    heard: Instant,
    spoke: Instant,
    /// Questions without an answer, and when the last one went out.
    asked: Option<(u8, Instant)>,
    /// How long each answer may take.
    patience: Duration,
}

impl Pulse {
    pub fn new(now: Instant, dpd: Duration, keepalive: Duration, rekey: Option<Duration>) -> Self {
        Self {
            dpd,
            keepalive,
            rekey_at: rekey.and_then(|age| now.checked_add(age)),
            heard: now,
            spoke: now,
            asked: None,
            patience: PATIENCE,
        }
    }

    /// Something came from the peer: it lives.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
        self.patience = PATIENCE;
    }

    /// Something was sent.
    pub fn spoke(&mut self, now: Instant) {
        self.spoke = now;
    }

    /// Ask now: somebody doubts that the peer is there. It is dead without an answer within 1.2 seconds.
    pub fn doubt(&mut self, now: Instant) {
        self.patience = DOUBT;
        if self.asked.is_none() {
            self.heard = now.checked_sub(self.dpd).unwrap_or(self.heard);
        }
    }

    /// When [`due`](Self::due) will have something to say, unless something happens before.
    pub fn deadline(&self) -> Instant {
        let question = match self.asked {
            Some((_, at)) => at + self.patience,
            None => self.heard + self.dpd,
        };
        let first = question.min(self.spoke + self.keepalive);
        self.rekey_at.map_or(first, |at| first.min(at))
    }

    /// What is due now. Each call counts as done: ask again until `None`.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        match self.asked {
            Some((tries, at)) if now >= at + self.patience => {
                if tries >= TRIES {
                    return Some(Due::Dead);
                }
                self.asked = Some((tries + 1, now));
                self.spoke = now;
                return Some(Due::Ask);
            }
            None if now >= self.heard + self.dpd => {
                self.asked = Some((1, now));
                self.spoke = now;
                return Some(Due::Ask);
            }
            _ => {}
        }
        if self.rekey_at.is_some_and(|at| now >= at) {
            self.rekey_at = None;
            return Some(Due::Rekey);
        }
        if now >= self.spoke + self.keepalive {
            self.spoke = now;
            return Some(Due::Keepalive);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pulse() -> (Pulse, Instant) {
        let start = Instant::now() + 100 * SECOND;
        (
            Pulse::new(start, 10 * SECOND, 20 * SECOND, Some(60 * SECOND)),
            start,
        )
    }

    #[test]
    fn a_silent_peer_is_asked_three_times_before_it_is_dead() {
        let (mut pulse, start) = pulse();
        assert_eq!(pulse.due(start + 9 * SECOND), None);
        let mut now = start;
        let mut events = Vec::new();
        while events.last() != Some(&Due::Dead) {
            now = pulse.deadline();
            events.extend(pulse.due(now));
        }
        assert_eq!(events, [Due::Ask, Due::Ask, Due::Ask, Due::Dead]);
        assert_eq!(now - start, 16 * SECOND);
    }

    #[test]
    fn any_sign_of_life_ends_the_questions() {
        let (mut pulse, start) = pulse();
        let now = start + 10 * SECOND;
        assert_eq!(pulse.due(now), Some(Due::Ask));
        pulse.heard(now + SECOND / 10);
        assert_eq!(pulse.due(now + 5 * SECOND), None);
    }

    #[test]
    fn a_doubted_peer_is_dead_after_little_more_than_a_second() {
        let (mut pulse, start) = pulse();
        pulse.doubt(start);
        let mut now = start;
        let mut events = Vec::new();
        while events.last() != Some(&Due::Dead) {
            events.extend(pulse.due(now));
            now = now.max(pulse.deadline());
        }
        assert!(now - start <= SECOND * 12 / 10, "{:?}", now - start);
    }

    #[test]
    fn doubt_asks_at_once_and_only_once() {
        let (mut pulse, start) = pulse();
        let now = start + SECOND;
        pulse.doubt(now);
        assert_eq!(pulse.due(now), Some(Due::Ask));
        pulse.doubt(now);
        assert_eq!(pulse.due(now), None);
    }

    #[test]
    fn a_quiet_line_is_kept_open_and_a_busy_one_needs_no_keepalive() {
        let (mut pulse, start) = pulse();
        pulse.heard(start + 19 * SECOND);
        assert_eq!(pulse.due(start + 20 * SECOND), Some(Due::Keepalive));
        assert_eq!(pulse.due(start + 20 * SECOND), None);
        pulse.heard(start + 38 * SECOND);
        pulse.spoke(start + 39 * SECOND);
        assert_eq!(pulse.due(start + 41 * SECOND), None);
    }

    #[test]
    fn new_keys_are_due_once() {
        let (mut pulse, start) = pulse();
        let now = start + 60 * SECOND;
        pulse.heard(now);
        pulse.spoke(now);
        assert_eq!(pulse.due(now), Some(Due::Rekey));
        pulse.heard(now + 4 * SECOND);
        pulse.spoke(now + 4 * SECOND);
        assert_eq!(pulse.due(now + 5 * SECOND), None);
    }
}
