//! The sending half: what goes out, when, and again (RFC 9293 §3.8, RFC 8985, RFC 6298).
//!
//! ```text
//!            loss found                 una ≥ point
//!   Open ──────────────▶ Recovery ─────────────────▶ Open
//!    │                       │ time-out                ▲
//!    └──────── time-out ─────┴──▶ Collapsed ───────────┘
//!                                     una ≥ point, or the time-out was false
//! ```

use std::time::Duration;

use super::cubic::Cubic;
use super::prr::Prr;
use super::rope::{Rope, to_usize};
use super::rtt::Rtt;
use super::scoreboard::Scoreboard;
use super::time::Time;

/// Time-outs in a row after which the connection is dead: with the first at a fifth of a second
/// and the last a minute each this is six minutes (RFC 9293 §3.8.3 asks for 100 s at least).
const BACKOFFS_MAX: u32 = 12;

/// How long a receiver keeps an acknowledgement back (RFC 8985 §7.2 "max_ack_delay"). 200 ms are
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
    /// The first repetition after a time-out goes out whatever is believed to be under way.
    timed_out: bool,
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
    probe_due: bool,
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
            timed_out: false,
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

    /// Repeats now what waits for a timer, if it waits longer than a round trip already.
    pub fn nudge(&mut self, now: Time) {
        let patience = self.rtt.smoothed().unwrap_or_default() * 2 + Duration::from_millis(100);
        let overdue = self
            .board
            .oldest()
            .is_some_and(|at| now.since(at) > patience);
        if overdue {
            self.rtt.progress();
            self.timers.retransmit = Some(now);
            self.timers.probe = None;
        }
        if self.timers.persist.is_some() {
            self.rtt.progress();
            self.timers.persist = Some(now);
        }
    }

    pub fn acknowledged(&mut self, ack: &Ack) {
        self.widen(ack);
        let advanced = ack.una > self.una;
        if self.board.is_empty() {
            return;
        }
        let echo = ack.echo;
        let delivered = self.board.acknowledge(
            ack.una,
            &ack.ranges,
            |sent| echo.map(|echo| echo.wrapping_sub(sent.ticks()).cast_signed() >= 0),
            &self.rtt,
            ack.now,
        );
        if let Some(round_trip) = delivered.rtt {
            self.rtt.sample(round_trip, ack.now);
            self.cubic.round_trip(round_trip, ack.una, self.next);
        }
        if advanced {
            self.una = ack.una;
            self.buffer.release(ack.una.min(self.buffer.end()));
            self.rtt.progress();
            self.timers.retransmit = None;
        }
        if ack.duplicate {
            self.board.duplicate_seen(self.una, self.next);
        }
        if advanced && self.was_false_alarm(ack) {
            self.undo_reduction();
        }
        let lost_now = self.detect(ack.now);
        self.probe_answered(ack, delivered.sacked);
        self.steer(delivered.bytes, lost_now, advanced, ack.now);
        self.arm(ack.now);
    }

    /// Handles the timers that ended.
    pub fn expire(&mut self, now: Time) -> Result<(), GaveUp> {
        if self.timers.reorder.is_some_and(|at| at <= now) {
            self.timers.reorder = None;
            let lost = self.detect(now);
            self.steer(0, lost, false, now);
        }
        if self.timers.retransmit.is_some_and(|at| at <= now) {
            return self.time_out(now);
        }
        if self.timers.probe.is_some_and(|at| at <= now) {
            self.timers.probe = None;
            self.timers.probe_due = true;
            self.timers.retransmit = Some(now + self.rtt.timeout());
        }
        Ok(())
    }

    /// When [`Sender::expire`] or [`Sender::transmit`] has something to do without any event.
    pub fn deadline(&self) -> Option<Time> {
        let timers = &self.timers;
        [
            timers.probe.or(timers.retransmit),
            timers.reorder,
            timers.persist,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next thing to send, already noted as sent. `None` when nothing may go now.
    pub fn transmit(&mut self, now: Time) -> Option<Transmission> {
        if self.timers.probe_due {
            self.timers.probe_due = false;
            if let Some(probe) = self.send_probe(now) {
                return Some(probe);
            }
        }
        let most = self.mss as u64;
        if let Some((start, end)) = self.board.first_lost(most) {
            let fits = self.board.in_flight() + (end - start) <= self.cubic.window();
            if !(fits || self.timed_out || self.board.in_flight() == 0) {
                return None;
            }
            self.timed_out = false;
            return Some(self.repeat(start, end, now));
        }
        self.send_new(now)
    }

    /// New bytes, as far as both windows allow.
    fn send_new(&mut self, now: Time) -> Option<Transmission> {
        if self.board.is_empty() && self.next > 1 && now.since(self.last_sent) > self.rtt.timeout()
        {
            self.cubic.rested();
        }
        let end = self.buffer.end();
        let waiting = end.saturating_sub(self.next);
        let fin_waits = self.closed && self.next <= end;
        if waiting == 0 && !fin_waits {
            self.window_was_full = self.cubic.in_slow_start()
                && self.board.in_flight() * 2 >= self.cubic.window();
            return None;
        }
        let room = self.edge.saturating_sub(self.next);
        let size = waiting.min(self.mss as u64).min(room);
        let empty_fin = fin_waits && waiting == 0;
        if (size == 0 && !empty_fin) || self.is_silly(size, waiting) {
            self.window_was_full = false;
            self.persist(now);
            return None;
        }
        if self.board.in_flight() + size > self.cubic.window() && self.board.in_flight() > 0 {
            self.window_was_full = true;
            return None;
        }
        self.timers.persist = None;
        let start = self.next;
        let fin = self.closed && start + size == end && room >= size;
        let after = start + size + u64::from(fin);
        self.board.push(start, after, now);
        self.next = after;
        self.last_sent = now;
        if let Phase::Recovery { prr, .. } = &mut self.phase {
            prr.sent(size);
        }
        self.arm(now);
        Some(Transmission::Segment {
            start,
            payload: to_usize(size),
            fin,
            push: start + size == end,
        })
    }

    /// Sender's silly window avoidance (RFC 9293 §3.8.6.2.1), without Nagle's rule: what is written
    /// goes out, but a nearly closed window is not filled crumb by crumb.
    fn is_silly(&self, size: u64, waiting: u64) -> bool {
        size < waiting && size < self.mss as u64 && size < self.largest_window / 2
    }

    /// Waits for the window to open; asks when the timer ends.
    fn persist(&mut self, now: Time) {
        if self.board.is_empty() && self.timers.persist.is_none() {
            self.timers.persist = Some(now + self.rtt.timeout());
        }
    }

    /// Whether it is time to ask a closed window. Notes that it is asked.
    pub fn window_probe(&mut self, now: Time) -> Option<Transmission> {
        if self.timers.persist.is_none_or(|at| at > now) {
            return None;
        }
        // A side that answers with a closed window lives, however long: nothing is given up.
        if self.rtt.backoffs() < BACKOFFS_MAX {
            self.rtt.back_off();
        }
        self.timers.persist = Some(now + self.rtt.timeout());
        Some(Transmission::WindowProbe)
    }

    fn repeat(&mut self, start: u64, end: u64, now: Time) -> Transmission {
        self.board.repeat(start, end, now);
        self.repeated_segments += 1;
        self.last_sent = now;
        if let Some(undo) = &mut self.undo {
            undo.stamp.get_or_insert(now.ticks());
        }
        if let Phase::Recovery { prr, .. } = &mut self.phase {
            prr.sent(end - start);
        }
        if start == self.una || self.timers.retransmit.is_none() {
            self.timers.retransmit = Some(now + self.rtt.timeout());
        }
        let fin = end > self.buffer.end();
        Transmission::Segment {
            start,
            payload: to_usize(end - start) - usize::from(fin),
            fin,
            push: end >= self.buffer.end(),
        }
    }

    /// RFC 8985 §7.3: new bytes if there are, else the last ones again.
    fn send_probe(&mut self, now: Time) -> Option<Transmission> {
        if self.board.is_empty() || self.probe.is_some() {
            return None;
        }
        let before = self.next;
        let waiting = self.buffer.end().saturating_sub(self.next);
        let room = self.edge.saturating_sub(self.next);
        if waiting > 0 && room >= waiting.min(self.mss as u64) {
            // One segment beyond the congestion window is what a probe may cost.
            let window = self.cubic.window();
            self.cubic
                .set_window(self.board.in_flight() + self.mss as u64);
            let sent = self.send_new(now);
            self.cubic.set_window(window);
            self.timers.probe = None;
            if self.next > before {
                self.probe = Some(Probe {
                    end: self.next,
                    repetition: false,
                });
                return sent;
            }
        }
        let (start, end) = self.board.last(self.mss as u64)?;
        self.probe = Some(Probe {
            end: self.next,
            repetition: true,
        });
        Some(self.repeat(start, end, now))
    }

    /// RFC 8985 §7.4.2.
    fn probe_answered(&mut self, ack: &Ack, sacked: bool) {
        let Some(probe) = &self.probe else { return };
        if ack.una < probe.end {
            return;
        }
        let repaired = probe.repetition && !ack.duplicate && ack.una > probe.end;
        let finished = !probe.repetition || ack.duplicate || ack.una > probe.end || !sacked;
        if finished {
            self.probe = None;
        }
        if repaired && matches!(self.phase, Phase::Open) {
            // The probe filled a hole that nobody else saw: that was congestion too.
            self.cubic.reduce();
            self.cubic.set_window(self.cubic.threshold());
        }
    }

    fn detect(&mut self, now: Time) -> u64 {
        if !self.sack {
            return 0;
        }
        let in_recovery = !matches!(self.phase, Phase::Open);
        let found = self.board.detect(in_recovery, &self.rtt, now);
        self.timers.reorder = found
            .again_in
            .map(|pause| now + pause.max(Duration::from_millis(1)));
        found.lost
    }

    /// Moves between phases and sets the congestion window.
    fn steer(&mut self, delivered: u64, lost_now: u64, advanced: bool, now: Time) {
        match &mut self.phase {
            Phase::Open if lost_now > 0 => self.enter_recovery(lost_now),
            Phase::Open => {
                // A window that is not used says nothing about the line (RFC 9438 §4.2, §5.8).
                let used = (self.board.in_flight() + delivered) * 2 >= self.cubic.window();
                if self.window_was_full && used && delivered > 0 {
                    let rtt = self.rtt.smoothed().unwrap_or_default();
                    self.cubic.acknowledged(delivered, rtt, now);
                }
            }
            Phase::Recovery { point, .. } | Phase::Collapsed { point } if self.una >= *point => {
                if matches!(self.phase, Phase::Recovery { .. }) {
                    self.cubic.set_window(self.cubic.threshold());
                    self.board.recovery_ended();
                }
                self.phase = Phase::Open;
                self.undo = None;
            }
            Phase::Recovery { prr, .. } => {
                let safe = advanced && lost_now == 0;
                let window =
                    prr.window(delivered, self.board.in_flight(), safe, self.mss as u64);
                self.cubic.set_window(window);
            }
            Phase::Collapsed { .. } => {
                if delivered > 0 {
                    let rtt = self.rtt.smoothed().unwrap_or_default();
                    self.cubic.acknowledged(delivered, rtt, now);
                }
            }
        }
    }

    fn enter_recovery(&mut self, lost_now: u64) {
        self.undo = Some(Undo {
            cubic: self.cubic.clone(),
            stamp: None,
        });
        let at_start = self.board.in_flight() + lost_now;
        self.cubic.reduce();
        let mut prr = Prr::new(self.cubic.threshold(), at_start);
        let window = prr.window(0, self.board.in_flight(), false, self.mss as u64);
        self.cubic.set_window(window);
        self.phase = Phase::Recovery {
            prr,
            point: self.next,
        };
        self.probe = None;
        self.timers.probe = None;
    }

    /// RFC 6298 §5.4 to §5.6.
    fn time_out(&mut self, now: Time) -> Result<(), GaveUp> {
        self.timers.retransmit = None;
        self.timers.probe = None;
        if self.board.is_empty() {
            return Ok(());
        }
        if self.rtt.backoffs() >= BACKOFFS_MAX {
            return Err(GaveUp);
        }
        self.rtt.back_off();
        if matches!(self.phase, Phase::Open) {
            self.undo = Some(Undo {
                cubic: self.cubic.clone(),
                stamp: None,
            });
        }
        // One reduction per window of losses (RFC 5681 §3.1, formula 4).
        if !matches!(self.phase, Phase::Collapsed { .. }) {
            self.cubic.reduce();
        }
        self.cubic.set_window(0);
        self.timed_out = true;
        self.phase = Phase::Collapsed { point: self.next };
        self.probe = None;
        self.board.time_out(&self.rtt, now);
        self.timers.retransmit = Some(now + self.rtt.timeout());
        Ok(())
    }

    /// The left edge moved because of a segment that was sent before the first repetition: nothing
    /// had been lost (RFC 3522 §3.2).
    fn was_false_alarm(&self, ack: &Ack) -> bool {
        let stamp = self.undo.as_ref().and_then(|undo| undo.stamp);
        match (stamp, ack.echo) {
            (Some(stamp), Some(echo)) => echo.wrapping_sub(stamp).cast_signed() < 0,
            _ => false,
        }
    }

    fn undo_reduction(&mut self) {
        if let Some(undo) = self.undo.take() {
            self.cubic = undo.cubic;
            self.cubic.set_mss(self.mss);
            self.board.forgive();
            self.phase = Phase::Open;
        }
    }

    /// The other side's room (RFC 9293 §3.10.7.4, RFC 7323 §2.3).
    fn widen(&mut self, ack: &Ack) {
        let Some(edge) = ack.edge else { return };
        self.largest_window = self.largest_window.max(edge.saturating_sub(ack.una));
        if edge > self.next && self.timers.persist.take().is_some() {
            self.rtt.progress();
        }
        self.edge = edge;
    }

    /// Starts the timers for what is under way (RFC 6298 §5, RFC 8985 §7.2).
    fn arm(&mut self, now: Time) {
        if self.board.is_empty() {
            self.timers.retransmit = None;
            self.timers.probe = None;
            self.timers.reorder = None;
            return;
        }
        let retransmit = *self
            .timers
            .retransmit
            .get_or_insert_with(|| now + self.rtt.timeout());
        let may_probe = self.sack
            && self.probe.is_none()
            && matches!(self.phase, Phase::Open)
            && !self.board.any_sacked();
        self.timers.probe = may_probe.then(|| {
            let wait = match self.rtt.smoothed() {
                None => Duration::from_secs(1),
                Some(smoothed) => {
                    let late = if self.board.is_single() {
                        ACK_DELAY
                    } else {
                        Duration::ZERO
                    };
                    (smoothed * 2 + late).max(PROBE_FLOOR)
                }
            };
            (now + wait).min(retransmit)
        });
        if self.timers.probe.is_some_and(|at| at >= retransmit) {
            self.timers.probe = None;
        }
    }
}
