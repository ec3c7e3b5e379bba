//! The receiving half: the window we offer, and when we acknowledge (RFC 9293 §3.8.6, RFC 5681 §4.2).

use std::time::Duration;

use bytes::Bytes;

use super::reassembly::{Arrival, Reassembly};
use super::sequence::Numbering;
use super::time::Time;

/// How long a single segment may wait for company (RFC 5681 §4.2: at most half a second; Linux
/// takes 40 ms).
const DELAY: Duration = Duration::from_millis(40);

/// Segments at the beginning that are acknowledged at once: a sender that holds its second write
/// back until the first is acknowledged (Nagle's rule) would lose [`DELAY`] in every opening.
const AT_ONCE: u32 = 16;

/// The window of a new connection.
const CAPACITY_MIN: u64 = 256 * 1024;

/// The reader's speed is measured over a round trip, but not over less: on a fast line a reader
/// that waits for its turn on the processor would look slow.
const SPEED_PERIOD: Duration = Duration::from_millis(10);

pub struct Receiver {
    numbering: Numbering,
    reassembly: Reassembly,
    /// Number of the other side's FIN, once it was seen.
    fin: Option<u64>,
    fin_taken: bool,
    capacity: u64,
    capacity_max: u64,
    /// First number that we offered no room for. Never goes back (RFC 9293 §3.8.6).
    edge: u64,
    scale: u8,
    pending: Pending,
    at_once: u32,
    read_in_period: u64,
    period_began: Time,
}

/// Acknowledgements that are owed.
#[derive(Default)]
struct Pending {
    segments: u32,
    now: bool,
    at: Option<Time>,
}

impl Receiver {
    /// `syn` is the other side's first number as it travelled, `scale` our shift (RFC 7323 §2).
    pub fn new(syn: u32, scale: u8, capacity_max: usize, now: Time) -> Self {
        let capacity_max = (capacity_max as u64).max(4096);
        Self {
            numbering: Numbering::new(syn),
            reassembly: Reassembly::new(1),
            fin: None,
            fin_taken: false,
            capacity: CAPACITY_MIN.min(capacity_max),
            capacity_max,
            edge: 1,
            scale,
            pending: Pending::default(),
            at_once: AT_ONCE,
            read_in_period: 0,
            period_began: now,
        }
    }

    /// The number that we expect.
    pub fn next(&self) -> u64 {
        self.reassembly.next() + u64::from(self.fin_taken)
    }

    pub const fn edge(&self) -> u64 {
        self.edge
    }

    pub fn number(&self, wire: u32) -> Option<u64> {
        self.numbering.nearest(wire, self.next())
    }

    pub fn wire(&self, number: u64) -> u32 {
        self.numbering.to_wire(number)
    }

    /// The other side will send nothing more, and all of it arrived.
    pub const fn is_finished(&self) -> bool {
        self.fin_taken
    }

    pub const fn ready(&self) -> usize {
        self.reassembly.ready()
    }

    /// Takes the payload of a segment that begins at number `start`; `fin` if one follows it.
    pub fn take(&mut self, start: u64, mut payload: Bytes, fin: bool, now: Time) {
        let limit = self.fin.unwrap_or(u64::MAX).min(self.edge.max(self.next()));
        let room = usize::try_from(limit.saturating_sub(start)).unwrap_or(usize::MAX);
        let cut = payload.len() > room;
        payload.truncate(room);
        let end = start + payload.len() as u64;
        if fin && !cut && self.fin.is_none() && end >= self.reassembly.next() {
            self.fin = Some(end);
        }
        if cut {
            self.pending.now = true;
        }
        if !payload.is_empty() {
            match self.reassembly.insert(start, &payload) {
                Arrival::InOrder => {
                    self.pending.segments += 1;
                    self.at_once = self.at_once.saturating_sub(1);
                    if self.pending.segments >= 2 || self.at_once > 0 {
                        self.pending.now = true;
                    } else {
                        self.pending.at.get_or_insert(now + DELAY);
                    }
                }
                Arrival::Gap | Arrival::Duplicate => self.pending.now = true,
            }
        }
        if fin {
            self.pending.now = true;
        }
        if self.fin == Some(self.reassembly.next()) {
            self.fin_taken = true;
        }
    }

    /// An acknowledgement has to go out without delay.
    pub fn acknowledge_now(&mut self) {
        self.pending.now = true;
    }

    pub fn owes(&self, now: Time) -> bool {
        self.pending.now || self.pending.at.is_some_and(|at| at <= now)
    }

    /// Whether what is owed has ranges to tell, which take a segment of their own.
    pub const fn owes_report(&self) -> bool {
        self.pending.now && self.reassembly.has_report()
    }

    pub const fn deadline(&self) -> Option<Time> {
        self.pending.at
    }

    /// Number and window for a segment that goes out now; what was owed is paid with it.
    pub fn pay(&mut self) -> (u32, u16) {
        self.pending = Pending::default();
        let next = self.next();
        let free = self.capacity.saturating_sub(self.reassembly.ready() as u64);
        let mut window = (next + free).max(self.edge) - next;
        // Receiver's silly window avoidance (RFC 9293 §3.8.6.2.2): open in worthwhile steps.
        if next + window < self.edge + (self.capacity / 16).min(1500) {
            window = self.edge - next;
        }
        // Rounded up: the edge must not go back because of the shift (RFC 7323 §2.4).
        let shifted = window.div_ceil(1 << self.scale).min(u64::from(u16::MAX));
        self.edge = self.edge.max(next + (shifted << self.scale));
        (self.wire(next), u16::try_from(shifted).unwrap_or(u16::MAX))
    }

    /// Ranges for the sender (RFC 2018, RFC 2883). A FIN belongs to the range before it.
    pub fn report(&mut self) -> [Option<(u32, u32)>; 3] {
        self.reassembly.report().map(|range| {
            let (start, end) = range?;
            let fin = u64::from(self.fin == Some(end));
            Some((self.wire(start), self.wire(end + fin)))
        })
    }

    /// Moves bytes to the reader; grows the window with the reader's speed.
    pub fn read(&mut self, into: &mut [u8], rtt: Option<Duration>, now: Time) -> usize {
        let count = self.reassembly.read(into);
        self.read_in_period += count as u64;
        let period = rtt.unwrap_or_default().max(SPEED_PERIOD);
        if now.since(self.period_began) >= period {
            // Two round trips' worth: one is under way while the other is read.
            self.capacity = self
                .capacity
                .max((self.read_in_period * 2).min(self.capacity_max));
            self.read_in_period = 0;
            self.period_began = now;
        }
        let edge = self.next() + self.capacity.saturating_sub(self.ready() as u64);
        if !self.fin_taken && edge >= self.edge + self.capacity / 4 {
            self.pending.now = true;
        }
        count
    }

    /// Nobody will read: gives the memory back.
    pub fn discard(&mut self) {
        self.reassembly.clear();
    }
}
