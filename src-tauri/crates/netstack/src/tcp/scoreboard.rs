//! What is under way: one entry per segment that was sent and is not acknowledged (RFC 6675), with
//! losses found by time (RACK, RFC 8985 §6).

use std::collections::VecDeque;
use std::time::Duration;

use super::rtt::Rtt;
use super::time::Time;

/// Acknowledgements of segments behind a hole after which it counts as a loss at once, as long as
/// this connection never saw packets change places (RFC 8985 §6.2 step 4).
const SEGMENTS_BEHIND: u32 = 3;

/// Recoveries for which a widened reordering window stays (RFC 8985 §6.2 step 4).
const WIDENED_FOR: u32 = 16;

/// A segment, `start..end`; a FIN counts as one.
#[derive(Debug, Clone, Copy)]
struct Sent {
    start: u64,
    end: u64,
    at: Time,
    repeated: bool,
    state: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    UnderWay,
    /// Received behind a hole.
    Sacked,
    /// Given up; goes out again as soon as the window allows it.
    Lost,
}

impl Sent {
    const fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether this was sent after (`at`, `end`); a burst has one time (RFC 8985 §6.2 step 2).
    fn after(&self, at: Time, end: u64) -> bool {
        self.at > at || (self.at == at && self.end > end)
    }
}

#[derive(Default)]
pub struct Scoreboard {
    sent: VecDeque<Sent>,
    in_flight: u64,
    lost: u64,
    sacked_segments: u32,
    repeated_segments: u32,
    rack: Rack,
}

/// The segment that was sent last among those that arrived, and how much later others may come.
#[derive(Default)]
struct Rack {
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

/// What an acknowledgement told.
#[derive(Debug, Default, Clone, Copy)]
pub struct Delivered {
    /// Bytes that arrived, in or out of order, and were not known to have.
    pub bytes: u64,
    /// Round trip of the newest segment that was sent only once.
    pub rtt: Option<Duration>,
    /// Whether one of the segments that are acknowledged in order had been repeated.
    pub repeated: bool,
    /// Whether ranges were reported that were not known.
    pub sacked: bool,
}

/// What [`Scoreboard::detect`] found.
#[derive(Debug, Default, Clone, Copy)]
pub struct Detected {
    pub lost: u64,
    /// When to look again.
    pub again_in: Option<Duration>,
}

impl Scoreboard {
    /// Bytes that are believed to be on the line (RFC 6675 "pipe").
    pub const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub const fn any_sacked(&self) -> bool {
        self.sacked_segments > 0
    }

    /// Whether exactly one segment is outstanding.
    pub fn is_single(&self) -> bool {
        self.sent.len() == 1
    }

    /// When the oldest outstanding segment was last sent.
    pub fn oldest(&self) -> Option<Time> {
        self.sent.front().map(|first| first.at)
    }

    /// New bytes went out.
    pub fn push(&mut self, start: u64, end: u64, now: Time) {
        self.in_flight += end - start;
        self.sent.push_back(Sent {
            start,
            end,
            at: now,
            repeated: false,
            state: Fate::UnderWay,
        });
    }

    /// The first bytes to send again, at most `most` of them.
    pub fn first_lost(&self, most: u64) -> Option<(u64, u64)> {
        if self.lost == 0 {
            return None;
        }
        self.sent
            .iter()
            .find(|one| one.state == Fate::Lost)
            .map(|one| (one.start, one.end.min(one.start + most)))
    }

    /// The last outstanding bytes, at most `most` of them, for a tail loss probe.
    pub fn last(&self, most: u64) -> Option<(u64, u64)> {
        self.sent
            .back()
            .map(|one| (one.start.max(one.end.saturating_sub(most)), one.end))
    }

    /// `start..end` goes out again. It may be a part of a segment: the path became narrower.
    pub fn repeat(&mut self, start: u64, end: u64, now: Time) {
        let Some(mut at) = self.position(start) else {
            return;
        };
        if self.sent[at].start < start {
            self.split(at, start);
            at += 1;
        }
        if self.sent[at].end > end {
            self.split(at, end);
        }
        let one = &mut self.sent[at];
        match one.state {
            Fate::Lost => {
                self.lost -= one.len();
                self.in_flight += one.len();
                one.state = Fate::UnderWay;
            }
            Fate::UnderWay => {}
            Fate::Sacked => return,
        }
        one.at = now;
        if !one.repeated {
            one.repeated = true;
            self.repeated_segments += 1;
        }
    }

    /// Everything before `una` arrived, and `ranges` behind it. `echo` tells whether the segment
    /// that is answered was sent at or after a time, if timestamps can tell.
    pub fn acknowledge(
        &mut self,
        una: u64,
        ranges: &[Option<(u64, u64)>; 3],
        echo: impl Fn(Time) -> Option<bool>,
        rtt: &Rtt,
        now: Time,
    ) -> Delivered {
        let mut delivered = Delivered::default();
        let mut sample = None;
        while let Some(first) = self.sent.front_mut() {
            if first.start >= una {
                break;
            }
            let mut one = *first;
            if una < one.end {
                // A part of it: the other side saw another segmentation.
                first.start = una;
                one.end = una;
            } else {
                self.sent.pop_front();
                self.repeated_segments -= u32::from(one.repeated);
                self.sacked_segments -= u32::from(one.state == Fate::Sacked);
            }
            match one.state {
                Fate::UnderWay => self.in_flight -= one.len(),
                Fate::Lost => self.lost -= one.len(),
                Fate::Sacked => continue,
            }
            delivered.bytes += one.len();
            delivered.repeated |= one.repeated;
            self.arrived(&one, &echo, rtt, now, &mut sample);
        }
        // Ascending: a lower range that is new in the same report was not overtaken.
        let mut ranges = *ranges;
        ranges.sort_unstable();
        for (start, end) in ranges.into_iter().flatten() {
            if end > una {
                self.sack(
                    start.max(una),
                    end,
                    &echo,
                    rtt,
                    now,
                    &mut delivered,
                    &mut sample,
                );
            }
        }
        delivered.rtt = sample.map(|at| now.since(at));
        delivered
    }

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

    #[expect(clippy::too_many_arguments, reason = "one step of `acknowledge`")]
    fn sack(
        &mut self,
        start: u64,
        end: u64,
        echo: &impl Fn(Time) -> Option<bool>,
        rtt: &Rtt,
        now: Time,
        delivered: &mut Delivered,
        sample: &mut Option<Time>,
    ) {
        let first = self.sent.partition_point(|one| one.start < start);
        for at in first..self.sent.len() {
            let one = &mut self.sent[at];
            if one.end > end {
                break;
            }
            match one.state {
                Fate::Sacked => continue,
                Fate::UnderWay => self.in_flight -= one.len(),
                Fate::Lost => self.lost -= one.len(),
            }
            one.state = Fate::Sacked;
            self.sacked_segments += 1;
            delivered.bytes += one.len();
            delivered.sacked = true;
            let one = *one;
            self.arrived(&one, echo, rtt, now, sample);
        }
    }

    /// RFC 8985 §6.2 steps 1 to 3.
    fn arrived(
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

    /// The segment that `number` lies in.
    fn position(&self, number: u64) -> Option<usize> {
        let at = self.sent.partition_point(|one| one.end <= number);
        (self.sent.get(at)?.start <= number).then_some(at)
    }

    fn split(&mut self, at: usize, number: u64) {
        let mut second = self.sent[at];
        second.start = number;
        self.sent[at].end = number;
        self.repeated_segments += u32::from(second.repeated);
        self.sacked_segments += u32::from(second.state == Fate::Sacked);
        self.sent.insert(at + 1, second);
    }
}
