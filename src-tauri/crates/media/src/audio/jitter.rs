//! How long to hold sound back so that packets which come late are still in time, and no longer.
//!
//! Sans-I/O: time comes with each packet, and [`JitterBuffer::pull`] is called once per 20 ms of playing.
//!
//! ```text
//! arrivals ──▶ delay of each packet against the earliest path ──▶ 95th percentile of the last 10 s ──▶ target
//! pull: a packet is there ─▶ Packet      one is lost and the next is there ─▶ Recover (Opus FEC from the next)
//!       nothing is there ──▶ Conceal     more than the target is held ─▶ Packet, and skip: drop quiet sound
//!       the sender said that it has nothing to say ─▶ Conceal, not counted, until the target is held again
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::encoding::NOTHING;
use crate::rtp::sequence::Unwrapper;

/// One packet is 20 ms.
const PACKET: Duration = Duration::from_millis(20);
const LEAST: Duration = Duration::from_millis(20);
/// Beyond this people interrupt each other; sound that comes later is lost.
const MOST: Duration = Duration::from_millis(400);
/// Ten seconds.
const REMEMBERED: usize = 500;
/// Packets held at most: one second.
const MOST_PACKETS: usize = 50;
/// So much more than the target is waited for no quiet moment.
const FAR_TOO_MUCH: Duration = Duration::from_millis(120);
/// So many missing packets in a row are an interruption, not a loss.
const MOST_CONCEALED: u32 = 10;

/// What to play for the next 20 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Playout {
    /// Decode this, and leave out 10 ms of it when more is held than needed.
    Packet { data: Bytes, skip: Skip },
    /// The packet is lost, and this is the one after it: decode its forward error correction (RFC 6716 §2.1.7).
    Recover { next: Bytes },
    /// The packet is lost: let the decoder go on by itself.
    Conceal,
    /// Nobody speaks, or nothing came yet.
    Silence,
}

/// Whether sound is to be shortened, because more is held than needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    No,
    /// Where nobody will notice.
    IfQuiet,
    /// The delay is worse than a stumble.
    Now,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct JitterCounts {
    pub played: u64,
    pub recovered: u64,
    pub concealed: u64,
    /// Times that nothing was played in the middle of a track, because nothing came for long.
    pub silent: u64,
    /// Came after its time.
    pub late: u64,
}

/// The packets of one sender.
#[derive(Debug)]
pub struct JitterBuffer {
    numbers: Unwrapper,
    held: BTreeMap<u64, Bytes>,
    next: Option<u64>,
    /// The first arrival, from which delays are counted.
    origin: Option<(Instant, u32)>,
    delays: VecDeque<Duration>,
    target: Duration,
    concealed_in_a_row: u32,
    /// The sender said that it has nothing to say: what is missing now was never sent.
    pausing: bool,
    counts: JitterCounts,
}

impl Default for JitterBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl JitterBuffer {
    pub fn new() -> Self {
        Self {
            numbers: Unwrapper::default(),
            held: BTreeMap::new(),
            next: None,
            origin: None,
            delays: VecDeque::with_capacity(REMEMBERED),
            target: LEAST,
            concealed_in_a_row: 0,
            pausing: false,
            counts: JitterCounts::default(),
        }
    }

    /// `timestamp` at 48 kHz, of the sender.
    pub fn push(&mut self, sequence: u16, timestamp: u32, data: Bytes, arrived: Instant) {
        self.measure(timestamp, arrived);
        let number = self.numbers.unwrap(sequence);
        if self.next.is_some_and(|next| number < next) {
            self.counts.late += 1;
            return;
        }
        self.held.insert(number, data);
        while self.held.len() > MOST_PACKETS {
            self.held.pop_first();
            self.next = self.held.first_key_value().map(|(number, _)| *number);
        }
    }

    pub fn pull(&mut self) -> Playout {
        let Some(next) = self.next else {
            return self.begin();
        };
        if let Some(data) = self.held.remove(&next) {
            self.next = Some(next + 1);
            self.concealed_in_a_row = 0;
            self.pausing = data.len() <= NOTHING;
            self.counts.played += 1;
            let skip = self.skip();
            return Playout::Packet { data, skip };
        }
        let Some((&first, _)) = self.held.first_key_value() else {
            return self.run_dry(next);
        };
        if self.held_time() + PACKET <= self.target && self.concealed_in_a_row < MOST_CONCEALED {
            // It may only be late, and the target says that there is time: play everything 20 ms later from here on.
            return self.conceal();
        }
        self.next = Some(next + 1);
        if first == next + 1 {
            self.counts.recovered += 1;
            let next = self.held.get(&first).cloned().unwrap_or_default();
            return Playout::Recover { next };
        }
        if self.concealed_in_a_row >= MOST_CONCEALED {
            // The sender was away for long: go on where it is now.
            self.next = Some(first);
        }
        self.conceal()
    }

    /// How much sound is held back on purpose.
    pub fn target(&self) -> Duration {
        self.target
    }

    pub fn counts(&self) -> JitterCounts {
        self.counts
    }

    /// Plays only once the target is held.
    fn begin(&mut self) -> Playout {
        let Some((&first, data)) = self.held.first_key_value() else {
            return self.pause();
        };
        // A sign that the pause goes on comes alone.
        if self.held_time() < self.target && data.len() > NOTHING {
            return self.pause();
        }
        self.next = Some(first);
        self.pull()
    }

    /// The decoder makes the noise of a quiet room by itself, if it was told that there is one.
    fn pause(&mut self) -> Playout {
        if self.pausing {
            return Playout::Conceal;
        }
        self.counts.silent += u64::from(self.counts.played > 0);
        Playout::Silence
    }

    fn skip(&self) -> Skip {
        let held = self.held_time();
        if held > self.target + FAR_TOO_MUCH {
            Skip::Now
        } else if held > self.target + PACKET {
            Skip::IfQuiet
        } else {
            Skip::No
        }
    }

    /// Nothing is held: the packet may still be on its way, so it is not skipped but played later.
    fn run_dry(&mut self, next: u64) -> Playout {
        if self.pausing {
            self.next = None;
            return Playout::Conceal;
        }
        if self.concealed_in_a_row >= MOST_CONCEALED {
            // Discontinuous transmission, or the sender is gone: start afresh, with the target held again.
            self.next = None;
            self.concealed_in_a_row = 0;
            return self.pause();
        }
        self.next = Some(next);
        self.conceal()
    }

    fn conceal(&mut self) -> Playout {
        self.concealed_in_a_row += 1;
        self.counts.concealed += 1;
        Playout::Conceal
    }

    fn held_time(&self) -> Duration {
        PACKET * u32::try_from(self.held.len()).unwrap_or(u32::MAX)
    }

    fn measure(&mut self, timestamp: u32, arrived: Instant) {
        let (first_arrival, first_timestamp) = *self.origin.get_or_insert((arrived, timestamp));
        // Up to half the circle either way, 12 hours.
        let ticks = i64::from(timestamp.wrapping_sub(first_timestamp).cast_signed());
        let sent = Duration::from_micros(ticks.unsigned_abs() * 1000 / 48);
        let expected = if ticks < 0 {
            first_arrival.checked_sub(sent)
        } else {
            first_arrival.checked_add(sent)
        };
        let delay = expected.map_or(Duration::ZERO, |expected| {
            arrived.saturating_duration_since(expected)
        });
        if expected.is_some_and(|expected| expected > arrived) {
            // The quickest so far: what came before was later than it seemed.
            let earlier = expected.map_or(Duration::ZERO, |expected| expected - arrived);
            for delay in &mut self.delays {
                *delay = (*delay + earlier).min(2 * MOST);
            }
            self.origin = Some((arrived, timestamp));
        }
        if delay > 2 * MOST {
            // No jitter but a pause whose length the sender's clock does not know.
            self.origin = Some((arrived, timestamp));
            return;
        }
        if self.delays.len() == REMEMBERED {
            self.delays.pop_front();
        }
        self.delays.push_back(delay);
        // Sorting 500 numbers takes microseconds, once in 20 ms.
        let mut sorted: Vec<_> = self.delays.iter().copied().collect();
        sorted.sort_unstable();
        let late = sorted.get(sorted.len() * 95 / 100).copied();
        self.target = (late.unwrap_or_default() + LEAST).clamp(LEAST, MOST);
    }
}

#[cfg(test)]
#[path = "jitter_tests.rs"]
mod tests;
