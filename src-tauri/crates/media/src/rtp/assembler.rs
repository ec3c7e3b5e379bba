//! From packets to frames: put in order, wait for what is asked for again, and give up in time.
//!
//! ```text
//! in order ──packet missing──▶ waiting (asked again, soon and often) ──it came──▶ in order
//!                                  │       └──the next picture follows the last one: it was padding──▶ in order
//!                                  └──[WAIT] over──▶ frames dropped until the next key frame
//! ```
//!
//! Everything behind a missing packet waits for it, so that each lost request or repeat is seen: a picture that takes
//! two rounds is late, one that takes three stands still. The caller therefore comes back when [`Assembler::due`] says,
//! not when the next packet happens to arrive.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::sequence::Unwrapper;
use super::vp8::PictureId;
use super::{Packet, vp8};

/// Longest wait for a missing packet. Beyond it the picture is late anyway and a key frame is quicker.
const WAIT: Duration = Duration::from_millis(400);
/// A gap is often only reordering, which heals within this.
const REORDERING: Duration = Duration::from_millis(3);
/// livekit-server does not listen to requests in the first two round trips after it sent a packet or repeated it, in the
/// first 100 ms while it does not know how long one takes, and repeats it thrice at most (`sfu/sequencer`). What it does
/// not listen to costs it nothing, so one should come soon after it listens again.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(15);
/// After 100 ms the server has listened once. What is still missing then shall not fill a narrow way up with requests.
const EAGER_REQUESTS: u8 = 8;
const BETWEEN_LATE_REQUESTS: Duration = Duration::from_millis(40);
/// Within [`WAIT`].
const MOST_REQUESTS: u8 = 16;
/// Packets held at most: two seconds of 720p. A sender that goes beyond starts again.
const MOST_PACKETS: u64 = 1024;
/// Holes that are asked for; a longer gap is no loss but an interruption.
const MOST_MISSING: u64 = 400;
/// A frame is no longer than this; a key frame of 1080p has about 300 kB.
const MOST_BYTES: usize = 4 << 20;

/// A whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_field_names)] // "key" alone would be one of encryption
pub(crate) struct Frame {
    pub data: bytes::Bytes,
    pub timestamp: u32,
    pub key_frame: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub packets: u64,
    pub late: u64,
    pub duplicates: u64,
    pub requested: u64,
    pub recovered: u64,
    /// Gaps that were given up.
    pub gaps: u64,
}

/// The frames of one source.
pub(crate) struct Assembler {
    numbers: Unwrapper,
    held: BTreeMap<u64, Packet>,
    asked: BTreeMap<u64, (Instant, u8)>,
    next: Option<u64>,
    newest: u64,
    /// The last one that was complete.
    picture: Option<PictureId>,
    waiting_since: Option<Instant>,
    needs_key_frame: bool,
    wants_key_frame: bool,
    counts: Counts,
}

impl Assembler {
    pub fn new() -> Self {
        Self {
            numbers: Unwrapper::default(),
            held: BTreeMap::new(),
            asked: BTreeMap::new(),
            next: None,
            newest: 0,
            picture: None,
            waiting_since: None,
            needs_key_frame: true,
            wants_key_frame: false,
            counts: Counts::default(),
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn push(&mut self, packet: Packet) {
        self.counts.packets += 1;
        let number = self.numbers.unwrap(packet.sequence);
        let next = *self.next.get_or_insert(number);
        if number < next {
            self.counts.late += 1;
            return;
        }
        if number - next >= MOST_PACKETS {
            // The sender jumped: nothing of what is held will ever be complete.
            self.start_again_at(number);
        }
        if self
            .asked
            .remove(&number)
            .is_some_and(|(_, asked)| asked > 0)
        {
            self.counts.recovered += 1;
        }
        self.newest = self.newest.max(number);
        if self.held.insert(number, packet).is_some() {
            self.counts.duplicates += 1;
        }
    }

    /// What to ask the sender for again, now (RFC 4585 §6.2.1).
    pub fn missing(&mut self, now: Instant) -> Vec<u16> {
        let Some(next) = self.next else {
            return Vec::new();
        };
        self.asked = self.asked.split_off(&next);
        if self.newest.saturating_sub(next) > MOST_MISSING {
            return Vec::new();
        }
        let mut wanted = Vec::new();
        for number in (next..self.newest).filter(|number| !self.held.contains_key(number)) {
            let (last, times) = self.asked.entry(number).or_insert((now, 0));
            if next_request(*last, *times).is_some_and(|due| due <= now) {
                *last = now;
                *times += 1;
                wanted.push((number & 0xffff) as u16);
            }
        }
        self.counts.requested += wanted.len() as u64;
        wanted
    }

    /// When [`Assembler::missing`] and [`Assembler::pop`] are to be asked again even if no packet comes until then.
    /// `None`: nothing is missing.
    pub fn due(&self) -> Option<Instant> {
        let next = self.next?;
        let deadline = self.waiting_since.map(|since| since + WAIT);
        if self.newest.saturating_sub(next) > MOST_MISSING {
            return deadline;
        }
        let asked = self.asked.range(next..).map(|(_, asked)| asked);
        let requests = asked.filter_map(|(last, times)| next_request(*last, *times));
        requests.chain(deadline).min()
    }

    /// The next whole frame in order, if there is one.
    pub fn pop(&mut self, now: Instant) -> Option<Frame> {
        loop {
            let start = self.next?;
            let Some(end) = self.end_of_frame(start) else {
                let skipped = self.pass_padding(start)
                    || self.skip_to_key_frame(start)
                    || self.give_up(start, now);
                if skipped {
                    continue;
                }
                return None;
            };
            self.waiting_since = None;
            self.next = Some(end + 1);
            if let Some(frame) = self.join(start, end) {
                return Some(frame);
            }
        }
    }

    /// True once after something was lost for good, or nothing can be shown yet (RFC 4585 §6.3.1).
    pub fn take_key_frame_wish(&mut self) -> bool {
        std::mem::take(&mut self.wants_key_frame)
    }

    /// The consumer lost frames: nothing is handed out before the next key frame.
    pub fn wait_for_key_frame(&mut self) {
        self.needs_key_frame = true;
        self.wants_key_frame = true;
    }

    /// The number of the packet that ends the frame which starts at `start`, when all up to it are there.
    fn end_of_frame(&self, start: u64) -> Option<u64> {
        let run = self.held.range(start..).zip(start..);
        run.take_while(|((number, _), expected)| *number == expected)
            .find(|((_, packet), _)| packet.marker || packet.payload.is_empty())
            .map(|((number, _), _)| *number)
    }

    /// Whether the beginning of a key frame is there, so that it is of no use to ask for one.
    pub fn key_frame_is_coming(&self) -> bool {
        self.next.is_some_and(|next| self.key_frame(next).is_some())
    }

    /// The number of the first packet of the first key frame from there on.
    fn key_frame(&self, from: u64) -> Option<u64> {
        let mut held = self.held.range(from..);
        let begins = |packet: &Packet| {
            let part = vp8::unpack(&packet.payload);
            part.is_some_and(|part| part.starts && vp8::is_key_frame(&part.data))
        };
        let found = held.find(|(_, packet)| begins(packet));
        found.map(|(number, _)| *number)
    }

    fn join(&mut self, start: u64, end: u64) -> Option<Frame> {
        let mut data = BytesMut::new();
        let mut timestamp = 0;
        let mut whole = true;
        for number in start..=end {
            let packet = self.held.remove(&number)?;
            timestamp = packet.timestamp;
            // Padding between frames has no payload (the SFU probes with it).
            if let Some(part) = vp8::unpack(&packet.payload) {
                self.picture = part.picture;
                whole &=
                    part.starts == data.is_empty() && data.len() + part.data.len() <= MOST_BYTES;
                if whole {
                    data.extend_from_slice(&part.data);
                }
            } else {
                whole &= packet.payload.is_empty();
            }
        }
        if !whole {
            self.wait_for_key_frame();
            return None;
        }
        if data.is_empty() {
            return None;
        }
        let key_frame = vp8::is_key_frame(&data);
        if self.needs_key_frame && !key_frame {
            self.wants_key_frame = true;
            return None;
        }
        self.needs_key_frame = false;
        if key_frame {
            self.wants_key_frame = false;
        }
        Some(Frame {
            data: data.freeze(),
            timestamp,
            key_frame,
        })
    }

    /// The server probes with padding between frames, which it never repeats. What is missing before a picture that
    /// follows the last one was nothing else.
    fn pass_padding(&mut self, start: u64) -> bool {
        if self.held.contains_key(&start) {
            return false;
        }
        let mut later = self.held.range(start..);
        let Some((&after, packet)) = later.find(|(_, packet)| !packet.payload.is_empty()) else {
            return false;
        };
        let follows = vp8::unpack(&packet.payload).is_some_and(|part| {
            let pictures = part.picture.zip(self.picture);
            part.starts && pictures.is_some_and(|(now, before)| now.follows(before))
        });
        if follows {
            self.next = Some(after);
            self.held = self.held.split_off(&after);
        }
        follows
    }

    /// A key frame that is whole needs nothing of what is missing before it.
    fn skip_to_key_frame(&mut self, start: u64) -> bool {
        let key_frame = self.key_frame(start + 1);
        let Some(number) = key_frame.filter(|number| self.end_of_frame(*number).is_some()) else {
            return false;
        };
        self.start_again_at(number);
        true
    }

    /// Skips a gap that was waited for long enough. False: nothing to do but wait.
    fn give_up(&mut self, start: u64, now: Instant) -> bool {
        let gap = (start..self.newest).find(|number| !self.held.contains_key(number));
        let Some(gap) = gap else {
            self.waiting_since = None;
            return false;
        };
        let since = *self.waiting_since.get_or_insert(now);
        if now.saturating_duration_since(since) < WAIT {
            return false;
        }
        let Some((&after, _)) = self.held.range(gap..).next() else {
            return false;
        };
        self.counts.gaps += 1;
        self.start_again_at(after);
        true
    }

    fn start_again_at(&mut self, number: u64) {
        self.held = self.held.split_off(&number);
        self.asked = self.asked.split_off(&number);
        self.next = Some(number);
        self.picture = None;
        self.waiting_since = None;
        self.wait_for_key_frame();
    }
}

/// When to ask for a packet that was asked for so often, the last time then. `None`: not any more.
fn next_request(last: Instant, times: u8) -> Option<Instant> {
    let pause = match times {
        0 => REORDERING,
        1..EAGER_REQUESTS => BETWEEN_REQUESTS,
        EAGER_REQUESTS..MOST_REQUESTS => BETWEEN_LATE_REQUESTS,
        _ => return None,
    };
    Some(last + pause)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stdout)]
#[path = "assembler_loss_tests.rs"]
mod loss_tests;

#[cfg(test)]
#[path = "assembler_tests.rs"]
mod tests;
