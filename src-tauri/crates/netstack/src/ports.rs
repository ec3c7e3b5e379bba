//! Our own port numbers: one of ours is enough to find whom a packet is for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use parking_lot::RwLock;
use tokio::sync::Notify;

/// The ephemeral range of RFC 6335 §6, widened downwards as Linux does: 45,000 at once.
const FIRST: u16 = 20_000;
const COUNT: u16 = 45_000;

/// Which free port is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// One after the other: a port rests for as long as possible before it is used again, so that
    /// the other side has forgotten the former connection. Begins at a random one.
    Ascending,
    /// Cannot be foreseen, which makes forged answers to a question of ours hard (RFC 5452 §9.2).
    Random,
}

/// Who owns which local port.
pub struct Ports<T> {
    owners: RwLock<Owners<T>>,
    order: Order,
    /// Tells that the last port was given back.
    emptied: Notify,
}

struct Owners<T> {
    by_port: HashMap<u16, T, BuildHasherDefault<Scattered>>,
    next: u16,
}

impl<T: Clone> Ports<T> {
    pub fn new(order: Order) -> Self {
        Self {
            order,
            emptied: Notify::new(),
            owners: RwLock::new(Owners {
                by_port: HashMap::default(),
                next: rand::random_range(0..COUNT),
            }),
        }
    }

    /// Gives the next free port to what `make` makes of it. `None` when all are taken.
    pub fn claim<R>(&self, make: impl FnOnce(u16) -> (T, R)) -> Option<R> {
        let mut owners = self.owners.write();
        if self.order == Order::Random {
            owners.next = rand::random_range(0..COUNT);
        }
        for _ in 0..COUNT {
            let port = FIRST + owners.next;
            owners.next = (owners.next + 1) % COUNT;
            if let Entry::Vacant(place) = owners.by_port.entry(port) {
                let (owner, result) = make(port);
                place.insert(owner);
                return Some(result);
            }
        }
        None
    }

    pub fn release(&self, port: u16) {
        let mut owners = self.owners.write();
        owners.by_port.remove(&port);
        if owners.by_port.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// Waits until no port is owned.
    pub async fn until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    pub fn owner(&self, port: u16) -> Option<T> {
        self.owners.read().by_port.get(&port).cloned()
    }

    pub fn all(&self) -> Vec<T> {
        self.owners.read().by_port.values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.owners.read().by_port.len()
    }
}

/// Ports are chosen by us, so nobody can make them collide: one multiplication is hash enough.
#[derive(Default)]
struct Scattered(u64);

impl Hasher for Scattered {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u16(u16::from(*byte));
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
