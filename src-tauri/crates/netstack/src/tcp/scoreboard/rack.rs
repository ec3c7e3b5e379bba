//! Losses found by time (RACK, RFC 8985 §6).

use std::time::Duration;

use super::{Fate, Scoreboard, Sent};
use crate::tcp::rtt::Rtt;
use crate::tcp::time::Time;

/// Acknowledgements of segments behind a hole after which it counts as a loss at once, as long as
/// this connection never saw packets change places (RFC 8985 §6.2 step 4).
const SEGMENTS_BEHIND: u32 = 3;

/// Recoveries for which a widened reordering window stays (RFC 8985 §6.2 step 4).
const WIDENED_FOR: u32 = 16;

/// The segment that was sent last among those that arrived, and how much later others may come.
#[derive(Default)]
pub(super) struct Rack {
    newest: Option<(Time, u64)>,
    rtt: Duration,
    /// End of what arrived furthest ahead.
    furthest: u64,
    reordering_seen: bool,
    widening: u32,
    widened_until: u32,
    /// Duplicates before this number were counted already.
    round_end: u64,
}

/// What [`Scoreboard::detect`] found.
#[derive(Debug, Default, Clone, Copy)]
pub struct Detected {
    pub lost: u64,
    /// When to look again.
    pub again_in: Option<Duration>,
}

impl Scoreboard {
    /// The other side saw a segment twice, so a repetition was in vain: wait longer for late ones
    /// (RFC 8985 §6.2 step 4). Counted once per round trip.
    pub fn duplicate_seen(&mut self, una: u64, next: u64) {
        if una >= self.rack.round_end {
            self.rack.round_end = next;
            self.rack.widening = (self.rack.widening + 1).min(64);
            self.rack.widened_until = WIDENED_FOR;
        }
    }

    pub fn recovery_ended(&mut self) {
        self.rack.widened_until = self.rack.widened_until.saturating_sub(1);
        if self.rack.widened_until == 0 {
            self.rack.widening = 0;
        }
    }

    /// Gives up what was sent long enough before something that arrived (RFC 8985 §6.2 step 5).
    pub fn detect(&mut self, in_recovery: bool, rtt: &Rtt, now: Time) -> Detected {
        let mut found = Detected::default();
        let Some((newest, newest_end)) = self.rack.newest else {
            return found;
        };
        // Without holes and repetitions whatever is left was sent after all that arrived.
        if self.sacked_segments == 0 && self.repeated_segments == 0 {
            return found;
        }
        let patience = self.rack.rtt + self.reordering_window(in_recovery, rtt);
        for one in &mut self.sent {
            if one.state != Fate::UnderWay || one.after(newest, newest_end) {
                continue;
            }
            let waited = now.since(one.at);
            if waited >= patience {
                one.state = Fate::Lost;
                self.in_flight -= one.len();
                self.lost += one.len();
                found.lost += one.len();
            } else {
                let left = patience.checked_sub(waited).unwrap_or_default();
                found.again_in = found.again_in.max(Some(left));
            }
        }
        found
    }

    /// The time-out ended: gives up the first segment and what is as old (RFC 8985 §6.3).
    pub fn time_out(&mut self, rtt: &Rtt, now: Time) {
        if self
            .sent
            .front()
            .is_some_and(|one| one.state == Fate::Sacked)
        {
            // The other side took back what it reported (RFC 2018 §8).
            for one in &mut self.sent {
                if one.state == Fate::Sacked {
                    one.state = Fate::UnderWay;
                    self.in_flight += one.len();
                }
            }
            self.sacked_segments = 0;
        }
        let patience = self.rack.rtt + self.reordering_window(true, rtt);
        for (at, one) in self.sent.iter_mut().enumerate() {
            if one.state == Fate::UnderWay && (at == 0 || now.since(one.at) >= patience) {
                one.state = Fate::Lost;
                self.in_flight -= one.len();
                self.lost += one.len();
            }
        }
    }

    /// Segments of more than `most` bytes can not arrive: the path is narrower.
    pub fn too_big(&mut self, most: u64) {
        for one in &mut self.sent {
            if one.state == Fate::UnderWay && one.len() > most {
                one.state = Fate::Lost;
                self.in_flight -= one.len();
                self.lost += one.len();
            }
        }
    }

    /// The losses were none: what did not go out again yet needs not.
    pub fn forgive(&mut self) {
        for one in &mut self.sent {
            if one.state == Fate::Lost {
                one.state = Fate::UnderWay;
                self.lost -= one.len();
                self.in_flight += one.len();
            }
        }
    }

    /// RFC 8985 §6.2 steps 1 to 3.
    pub(super) fn arrived(
        &mut self,
        one: &Sent,
        echo: &impl Fn(Time) -> Option<bool>,
        rtt: &Rtt,
        now: Time,
        sample: &mut Option<Time>,
    ) {
        let took = now.since(one.at);
        if one.repeated {
            // Perhaps this answers the first one, not the repetition.
            let earlier = echo(one.at) == Some(false) || took < rtt.minimum();
            if earlier {
                return;
            }
        } else if sample.is_none_or(|at| one.at > at) {
            *sample = Some(one.at);
        }
        let rack = &mut self.rack;
        if rack.newest.is_none_or(|(at, end)| one.after(at, end)) {
            rack.newest = Some((one.at, one.end));
            rack.rtt = took;
        }
        if one.end > rack.furthest {
            rack.furthest = one.end;
        } else if !one.repeated {
            rack.reordering_seen = true;
        }
    }

    /// How much later than its successors a segment may come (RFC 8985 §6.2 step 4).
    fn reordering_window(&self, in_recovery: bool, rtt: &Rtt) -> Duration {
        if !self.rack.reordering_seen
            && self.rack.widening == 0
            && (in_recovery || self.sacked_segments >= SEGMENTS_BEHIND)
        {
            return Duration::ZERO;
        }
        let smoothed = rtt.smoothed().unwrap_or_default();
        let quarter = rtt.minimum().min(smoothed) / 4;
        (quarter * (self.rack.widening + 1)).min(smoothed)
    }
}
