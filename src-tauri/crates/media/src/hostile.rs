//! For tests with bytes that nobody honest sends: a corpus of what was once on the wire, damage to it, and what reading
//! it costs.
//!
//! `tests/corpus/KIND.txt` has one entry a line: its name and its bytes in hexadecimal. Those whose name begins with
//! `bad-` have to be refused, all others have to be read.

#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_wrap)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use proptest::prelude::*;
use proptest::sample::Index;

pub struct Entry {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl Entry {
    pub fn is_bad(&self) -> bool {
        self.name.starts_with("bad-")
    }
}

/// All entries of this kind, at least one of them good.
pub fn corpus(kind: &str) -> Vec<Entry> {
    // Cargo runs tests in the package's folder. Its name as compiled in may be that of another checkout, where one build
    // folder serves several.
    let text = std::fs::read_to_string(format!("tests/corpus/{kind}.txt")).unwrap();
    let entries: Vec<_> = text
        .lines()
        .map(|line| {
            let (name, hex) = line.split_once(' ').unwrap_or((line, ""));
            let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
            Entry {
                name: name.to_owned(),
                bytes: (0..hex.len() / 2).map(byte).collect(),
            }
        })
        .collect();
    assert!(entries.iter().any(|entry| !entry.is_bad()));
    entries
}

/// Each entry is read or refused, as its name says.
pub fn expect(kind: &str, is_read: impl Fn(&[u8]) -> bool) {
    for entry in corpus(kind) {
        let Entry { name, bytes } = &entry;
        assert_eq!(is_read(bytes), !entry.is_bad(), "{kind}: {name}");
    }
}

/// Entries of this kind with some damage, and now and then nothing but noise.
pub fn damaged(kind: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let entries: Vec<_> = corpus(kind).into_iter().map(|e| e.bytes).collect();
    let entry = prop::sample::select(entries);
    let damage = prop::collection::vec(damage(), 0..6);
    let from_corpus = (entry, damage).prop_map(|(mut bytes, damage)| {
        for damage in damage {
            damage.apply(&mut bytes);
        }
        bytes
    });
    prop_oneof![9 => from_corpus, 1 => prop::collection::vec(any::<u8>(), 0..400)]
}

#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    /// The largest and smallest values that lengths and counts can have.
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let extreme = prop::sample::select(vec![0, 1, 0x7f, 0x80, 0xff]);
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        (any::<Index>(), extreme).prop_map(|(at, value)| Damage::Set(at, value)),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..12))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (any::<Index>(), 1_usize..12).prop_map(|(at, count)| Damage::Remove(at, count)),
        (any::<Index>(), 1_usize..40).prop_map(|(at, count)| Damage::Repeat(at, count)),
        any::<Index>().prop_map(Damage::Cut),
    ]
}

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        if length == 0 {
            return;
        }
        match self {
            Self::Flip(at, bits) => bytes[at.index(length)] ^= bits,
            Self::Set(at, value) => bytes[at.index(length)] = value,
            Self::Insert(at, more) => {
                let at = at.index(length);
                bytes.splice(at..at, more);
            }
            Self::Remove(at, count) => {
                let at = at.index(length);
                bytes.drain(at..(at + count).min(length));
            }
            Self::Repeat(at, count) => {
                let at = at.index(length);
                let part = bytes[at..(at + count).min(length)].to_vec();
                bytes.splice(at..at, part);
            }
            Self::Cut(at) => bytes.truncate(at.index(length)),
        }
    }
}

/// The most memory that this thread held at once while `read` ran, beyond what it held before.
pub fn peak<T>(read: impl FnOnce() -> T) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    drop(read());
    usize::try_from(PEAK.get() - before).unwrap_or_default()
}

/// What reading so many bytes may take: each of them may become an entry of some list, but none a list.
pub fn bound(length: usize) -> usize {
    (64 << 10) + 256 * length
}

/// Panics inside of other people's crates, those of their tasks included, which end without being seen.
pub fn foreign_panics() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let file = panic.location().map(std::panic::Location::file);
            let foreign = file.is_some_and(|file| file.contains("/registry/"));
            if foreign {
                COUNT.fetch_add(1, Relaxed);
            }
            before(panic);
        }));
    });
    COUNT.load(Relaxed)
}

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(change: isize) {
    // A thread that ends has no counters any more.
    let _ = HELD.try_with(|held| {
        let now = held.get() + change;
        held.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

// SAFETY: everything is the system's allocator's; counting touches no memory of its own that has to be allocated.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[test]
fn memory_is_counted_at_its_peak() {
    let took = peak(|| {
        drop(vec![0_u8; 1 << 20]);
        vec![0_u8; 1 << 10]
    });
    assert!((1 << 20..(1 << 20) + 4096).contains(&took), "{took}");
}
