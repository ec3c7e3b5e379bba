//! Received bytes: put in order for the reader, and reported to the sender.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes, BytesMut};

/// Payloads below this are copied together: each would otherwise hold on to a whole packet.
const SMALL: usize = 1024;

/// Pieces that wait for a gap to close. A full window of ordinary segments stays below; only an
/// attack of tiny pieces meets it, and what it loses is sent again.
const PIECES_MAX: usize = 8192;

/// What arrived, by sequence number.
pub struct Reassembly {
    /// Number of the first byte that is missing.
    next: u64,
    ready: VecDeque<Bytes>,
    /// The end of what is ready, when it came in small pieces.
    tail: BytesMut,
    ready_len: usize,
    /// Pieces behind a gap; they never overlap.
    waiting: BTreeMap<u64, Bytes>,
    waiting_len: usize,
    /// Continuous ranges of `waiting`, the most recently extended first (RFC 2018 §4).
    runs: Vec<(u64, u64)>,
    /// A range that came twice and was not reported yet (RFC 2883 §4).
    duplicate: Option<(u64, u64)>,
}

/// What a piece changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Bytes became ready, and nothing waits behind a gap.
    InOrder,
    /// There is, or was, a gap: the sender should hear of it at once (RFC 5681 §4.2).
    Gap,
    /// Nothing new.
    Duplicate,
}

impl Reassembly {
    /// The first byte will be number `next`.
    pub fn new(next: u64) -> Self {
        Self {
            next,
            ready: VecDeque::new(),
            tail: BytesMut::new(),
            ready_len: 0,
            waiting: BTreeMap::new(),
            waiting_len: 0,
            runs: Vec::new(),
            duplicate: None,
        }
    }

    /// Number of the first byte that is missing.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Bytes that the reader may take.
    pub const fn ready(&self) -> usize {
        self.ready_len
    }

    /// Takes a piece that lies inside the window.
    pub fn insert(&mut self, start: u64, piece: &Bytes) -> Arrival {
        let end = start + piece.len() as u64;
        if end <= self.next {
            self.duplicate = Some((start, end));
            return Arrival::Duplicate;
        }
        if start <= self.next {
            if start < self.next {
                self.duplicate = Some((start, self.next));
            }
            let known = usize::try_from(self.next - start).unwrap_or(usize::MAX);
            self.append(piece.slice(known..));
            if self.waiting.is_empty() {
                return Arrival::InOrder;
            }
            self.close_gap();
            return Arrival::Gap;
        }
        let before = self.waiting_len;
        self.keep(start, end, piece);
        if self.waiting_len == before {
            self.duplicate = Some((start, end));
            self.touch(start, end);
            return Arrival::Duplicate;
        }
        self.touch(start, end);
        Arrival::Gap
    }

    /// Up to three ranges for the sender, the first the one that changed last; a range that came
    /// twice goes before all others, once.
    pub fn report(&mut self) -> [Option<(u64, u64)>; 3] {
        let mut ranges = self
            .duplicate
            .take()
            .into_iter()
            .chain(self.runs.iter().copied());
        std::array::from_fn(|_| ranges.next())
    }

    pub const fn has_report(&self) -> bool {
        self.duplicate.is_some() || !self.runs.is_empty()
    }

    /// Moves ready bytes into `into`; gives how many.
    pub fn read(&mut self, into: &mut [u8]) -> usize {
        let mut done = 0;
        while done < into.len() {
            let room = &mut into[done..];
            if let Some(first) = self.ready.front_mut() {
                let count = first.len().min(room.len());
                room[..count].copy_from_slice(&first[..count]);
                if count == first.len() {
                    self.ready.pop_front();
                } else {
                    first.advance(count);
                }
                done += count;
            } else if self.tail.is_empty() {
                break;
            } else {
                let count = self.tail.len().min(room.len());
                room[..count].copy_from_slice(&self.tail[..count]);
                self.tail.advance(count);
                done += count;
            }
        }
        self.ready_len -= done;
        if self.ready_len == 0 {
            // A connection that rests holds no memory.
            self.tail = BytesMut::new();
            if self.ready.capacity() > 64 {
                self.ready = VecDeque::new();
            }
        }
        done
    }

    /// Forgets everything that waits: nobody will read it.
    pub fn clear(&mut self) {
        *self = Self::new(self.next);
    }

    fn append(&mut self, piece: Bytes) {
        self.next += piece.len() as u64;
        self.ready_len += piece.len();
        if piece.len() < SMALL {
            self.tail.extend_from_slice(&piece);
            return;
        }
        if !self.tail.is_empty() {
            self.ready.push_back(self.tail.split().freeze());
        }
        self.ready.push_back(piece);
    }

    /// Moves what waits directly behind the ready bytes.
    fn close_gap(&mut self) {
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() > self.next {
                break;
            }
            let (start, piece) = entry.remove_entry();
            self.waiting_len -= piece.len();
            let known = usize::try_from(self.next - start).unwrap_or(usize::MAX);
            if known < piece.len() {
                self.append(piece.slice(known..));
            }
        }
        let next = self.next;
        self.runs.retain(|(_, end)| *end > next);
    }

    /// Keeps the parts of `start..end` that are not there yet.
    fn keep(&mut self, mut start: u64, end: u64, piece: &Bytes) {
        let origin = start;
        let part = |from: u64, to: u64| {
            let from = usize::try_from(from - origin).unwrap_or(usize::MAX);
            let to = usize::try_from(to - origin).unwrap_or(usize::MAX);
            piece.slice(from..to)
        };
        if let Some((before, known)) = self.waiting.range(..=start).next_back() {
            start = start.max(before + known.len() as u64);
        }
        while start < end && self.waiting.len() < PIECES_MAX {
            let following = self
                .waiting
                .range(start..end)
                .next()
                .map(|(at, known)| (*at, at + known.len() as u64));
            let to = following.map_or(end, |(at, _)| at);
            if start < to {
                let part = part(start, to);
                self.waiting_len += part.len();
                self.waiting.insert(start, part);
            }
            start = following.map_or(end, |(_, after)| after);
        }
    }

    /// Joins `start..end` with the runs that it meets and puts the result first. Only what is
    /// really kept may be reported.
    fn touch(&mut self, start: u64, end: u64) {
        if self.waiting.len() >= PIECES_MAX {
            self.rebuild_runs();
            return;
        }
        let mut joined = (start, end);
        self.runs.retain(|run| {
            let apart = run.1 < joined.0 || joined.1 < run.0;
            if !apart {
                joined = (joined.0.min(run.0), joined.1.max(run.1));
            }
            apart
        });
        self.runs.insert(0, joined);
    }

    fn rebuild_runs(&mut self) {
        self.runs.clear();
        for (start, piece) in &self.waiting {
            let end = start + piece.len() as u64;
            match self.runs.last_mut() {
                Some(run) if run.1 == *start => run.1 = end,
                _ => self.runs.push((*start, end)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(range: std::ops::Range<u64>) -> Bytes {
        range.map(|at| (at * 7 % 251) as u8).collect()
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_become_the_stream(
            cuts in prop::collection::vec((0_u64..5000, 1_u64..1500), 1..80),
            seed in any::<u64>(),
        ) {
            const END: u64 = 6500;
            let mut reassembly = Reassembly::new(0);
            // Whatever the pieces are, in the end everything is sent once in order.
            let mut pieces: Vec<_> = cuts.iter().map(|(at, len)| (*at, (at + len).min(END))).collect();
            let pivot = usize::try_from(seed).unwrap_or(0) % pieces.len();
            pieces.rotate_left(pivot);
            pieces.extend((0..END).step_by(500).map(|at| (at, (at + 500).min(END))));
            let mut got = Vec::new();
            for (start, end) in pieces {
                reassembly.insert(start, &stream(start..end));
                for run in reassembly.runs.clone() {
                    prop_assert!(run.0 > reassembly.next() && run.0 < run.1);
                }
                let held: u64 = reassembly.runs.iter().map(|run| run.1 - run.0).sum();
                prop_assert_eq!(held, reassembly.waiting_len as u64);
                let mut buffer = [0; 700];
                let count = reassembly.read(&mut buffer);
                got.extend_from_slice(&buffer[..count]);
            }
            let mut buffer = vec![0; 6500];
            let count = reassembly.read(&mut buffer);
            got.extend_from_slice(&buffer[..count]);
            prop_assert_eq!(got, stream(0..END));
            prop_assert!(reassembly.waiting.is_empty() && reassembly.runs.is_empty());
        }
    }

    #[test]
    fn the_most_recent_range_is_reported_first_and_a_repetition_before_it() {
        let mut reassembly = Reassembly::new(1);
        for start in [2001, 6001, 4001] {
            reassembly.insert(start, &stream(start..start + 1000));
        }
        assert_eq!(
            reassembly.report(),
            [Some((4001, 5001)), Some((6001, 7001)), Some((2001, 3001))]
        );
        reassembly.insert(6001, &stream(6001..7001));
        assert_eq!(reassembly.report()[0], Some((6001, 7001)));
        assert_eq!(
            reassembly.report()[0],
            Some((6001, 7001)),
            "now the run itself"
        );
        assert_eq!(reassembly.report()[1], Some((4001, 5001)));
    }

    #[test]
    fn tiny_pieces_in_and_out_of_order_take_little_memory() {
        let mut reassembly = Reassembly::new(0);
        for at in 0..100_000_u64 {
            reassembly.insert(at, &stream(at..at + 1));
        }
        assert_eq!(reassembly.ready(), 100_000);
        assert!(reassembly.ready.is_empty(), "all in one buffer");
        for at in (200_000..600_000_u64).step_by(2) {
            reassembly.insert(at, &stream(at..at + 1));
        }
        assert!(reassembly.waiting.len() <= PIECES_MAX);
    }
}
