//! One direction of a line.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use bytes::BytesMut;

use crate::tcp::time::Time;

/// `SplitMix64`: the same sequence on every machine and for ever.
#[derive(Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// How many places neighbours of one tick may be exchanged by.
const EXCHANGED: u64 = 4;

#[derive(Clone)]
pub struct Line {
    delay: Duration,
    bits_per_second: u64,
    /// Bytes that wait for the line before further ones are dropped.
    queue: u64,
    /// Of a hundred thousand packets.
    pub lost: u64,
    pub late: u64,
    pub doubled: u64,
    /// How much later a late packet comes, at most.
    lateness: Duration,
    /// Packets come only when this clock ticks, those of one tick with places exchanged: the delaying
    /// relay of the lab, aggregation of Wi-Fi, grants of a mobile network.
    tick: Option<Duration>,
    /// Drops the packets with these places in the order of sending.
    pub drops: Vec<u64>,
    pub cut: bool,
    pub mtu: usize,
    chance: Chance,
    free_at: Time,
    under_way: BinaryHeap<Reverse<(Time, u64, BytesMut)>>,
    pub sent: u64,
    pub dropped: u64,
}

impl Line {
    /// A line with this round trip, a gigabit and a queue of one round trip, and no fault.
    pub fn new(round_trip: Duration) -> Self {
        let bits_per_second = 1_000_000_000;
        let queue =
            u64::try_from(round_trip.as_micros()).expect("short") * bits_per_second / 8_000_000;
        Self {
            delay: round_trip / 2,
            bits_per_second,
            queue: queue.max(256 * 1024),
            lost: 0,
            late: 0,
            doubled: 0,
            lateness: round_trip / 2,
            tick: None,
            drops: Vec::new(),
            cut: false,
            mtu: 65_535,
            chance: Chance::new(0),
            free_at: Time::ZERO,
            under_way: BinaryHeap::new(),
            sent: 0,
            dropped: 0,
        }
    }

    pub fn with_rate(mut self, bits_per_second: u64, queue: u64) -> Self {
        self.bits_per_second = bits_per_second;
        self.queue = queue;
        self
    }

    pub fn ticking(mut self, tick: Duration) -> Self {
        self.tick = Some(tick);
        self
    }

    pub fn seeded(mut self, seed: u64) -> Self {
        self.chance = Chance::new(seed);
        self
    }

    pub fn send(&mut self, packet: BytesMut, now: Time) {
        let place = self.sent;
        self.sent += 1;
        let bits = packet.len() as u64 * 8;
        let takes = Duration::from_nanos(bits * 1_000_000_000 / self.bits_per_second);
        let waits = self.free_at.since(now);
        let queued =
            u64::try_from(waits.as_micros()).expect("short") * self.bits_per_second / 8_000_000;
        let unlucky = self.chance.below(100_000) < self.lost || self.drops.contains(&place);
        if self.cut || queued > self.queue || unlucky || packet.len() > self.mtu {
            self.dropped += 1;
            return;
        }
        self.free_at = self.free_at.max(now) + takes.max(Duration::from_micros(1));
        let mut arrives = self.free_at + self.delay;
        if self.chance.below(100_000) < self.late {
            let most = u64::try_from(self.lateness.as_micros())
                .expect("short")
                .max(1);
            arrives = arrives + Duration::from_micros(self.chance.below(most));
        }
        let mut order = place * EXCHANGED;
        if let Some(tick) = self.tick {
            let ticks = arrives.since_epoch().as_nanos().div_ceil(tick.as_nanos());
            let ticks = u32::try_from(ticks).expect("a short simulation");
            arrives = Time::ZERO + tick * ticks;
            order += self.chance.below(EXCHANGED * EXCHANGED);
        }
        if self.chance.below(100_000) < self.doubled {
            let twin = arrives + self.lateness / 3;
            self.under_way.push(Reverse((twin, order, packet.clone())));
        }
        self.under_way.push(Reverse((arrives, order, packet)));
    }

    pub fn next_arrival(&self) -> Option<Time> {
        self.under_way.peek().map(|Reverse((at, ..))| *at)
    }

    pub fn arrived(&mut self, now: Time) -> Option<BytesMut> {
        if self.next_arrival()? > now {
            return None;
        }
        let Reverse((.., packet)) = self.under_way.pop()?;
        Some(packet)
    }
}
