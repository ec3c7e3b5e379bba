//! One connection as a protocol: segments, calls and the time in; segments, bytes and deadlines out.
//!
//! ```text
//!                  connect                       (a SYN that crosses ours)
//!                     │          SYN                 ┌──────────────┐
//!                  SynSent ──────────────────────────▶ SynReceived  │
//!                     │ SYN+ACK                      └──────┬───────┘
//!                     ▼                       ACK           │
//!                Established ◀──────────────────────────────┘
//!            close │      │ FIN
//!                  ▼      ▼
//!           FinWait1    CloseWait
//!     ACK │  │FIN  │FIN+ACK   │ close
//!         ▼  ▼     │          ▼
//!  FinWait2 Closing│       LastAck
//!         │FIN│ACK │          │ ACK
//!         ▼   ▼    ▼          ▼
//!           TimeWait ─────▶ Closed ◀── RST, time-out, abort (from everywhere)
//! ```
//!
//! RFC 9293 §3.3.2. What arrives is in `arrive.rs`, what leaves in `depart.rs`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::facts::{Challenges, Handshake, Liveness, Options, Reset};
use super::receiver::Receiver;
use super::segment::{HEADER, Header, TIMESTAMP};
use super::sender::Sender;
use super::sequence::Numbering;
use super::time::Time;
use crate::icmp::ComplaintKind;
use crate::packet;

/// Payload per segment is never below this, whatever the other side says: a tiny MSS makes us send
/// forty bytes of header per byte.
const MSS_MIN: usize = 64;

/// What a host takes that said nothing (RFC 9293 §3.7.1).
const MSS_DEFAULT: usize = 536;

/// RFC 1191 §3: no router of today offers less; a smaller size is an attempt to slow us down.
const PATH_MTU_MIN: usize = 552;

/// How long a closed connection answers repetitions. RFC 9293 asks for four minutes so that a
/// port is not used again too early; ours go round through 45,000, so ten seconds do.
pub const TIME_WAIT: Duration = Duration::from_secs(10);

/// How long the other side may leave its half open when nobody reads any more.
pub const ORPHAN: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
}

/// Why a connection ended before both sides had closed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Refused,
    Reset,
    TimedOut,
    Unreachable,
    Aborted,
}

/// Bounds of one connection, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest IP packet to this destination.
    pub mtu: usize,
    pub receive: usize,
    pub send: usize,
}

pub struct Connection {
    pub(super) ours: SocketAddr,
    pub(super) theirs: SocketAddr,
    pub(super) state: State,
    pub(super) end: Option<End>,
    pub(super) limits: Limits,
    pub(super) numbering: Numbering,
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    pub(super) options: Options,
    pub(super) handshake: Handshake,
    pub(super) liveness: Liveness,
    pub(super) challenges: Challenges,
    /// Sequence and acknowledgement of the segment that told the window (RFC 9293 `SND.WL1/2`).
    pub(super) window_told: (u64, u64),
    /// When TIME-WAIT or the patience with an abandoned connection ends.
    pub(super) closes_at: Option<Time>,
    pub(super) orphaned: bool,
    pub(super) reset_due: Option<Reset>,
}

impl Connection {
    /// An active open; the first segment comes out of [`Connection::poll`]. `initial` is our
    /// first sequence number and has to be unpredictable (RFC 6528), as has `clock_offset`.
    pub fn connect(
        ours: SocketAddr,
        theirs: SocketAddr,
        limits: Limits,
        initial: u32,
        clock_offset: u32,
        now: Time,
    ) -> Self {
        let our_scale = scale_for(limits.receive);
        Self {
            ours,
            theirs,
            state: State::SynSent,
            end: None,
            limits,
            numbering: Numbering::new(initial),
            sender: Sender::new(MSS_DEFAULT, false, limits.send, now),
            receiver: Receiver::new(0, our_scale, limits.receive, now),
            options: Options {
                clock_offset,
                timestamps: true,
                sack: true,
                their_scale: 0,
                our_scale,
                their_mss: MSS_DEFAULT,
                recent: 0,
                recent_at: now,
                last_acknowledged: 0,
            },
            handshake: Handshake {
                sent_at: None,
                times: 0,
                again_at: None,
            },
            liveness: Liveness {
                heard_at: now,
                probes: 0,
                probe_at: now + super::depart::KEEP_ALIVE,
            },
            challenges: Challenges {
                since: now,
                count: 0,
            },
            window_told: (0, 0),
            closes_at: None,
            orphaned: false,
            reset_due: None,
        }
    }

    pub const fn state(&self) -> State {
        self.state
    }

    pub const fn end(&self) -> Option<End> {
        self.end
    }

    pub const fn ours(&self) -> SocketAddr {
        self.ours
    }

    pub const fn theirs(&self) -> SocketAddr {
        self.theirs
    }

    pub const fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Whether both sides know each other and none has reset the connection.
    pub const fn is_open(&self) -> bool {
        !matches!(
            self.state,
            State::SynSent | State::SynReceived | State::Closed
        )
    }

    /// Whether the handshake still runs.
    pub const fn is_opening(&self) -> bool {
        matches!(self.state, State::SynSent | State::SynReceived)
    }

    /// Whether [`Connection::read`] has an answer.
    pub const fn is_readable(&self) -> bool {
        self.receiver.ready() > 0
            || self.receiver.is_finished()
            || matches!(self.state, State::Closed)
    }

    /// Moves received bytes. `Ok(0)` is the end of what the other side sent; to be called when
    /// [`Connection::is_readable`].
    pub fn read(&mut self, into: &mut [u8], now: Time) -> Result<usize, End> {
        if self.receiver.ready() > 0 {
            let rtt = self.sender.smoothed_rtt();
            return Ok(self.receiver.read(into, rtt, now));
        }
        match self.end {
            None => Ok(0),
            Some(_) if self.receiver.is_finished() => Ok(0),
            Some(end) => Err(end),
        }
    }

    /// Whether a write would be taken, now or never.
    pub fn is_writable(&self) -> bool {
        !self.may_send() || self.sender.has_worthwhile_room()
    }

    /// Takes bytes to send; `Ok(0)` when there is no room now.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, End> {
        if !self.may_send() {
            return Err(self.end.unwrap_or(End::Aborted));
        }
        Ok(self.sender.write(bytes))
    }

    /// Whether [`Connection::poll`] would acknowledge something now.
    pub fn owes(&self, now: Time) -> bool {
        self.is_open() && self.receiver.owes(now)
    }

    /// Nothing more will be written: a FIN follows the last byte.
    pub fn close(&mut self) {
        match self.state {
            State::SynSent | State::SynReceived => self.finish(End::Aborted),
            State::Established => {
                self.sender.close();
                self.state = State::FinWait1;
            }
            State::CloseWait => {
                self.sender.close();
                self.state = State::LastAck;
            }
            _ => {}
        }
    }

    /// Nobody will read or write any more. Bytes that were received and not read make this an
    /// abort, so that the other side does not believe they arrived (RFC 1122 §4.2.2.13).
    pub fn abandon(&mut self, now: Time) {
        self.orphaned = true;
        if self.is_opening() || self.receiver.ready() > 0 {
            self.abort(End::Aborted);
            return;
        }
        self.close();
        self.receiver.discard();
        if self.state == State::FinWait2 {
            self.closes_at = Some(now + ORPHAN);
        }
    }

    /// Ends the connection now; the other side is told with a RST.
    pub fn abort(&mut self, why: End) {
        if self.is_open() || self.state == State::SynReceived {
            self.reset_due = Some(Reset {
                sequence: self.numbering.to_wire(self.sender.next()),
                acknowledgement: Some(self.receiver.wire(self.receiver.next())),
            });
        }
        self.finish(why);
    }

    /// The tunnel is back or the machine woke up: what waits for a timer is tried now.
    pub fn nudge(&mut self, now: Time) {
        const PATIENCE: Duration = Duration::from_millis(200);
        if self.is_opening() {
            if let Some(sent) = self.handshake.sent_at {
                self.handshake.times = self.handshake.times.min(1);
                self.handshake.again_at = Some((sent + PATIENCE).max(now));
            }
        } else {
            self.sender.nudge(now);
        }
    }

    /// The largest packet to this destination changed.
    pub fn set_mtu(&mut self, mtu: usize) {
        self.limits.mtu = mtu;
        if !self.is_opening() {
            self.sender.set_mss(self.mss());
        }
    }

    /// A router complains about a segment of ours that began at `sequence`. False when we sent
    /// none such, or when there is nothing to do about it.
    pub fn complained(&mut self, kind: ComplaintKind, sequence: u32) -> bool {
        let (una, next) = if self.is_opening() {
            (0, 1)
        } else {
            (self.sender.una(), self.sender.next())
        };
        // RFC 5927 §4.1: what is not under way can not have met a router just now.
        if self
            .numbering
            .nearest(sequence, una)
            .is_none_or(|number| number < una || number >= next)
        {
            return false;
        }
        match kind {
            // Later the connection may well survive it (RFC 1122 §4.2.3.9 calls it a soft error).
            ComplaintKind::Unreachable if self.is_opening() => {
                self.finish(End::Unreachable);
                true
            }
            ComplaintKind::TooBig(size) if size < self.limits.mtu && size >= PATH_MTU_MIN => {
                self.set_mtu(size);
                true
            }
            ComplaintKind::Unreachable | ComplaintKind::TooBig(_) => false,
        }
    }

    pub(super) const fn may_send(&self) -> bool {
        matches!(self.state, State::Established | State::CloseWait)
    }

    pub(super) fn finish(&mut self, why: End) {
        if self.state != State::Closed {
            self.end = Some(why);
        }
        self.state = State::Closed;
        self.closes_at = None;
    }

    /// What we say that we take (RFC 6691: without options).
    pub(super) fn our_mss(&self) -> u16 {
        u16::try_from(self.packet_room()).unwrap_or(u16::MAX)
    }

    /// Payload bytes per segment: the smaller of what they take and what the path takes, without
    /// the options that every segment has.
    pub(super) fn mss(&self) -> usize {
        let options = if self.options.timestamps {
            TIMESTAMP
        } else {
            0
        };
        (self.options.their_mss.min(self.packet_room()))
            .saturating_sub(options)
            .max(MSS_MIN)
    }

    fn packet_room(&self) -> usize {
        let header = packet::header_len(self.theirs.ip()) + HEADER;
        self.limits.mtu.saturating_sub(header).max(MSS_MIN)
    }

    /// What both SYNs said becomes the rule; `syn` is the other side's.
    pub(super) fn agree(&mut self, syn: &Header, now: Time) {
        let options = &mut self.options;
        options.timestamps &= syn.timestamp.is_some();
        options.sack &= syn.sack_permitted;
        match syn.window_scale {
            Some(scale) => options.their_scale = scale.min(14),
            None => options.our_scale = 0,
        }
        let silent = match self.theirs.ip() {
            IpAddr::V4(_) => MSS_DEFAULT,
            // RFC 8200 §5: 1280 bytes less the headers.
            IpAddr::V6(_) => 1220,
        };
        options.their_mss = syn.mss.map_or(silent, usize::from);
        if let Some(stamp) = syn.timestamp {
            options.recent = stamp.value;
            options.recent_at = now;
        }
        options.last_acknowledged = 1;
        let our_scale = options.our_scale;
        self.receiver = Receiver::new(syn.sequence, our_scale, self.limits.receive, now);
        self.sender = Sender::new(self.mss(), self.options.sack, self.limits.send, now);
    }
}

/// The smallest shift with which the window field can tell of `bytes`.
fn scale_for(bytes: usize) -> u8 {
    (0..14)
        .find(|scale| usize::from(u16::MAX) << scale >= bytes)
        .unwrap_or(14)
}
