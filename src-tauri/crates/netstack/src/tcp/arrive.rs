//! Segments that arrive (RFC 9293 §3.10.7).

use std::time::Duration;

use smoltcp::wire::TcpControl;

use super::connection::{Connection, End, ORPHAN, State, TIME_WAIT};
use super::depart::KEEP_ALIVE;
use super::facts::Reset;
use super::segment::{Header, Segment};
use super::sender::Ack;
use super::time::Time;

/// A clock that stood still for so long may have wrapped (RFC 7323 §5.5).
const CLOCK_VALID: Duration = Duration::from_hours(24 * 24);

/// Answers to doubtful segments per second (RFC 5961 §10).
const CHALLENGES_PER_SECOND: u32 = 10;

impl Connection {
    /// Takes one segment that is addressed to this connection, whatever it holds.
    pub fn arrived(&mut self, segment: Segment, now: Time) {
        match self.state {
            State::Closed => {}
            State::SynSent => self.arrived_in_syn_sent(&segment.header, now),
            _ => self.arrived_in_sequence(segment, now),
        }
    }

    /// RFC 9293 §3.10.7.3.
    fn arrived_in_syn_sent(&mut self, header: &Header, now: Time) {
        let ours = header
            .acknowledgement
            .map(|ack| self.numbering.nearest(ack, 0) == Some(1));
        if ours == Some(false) {
            // An answer to a former connection with these ports: it is told that it is dead.
            if header.control != TcpControl::Rst {
                self.reset_due = header.acknowledgement.map(|sequence| Reset {
                    sequence,
                    acknowledgement: None,
                });
            }
            return;
        }
        match header.control {
            TcpControl::Rst if ours == Some(true) => self.finish(End::Refused),
            TcpControl::Syn => {
                self.heard(now);
                self.agree(header, now);
                if ours == Some(true) {
                    self.establish(header, 1, now);
                    self.receiver.acknowledge_now();
                } else {
                    // Both sides opened at the same time.
                    self.state = State::SynReceived;
                    self.handshake.again_at = Some(now);
                }
            }
            _ => {}
        }
    }

    /// Both SYNs are known and ours was acknowledged.
    fn establish(&mut self, header: &Header, sequence: u64, now: Time) {
        self.state = State::Established;
        // The window of a SYN is never scaled (RFC 7323 §2.2).
        let scale = if header.control == TcpControl::Syn {
            0
        } else {
            self.options.their_scale
        };
        self.window_told = (sequence, 1);
        self.sender.acknowledged(&Ack {
            una: 1,
            ranges: [None; 3],
            duplicate: false,
            edge: Some(1 + (u64::from(header.window) << scale)),
            echo: None,
            now,
        });
        if let (Some(sent), 1) = (self.handshake.sent_at, self.handshake.times) {
            self.sender.handshake_took(now.since(sent), now);
        }
        self.handshake.again_at = None;
    }

    /// RFC 9293 §3.10.7.4.
    fn arrived_in_sequence(&mut self, segment: Segment, now: Time) {
        let header = segment.header;
        let Some(start) = self.receiver.number(header.sequence) else {
            self.challenge(now);
            return;
        };
        let next = self.receiver.next();
        let edge = self.receiver.edge().max(next);

        if header.control == TcpControl::Rst {
            // RFC 5961 §3.2: only the exact number counts, a near one is asked about.
            if start == next {
                self.heard(now);
                self.finish(if self.state == State::SynReceived {
                    End::Refused
                } else {
                    End::Reset
                });
            } else if start > next && start < edge {
                self.challenge(now);
            }
            return;
        }
        if self.is_from_the_past(&header, now) {
            self.answer_or_doubt(segment.sequence_len(), now);
            return;
        }
        if header.control == TcpControl::Syn {
            if self.state == State::SynReceived && start == 0 {
                if header.acknowledgement == Some(self.numbering.to_wire(1)) {
                    // The answer to our SYN, which crossed theirs.
                    self.establish(&header, 0, now);
                    self.receiver.acknowledge_now();
                } else {
                    // Our answer was lost.
                    self.handshake.again_at = Some(now);
                }
            } else {
                // RFC 5961 §4.2: a peer that restarted answers our challenge with a RST.
                self.challenge(now);
            }
            return;
        }
        let len = segment.sequence_len();
        let old = len > 0 && start + len <= next;
        let beyond = start > edge || (start == edge && len > 0 && edge > next);
        if old || (len == 0 && start < next) || beyond {
            if old && self.takes_data() {
                // Reported, so that the other side learns that its repetition was in vain.
                self.receiver.take(start, segment.payload, false, now);
            }
            self.answer_or_doubt(len, now);
            return;
        }
        self.heard(now);
        self.remember_clock(&header, start, now);
        if !self.acknowledgement(&header, start, now) {
            return;
        }
        if len > 0 {
            self.data(segment, start, now);
        }
        self.proceed(now);
    }

    /// PAWS: a segment whose clock is behind was sent before one that we have (RFC 7323 §5.3).
    fn is_from_the_past(&self, header: &Header, now: Time) -> bool {
        let Some(stamp) = header.timestamp.filter(|_| self.options.timestamps) else {
            return false;
        };
        stamp.value.wrapping_sub(self.options.recent).cast_signed() < 0
            && now.since(self.options.recent_at) < CLOCK_VALID
    }

    /// RFC 7323 §4.3.
    fn remember_clock(&mut self, header: &Header, start: u64, now: Time) {
        let Some(stamp) = header.timestamp.filter(|_| self.options.timestamps) else {
            return;
        };
        if start <= self.options.last_acknowledged {
            self.options.recent = stamp.value;
            self.options.recent_at = now;
        }
    }

    /// Handles the acknowledgement; false when the segment ends here.
    fn acknowledgement(&mut self, header: &Header, start: u64, now: Time) -> bool {
        let Some(wire) = header.acknowledgement else {
            return false;
        };
        if self.state == State::SynReceived {
            if self.numbering.nearest(wire, 1) != Some(1) {
                self.reset_due = Some(Reset {
                    sequence: wire,
                    acknowledgement: None,
                });
                return false;
            }
            self.establish(header, start, now);
            return true;
        }
        let una = self.sender.una();
        let Some(ack) = self.numbering.nearest(wire, una) else {
            self.challenge(now);
            return false;
        };
        // RFC 5961 §5.2: neither what we never sent nor what nobody can still be answering.
        if ack > self.sender.next() || ack + self.sender.largest_window() < una {
            self.challenge(now);
            return false;
        }
        if ack < una {
            return true;
        }
        let newer = start > self.window_told.0
            || (start == self.window_told.0 && ack >= self.window_told.1);
        let edge = newer.then(|| {
            self.window_told = (start, ack);
            ack + (u64::from(header.window) << self.options.their_scale)
        });
        let (ranges, duplicate) = self.ranges(header, ack);
        let echo = header
            .timestamp
            .filter(|_| self.options.timestamps)
            .map(|stamp| stamp.echo.wrapping_sub(self.options.clock_offset));
        self.sender.acknowledged(&Ack {
            una: ack,
            ranges,
            duplicate,
            edge,
            echo,
            now,
        });
        true
    }

    /// The reported ranges that can be true, and whether the first tells of a repetition
    /// (RFC 2883 §4: it lies below the acknowledgement, or inside the second).
    fn ranges(&self, header: &Header, ack: u64) -> ([Option<(u64, u64)>; 3], bool) {
        if !self.options.sack {
            return ([None; 3], false);
        }
        let mut ranges = header.sack.map(|range| {
            let (start, end) = range?;
            let start = self.numbering.nearest(start, ack)?;
            let end = self.numbering.nearest(end, ack)?;
            (start < end && end <= self.sender.next()).then_some((start, end))
        });
        let duplicate = match (ranges[0], ranges[1]) {
            (Some((_, end)), _) if end <= ack => true,
            (Some((start, end)), Some((outer, outer_end))) => outer <= start && end <= outer_end,
            _ => false,
        };
        if duplicate {
            ranges[0] = None;
        }
        for range in &mut ranges {
            *range = range.filter(|(start, _)| *start >= ack);
        }
        (ranges, duplicate)
    }

    fn data(&mut self, segment: Segment, start: u64, now: Time) {
        if !self.takes_data() {
            // After the other side's FIN there is nothing; repetitions are answered.
            self.receiver.acknowledge_now();
            return;
        }
        if self.orphaned && !segment.payload.is_empty() {
            self.abort(End::Aborted);
            return;
        }
        let fin = segment.header.control == TcpControl::Fin;
        self.receiver.take(start, segment.payload, fin, now);
    }

    const fn takes_data(&self) -> bool {
        matches!(
            self.state,
            State::Established | State::FinWait1 | State::FinWait2
        )
    }

    /// Moves on when a FIN arrived or ours was acknowledged.
    fn proceed(&mut self, now: Time) {
        let sent = self.sender.is_finished();
        let received = self.receiver.is_finished();
        let before = self.state;
        self.state = match self.state {
            State::Established if received => State::CloseWait,
            State::FinWait1 if sent && received => State::TimeWait,
            State::FinWait1 if sent => State::FinWait2,
            State::FinWait1 if received => State::Closing,
            State::FinWait2 if received => State::TimeWait,
            State::Closing if sent => State::TimeWait,
            State::LastAck if sent => State::Closed,
            same => same,
        };
        if self.state == before {
            return;
        }
        match self.state {
            State::TimeWait => self.closes_at = Some(now + TIME_WAIT),
            State::FinWait2 if self.orphaned => self.closes_at = Some(now + ORPHAN),
            _ => {}
        }
    }

    /// A segment that may be old or forged is answered with what we expect, not too often.
    fn challenge(&mut self, now: Time) {
        if now.since(self.challenges.since) >= Duration::from_secs(1) {
            self.challenges.since = now;
            self.challenges.count = 0;
        }
        if self.challenges.count < CHALLENGES_PER_SECOND {
            self.challenges.count += 1;
            self.receiver.acknowledge_now();
        }
    }

    /// Repeated data are answered each time, for the answer may have been lost; empty segments
    /// only now and then, or two confused sides would answer each other for ever.
    fn answer_or_doubt(&mut self, len: u64, now: Time) {
        if len > 0 {
            self.receiver.acknowledge_now();
        } else {
            self.challenge(now);
        }
    }

    fn heard(&mut self, now: Time) {
        self.liveness.heard_at = now;
        self.liveness.probes = 0;
        self.liveness.probe_at = now + KEEP_ALIVE;
    }
}
