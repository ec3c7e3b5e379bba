//! The sending half: what goes out, when, and again (RFC 9293 §3.8, RFC 8985, RFC 6298).
//!
//! ```text
//!            loss found                 una ≥ point
//!   Open ──────────────▶ Recovery ─────────────────▶ Open
//!    │                       │ time-out                ▲
//!    └──────── time-out ─────┴──▶ Collapsed ───────────┘
//!                                     una ≥ point, or the time-out was false
//! ```

mod recover;
mod transmit;

use std::time::Duration;

use super::cubic::Cubic;
use super::pacer::Pacer;
use super::prr::Prr;
use super::rope::{Rope, to_usize};
use super::rtt::Rtt;
use super::scoreboard::Scoreboard;
use super::time::Time;

/// Time-outs in a row after which the connection is dead: with the first at a fifth of a second
/// and the last a minute each this is six minutes (RFC 9293 §3.8.3 asks for 100 s at least).
const BACKOFFS_MAX: u32 = 12;

/// How long a receiver keeps an acknowledgement back (RFC 8985 §7.2, `max_ack_delay`). 200 ms are
/// allowed for, 40 to 50 ms are what systems do; a probe in vain costs one segment.
const ACK_DELAY: Duration = Duration::from_millis(60);

/// Timers below this would measure the machine, not the line.
const PROBE_FLOOR: Duration = Duration::from_millis(5);

/// The least that a writer may hand over before anything is acknowledged.
const BUFFER_MIN: u64 = 64 * 1024;

/// Numbers, windows and timers of the sending half. Number 0 is the SYN.
pub struct Sender {
    buffer: Rope,
    board: Scoreboard,
    rtt: Rtt,
    cubic: Cubic,
    pacer: Pacer,
    phase: Phase,
    /// First number that is not acknowledged.
    una: u64,
    /// Number that is sent next.
    next: u64,
    closed: bool,
    /// First number that the other side has no room for.
    edge: u64,
    /// Largest window that it ever offered.
    largest_window: u64,
    /// Payload bytes per segment.
    mss: usize,
    sack: bool,
    undo: Option<Undo>,
    probe: Option<Probe>,
    timers: Timers,
    window_was_full: bool,
    last_sent: Time,
    buffer_max: u64,
    repeated_segments: u64,
}

#[derive(Clone)]
enum Phase {
    Open,
    Recovery { prr: Prr, point: u64 },
    Collapsed { point: u64 },
}

/// What to go back to when the loss turns out to have been none (RFC 3522).
struct Undo {
    cubic: Cubic,
    /// The clock in the timestamp option when the first repetition went out.
    stamp: Option<u32>,
}

/// A tail loss probe under way (RFC 8985 §7.4).
struct Probe {
    end: u64,
    repetition: bool,
}

#[derive(Default)]
struct Timers {
    retransmit: Option<Time>,
    probe: Option<Time>,
    reorder: Option<Time>,
    /// Asks a closed window whether it opened (RFC 9293 §3.8.6.1).
    persist: Option<Time>,
    /// More may be sent, but not all at once.
    pace: Option<Time>,
    probe_due: bool,
    /// The first repetition after a time-out goes out whatever is believed to be under way.
    repetition_due: bool,
}

/// An acknowledgement, in numbers of this half.
#[derive(Debug, Clone, Copy)]
pub struct Ack {
    pub una: u64,
    pub ranges: [Option<(u64, u64)>; 3],
    /// A range below `una`: a segment arrived twice (RFC 2883).
    pub duplicate: bool,
    /// First number that the other side has no room for; `None` when the segment is older than
    /// one that told already (RFC 9293 §3.10.7.4).
    pub edge: Option<u64>,
    /// The echoed clock.
    pub echo: Option<u32>,
    pub now: Time,
}

/// What to put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transmission {
    /// `payload` bytes from `start`, then a FIN if `fin`.
    Segment {
        start: u64,
        payload: usize,
        fin: bool,
        push: bool,
    },
    /// An empty segment from outside the window, which has to be answered.
    WindowProbe,
}

/// The other side does not answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GaveUp;

impl Sender {
    /// A sender whose SYN was sent once or more: `handshake` is the round trip when it was once.
    pub fn new(mss: usize, sack: bool, buffer_max: usize, now: Time) -> Self {
        Self {
            buffer: Rope::new(1),
            board: Scoreboard::default(),
            rtt: Rtt::new(now),
            cubic: Cubic::new(mss),
            pacer: Pacer::new(now),
            phase: Phase::Open,
            una: 1,
            next: 1,
            closed: false,
            edge: 1,
            largest_window: 0,
            mss,
            sack,
            undo: None,
            probe: None,
            timers: Timers::default(),
            window_was_full: false,
            last_sent: now,
            buffer_max: (buffer_max as u64).max(BUFFER_MIN),
            repeated_segments: 0,
        }
    }

    pub fn handshake_took(&mut self, round_trip: Duration, now: Time) {
        self.rtt.sample(round_trip, now);
    }

    pub const fn una(&self) -> u64 {
        self.una
    }

    pub const fn next(&self) -> u64 {
        self.next
    }

    pub const fn buffer(&self) -> &Rope {
        &self.buffer
    }

    pub const fn largest_window(&self) -> u64 {
        self.largest_window
    }

    pub const fn smoothed_rtt(&self) -> Option<Duration> {
        self.rtt.smoothed()
    }

    /// Segments that were sent again.
    pub const fn repeated_segments(&self) -> u64 {
        self.repeated_segments
    }

    /// Whether everything, the FIN too, was acknowledged.
    pub const fn is_finished(&self) -> bool {
        self.closed && self.una > self.buffer.end()
    }

    /// Bytes that a writer may hand over now. Twice the congestion window: one is under way, one
    /// ready to follow; more would only wait here.
    pub fn room(&self) -> usize {
        if self.closed {
            return 0;
        }
        let limit = (self.cubic.window() * 2).clamp(BUFFER_MIN, self.buffer_max);
        to_usize(limit).saturating_sub(self.buffer.len())
    }

    /// Whether a writer that waits should be woken: not for every few bytes.
    pub fn has_worthwhile_room(&self) -> bool {
        self.closed || self.room() >= self.buffer.len() / 3
    }

    /// Takes what there is room for.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        self.buffer.push(&bytes[..count]);
        count
    }

    /// Nothing follows: a FIN goes behind the last byte.
    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn set_mss(&mut self, mss: usize) {
        if mss != self.mss {
            self.mss = mss;
            self.cubic.set_mss(mss);
            self.board.too_big(mss as u64);
        }
    }

    /// Repeats what waits for a timer as soon as it waits longer than a round trip.
    pub fn nudge(&mut self, now: Time) {
        let patience = self.rtt.smoothed().unwrap_or_default() * 2 + Duration::from_millis(100);
        if let Some(sent) = self.board.oldest() {
            let due = sent + patience;
            // What was repeated a moment before the way opened got lost as well, and its timer has doubled so often that
            // it may run for a minute.
            if due < now || self.rtt.backoffs() > 0 {
                self.rtt.progress();
                self.timers.retransmit = Some(due.max(now));
                self.timers.probe = None;
            }
        }
        if self.timers.persist.is_some() {
            self.rtt.progress();
            self.timers.persist = Some(now);
        }
    }

    /// When [`Sender::expire`] or [`Sender::transmit`] has something to do without any event.
    pub fn deadline(&self) -> Option<Time> {
        let timers = &self.timers;
        [
            timers.probe.or(timers.retransmit),
            timers.reorder,
            timers.persist,
            timers.pace,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
