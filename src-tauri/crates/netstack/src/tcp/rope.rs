//! The bytes that a writer gave and the other side did not acknowledge yet.

use std::collections::VecDeque;

use bytes::BytesMut;

/// Bytes per block. Large enough that a full segment lies in one or two, small enough that a
/// thousand connections with a request under way cost little.
const BLOCK: usize = 16 * 1024;

/// A window into the stream of sent bytes, by sequence number. Takes memory block by block and
/// gives it back with the acknowledgements; empty it has none.
pub struct Rope {
    blocks: VecDeque<Vec<u8>>,
    /// Number of the first byte of the first block.
    base: u64,
    start: u64,
    end: u64,
}

impl Rope {
    /// Empty; the next byte will be number `at`.
    pub const fn new(at: u64) -> Self {
        Self {
            blocks: VecDeque::new(),
            base: at,
            start: at,
            end: at,
        }
    }

    /// Number after the last byte.
    pub const fn end(&self) -> u64 {
        self.end
    }

    pub fn len(&self) -> usize {
        to_usize(self.end - self.start)
    }

    pub fn push(&mut self, mut bytes: &[u8]) {
        self.end += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.blocks.back().is_none_or(|block| block.len() == BLOCK) {
                self.blocks.push_back(Vec::with_capacity(BLOCK));
            }
            if let Some(block) = self.blocks.back_mut() {
                let (now, later) = bytes.split_at(bytes.len().min(BLOCK - block.len()));
                block.extend_from_slice(now);
                bytes = later;
            }
        }
    }

    /// Forgets the bytes before number `to`.
    pub fn release(&mut self, to: u64) {
        self.start = to.clamp(self.start, self.end);
        while self.base + BLOCK as u64 <= self.start {
            self.blocks.pop_front();
            self.base += BLOCK as u64;
        }
        if self.start == self.end {
            self.blocks = VecDeque::new();
            self.base = self.start;
        }
    }

    /// Appends `count` bytes from number `from` on. They have to be in the rope.
    pub fn copy(&self, from: u64, count: usize, into: &mut BytesMut) {
        let mut at = to_usize(from.saturating_sub(self.base));
        let mut left = count;
        while left > 0 {
            let Some(block) = self.blocks.get(at / BLOCK) else {
                debug_assert!(false, "asked for bytes that are not there");
                return;
            };
            let start = (at % BLOCK).min(block.len());
            let count = left.min(block.len() - start);
            if count == 0 {
                debug_assert!(false, "asked for bytes that are not there");
                return;
            }
            into.extend_from_slice(&block[start..start + count]);
            at += count;
            left -= count;
        }
    }
}

/// For counts that are bound by buffers, which are in memory.
pub fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn gives_back_what_was_pushed(
            steps in prop::collection::vec((0_usize..40_000, 0_u64..40_000, 0_usize..3000), 1..30)
        ) {
            let mut rope = Rope::new(1);
            let mut all = vec![0_u8];
            for (length, release, read) in steps {
                let bytes: Vec<u8> = (0..length).map(|at| ((at * 31 + all.len()) % 251).to_le_bytes()[0]).collect();
                rope.push(&bytes);
                all.extend(&bytes);
                let from = (rope.start + release).min(rope.end());
                rope.release(from);
                let count = read.min(rope.len());
                let mut copied = BytesMut::new();
                rope.copy(from, count, &mut copied);
                let from = usize::try_from(from).unwrap_or(0);
                prop_assert_eq!(&copied[..], &all[from..from + count]);
                prop_assert!(rope.blocks.len() * BLOCK <= rope.len() + 2 * BLOCK);
            }
            rope.release(rope.end());
            prop_assert!(rope.blocks.is_empty());
        }
    }
}
