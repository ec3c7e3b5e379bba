//! What is under way: one entry per segment that was sent and is not acknowledged (RFC 6675).
//! Which of them are lost is the story of `rack.rs`.

mod rack;

use std::collections::VecDeque;
use std::time::Duration;

use self::rack::Rack;
use super::rtt::Rtt;
use super::time::Time;

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
