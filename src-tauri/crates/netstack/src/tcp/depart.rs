//! Segments that leave, and the timers behind them.

use std::time::Duration;

use smoltcp::wire::TcpControl;

use super::connection::{Connection, End, State};
use super::rope::Rope;
use super::segment::{Header, Timestamp};
use super::sender::Transmission;
use super::time::Time;

/// A connection on which nothing was heard for so long is asked whether it lives. Two hours would
/// be the default of RFC 9293 §3.8.4; inside a tunnel both the gateway's and firewalls' memories
/// are shorter, and an application that waits for news should learn that the tunnel went away.
pub const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// Between two questions.
const KEEP_ALIVE_AGAIN: Duration = Duration::from_secs(15);

/// Questions without answer after which it is dead: with the first minute, five.
const KEEP_ALIVE_PROBES: u32 = 16;

/// First wait for the answer to a SYN (RFC 6298 §2.1), doubled each time.
const SYN_RETRY: Duration = Duration::from_secs(1);

/// SYNs after which nobody is there: two minutes.
const SYNS_MAX: u32 = 7;

/// Takes what leaves.
pub trait Wire {
    /// Segments with bytes that may leave now.
    fn room(&self) -> usize;

    /// Sends one segment: `header`, then `payload` bytes of `rope` from number `from` on.
    fn send(&mut self, header: &Header, rope: &Rope, from: u64, payload: usize);
}

impl Connection {
    /// Handles timers that ended and sends whatever may be sent. True when the wire had no room
    /// for all: to be called again when it has.
    pub fn poll(&mut self, now: Time, wire: &mut impl Wire) -> bool {
        let mut held_back = false;
        match self.state {
            State::SynSent | State::SynReceived => self.poll_handshake(now, wire),
            State::Closed => {}
            _ => {
                self.expire(now);
                if self.state != State::Closed {
                    held_back = self.send(now, wire);
                }
            }
        }
        if let Some(reset) = self.reset_due.take() {
            let header = Header::bare(TcpControl::Rst, reset.sequence, reset.acknowledgement);
            wire.send(&header, self.sender.buffer(), 0, 0);
        }
        held_back
    }

    /// When [`Connection::poll`] has something to do without any event; `None` is never.
    pub fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Closed => None,
            State::SynSent | State::SynReceived => self.handshake.again_at,
            State::TimeWait => [self.closes_at, self.receiver.deadline()]
                .into_iter()
                .flatten()
                .min(),
            _ => [
                self.sender.deadline(),
                self.receiver.deadline(),
                self.closes_at,
                Some(self.liveness.probe_at),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    fn poll_handshake(&mut self, now: Time, wire: &mut impl Wire) {
        if self.handshake.sent_at.is_some() && self.handshake.again_at.is_none_or(|at| at > now) {
            return;
        }
        if self.handshake.times >= SYNS_MAX {
            self.finish(End::TimedOut);
            return;
        }
        self.handshake.sent_at = Some(now);
        self.handshake.again_at = Some(now + SYN_RETRY * (1 << self.handshake.times.min(6)));
        self.handshake.times += 1;
        let answers = self.state == State::SynReceived;
        let options = &self.options;
        let stamp = Timestamp {
            value: now.ticks().wrapping_add(options.clock_offset),
            echo: options.recent,
        };
        let scale = options.our_scale;
        let (acknowledgement, _) = self.receiver.pay();
        let header = Header {
            control: TcpControl::Syn,
            sequence: self.numbering.to_wire(0),
            acknowledgement: answers.then_some(acknowledgement),
            // Not scaled in a SYN: RFC 7323 §2.2.
            window: u16::MAX,
            mss: Some(self.our_mss()),
            window_scale: (!answers || scale > 0).then_some(scale),
            sack_permitted: self.options.sack,
            timestamp: self.options.timestamps.then_some(stamp),
            sack: [None; 3],
        };
        wire.send(&header, self.sender.buffer(), 0, 0);
    }

    fn expire(&mut self, now: Time) {
        if self.closes_at.is_some_and(|at| at <= now) {
            if self.state == State::TimeWait {
                self.state = State::Closed;
            } else {
                self.abort(End::Aborted);
            }
            return;
        }
        if self.sender.expire(now).is_err() {
            self.abort(End::TimedOut);
        }
    }

    fn send(&mut self, now: Time, wire: &mut impl Wire) -> bool {
        if self.receiver.owes_report() {
            self.acknowledge(now, wire);
        }
        let mut held_back = false;
        if self.state != State::TimeWait {
            let mut room = wire.room();
            loop {
                if room == 0 {
                    held_back = true;
                    break;
                }
                let Some(next) = self.sender.transmit(now) else {
                    break;
                };
                room -= 1;
                self.put(next, now, wire);
            }
            if let Some(probe) = self.sender.window_probe(now) {
                self.put(probe, now, wire);
            }
            self.keep_alive(now, wire);
        }
        if self.receiver.owes(now) {
            self.acknowledge(now, wire);
        }
        held_back
    }

    fn put(&mut self, what: Transmission, now: Time, wire: &mut impl Wire) {
        match what {
            Transmission::Segment {
                start,
                payload,
                fin,
                push,
            } => {
                let control = match (fin, push) {
                    (true, _) => TcpControl::Fin,
                    (false, true) => TcpControl::Psh,
                    (false, false) => TcpControl::None,
                };
                let header = self.header(control, start, now);
                wire.send(&header, self.sender.buffer(), start, payload);
            }
            Transmission::WindowProbe => self.ask(now, wire),
        }
    }

    /// An empty segment with a number that was acknowledged long ago: it has to be answered.
    fn ask(&mut self, now: Time, wire: &mut impl Wire) {
        let header = self.header(TcpControl::None, self.sender.una() - 1, now);
        wire.send(&header, self.sender.buffer(), 0, 0);
    }

    fn keep_alive(&mut self, now: Time, wire: &mut impl Wire) {
        if now < self.liveness.probe_at {
            return;
        }
        if self.liveness.probes >= KEEP_ALIVE_PROBES {
            self.abort(End::TimedOut);
            return;
        }
        self.liveness.probes += 1;
        self.liveness.probe_at = now + KEEP_ALIVE_AGAIN;
        self.ask(now, wire);
    }

    fn acknowledge(&mut self, now: Time, wire: &mut impl Wire) {
        let mut header = self.header(TcpControl::None, self.sender.next(), now);
        if self.options.sack {
            header.sack = self.receiver.report();
        }
        wire.send(&header, self.sender.buffer(), 0, 0);
    }

    /// Every segment acknowledges; what is owed is paid with it.
    fn header(&mut self, control: TcpControl, number: u64, now: Time) -> Header {
        self.options.last_acknowledged = self.receiver.next();
        let (acknowledgement, window) = self.receiver.pay();
        let options = &self.options;
        let sequence = self.numbering.to_wire(number);
        Header {
            window,
            timestamp: options.timestamps.then(|| Timestamp {
                value: now.ticks().wrapping_add(options.clock_offset),
                echo: options.recent,
            }),
            ..Header::bare(control, sequence, Some(acknowledgement))
        }
    }
}
