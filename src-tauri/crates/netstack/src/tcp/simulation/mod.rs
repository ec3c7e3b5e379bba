//! Two connections over a simulated line: virtual clock, seeded chance, whole IP packets.

mod faults;
mod line;
mod throughput;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;

use self::line::{Chance, Line};
use super::connection::{Connection, End, Limits, State};
use super::segment;
use super::testing::Packets;
use super::time::Time;
use crate::packet;

const MTU: usize = 1420;

/// What one side's application does.
#[derive(Clone, Copy, Default)]
struct Habit {
    /// Bytes to send before it closes.
    sends: u64,
    /// Bytes per second that it reads; everything at once if `None`.
    reads_per_second: Option<u64>,
}

/// One side: connection, application, and the packets that it made.
struct Side {
    connection: Connection,
    habit: Habit,
    written: u64,
    read: u64,
    finished_reading: bool,
    /// Stays open when everything was sent.
    holds_open: bool,
    out: Packets,
}

/// Length of the repeated pattern: a prime, so that it meets no segment size.
const PERIOD: usize = 65_521;

/// What every stream consists of: the pattern, twice, so that any piece of up to one period is a
/// slice of it.
fn pattern() -> &'static [u8] {
    static PATTERN: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    PATTERN.get_or_init(|| {
        let mut chance = Chance::new(42);
        let once: Vec<u8> = (0..PERIOD)
            .map(|_| chance.next().to_le_bytes()[0])
            .collect();
        [once.clone(), once].concat()
    })
}

/// `count` bytes of the stream from place `at` on.
fn piece(at: u64, count: usize) -> &'static [u8] {
    let start = usize::try_from(at % PERIOD as u64).expect("below the period");
    &pattern()[start..start + count]
}

impl Side {
    fn new(ours: SocketAddr, theirs: SocketAddr, initial: u32, habit: Habit) -> Self {
        let limits = Limits {
            mtu: MTU,
            receive: 4 << 20,
            send: 4 << 20,
        };
        Self {
            connection: Connection::connect(ours, theirs, limits, initial, !initial, Time::ZERO),
            habit,
            written: 0,
            read: 0,
            finished_reading: false,
            holds_open: false,
            out: Packets::new(ours, theirs),
        }
    }

    fn deliver(&mut self, packet: BytesMut, now: Time) {
        let packet = packet.freeze();
        let ip = packet::parse(&packet).expect("the line damages nothing");
        let (_, _, segment) = segment::parse(&ip, &packet).expect("the line damages nothing");
        self.connection.arrived(segment, now);
    }

    /// The application writes and reads, then the connection sends.
    fn work(&mut self, now: Time) {
        self.read_all(now);
        self.write_all();
        self.connection.poll(now, &mut self.out);
        // What was read may have to be told.
        if self.connection.owes(now) {
            self.connection.poll(now, &mut self.out);
        }
    }

    fn read_all(&mut self, now: Time) {
        let mut buffer = Vec::new();
        while self.connection.is_readable() && !self.finished_reading {
            if buffer.is_empty() {
                buffer = vec![0; PERIOD];
            }
            let allowed = self.habit.reads_per_second.map_or(u64::MAX, |rate| {
                let until_now = now.since_epoch().as_micros() * u128::from(rate) / 1_000_000;
                u64::try_from(until_now)
                    .expect("fits")
                    .saturating_sub(self.read)
            });
            let most = usize::try_from(allowed.min(PERIOD as u64)).expect("fits");
            if most == 0 {
                return;
            }
            match self.connection.read(&mut buffer[..most], now) {
                Ok(0) => self.finished_reading = true,
                Ok(count) => {
                    assert!(
                        buffer[..count] == *piece(self.read, count),
                        "wrong bytes after {}",
                        self.read
                    );
                    self.read += count as u64;
                }
                Err(_) => return,
            }
        }
    }

    fn write_all(&mut self) {
        if !self.connection.is_open() {
            return;
        }
        while self.written < self.habit.sends {
            let count = (self.habit.sends - self.written).min(16_384);
            let count = usize::try_from(count).expect("small");
            match self.connection.write(piece(self.written, count)) {
                Ok(0) | Err(_) => return,
                Ok(taken) => self.written += taken as u64,
            }
        }
        if !self.holds_open {
            self.connection.close();
        }
    }
}

/// Two sides and the line between them.
struct Simulation {
    now: Time,
    a: Side,
    b: Side,
    to_b: Line,
    to_a: Line,
    events: u64,
}

impl Simulation {
    fn new(seed: u64, line: &Line, a: Habit, b: Habit) -> Self {
        Self::over(seed, line, a, b, false)
    }

    fn over(seed: u64, line: &Line, a: Habit, b: Habit, v6: bool) -> Self {
        let (at_a, at_b): (SocketAddr, SocketAddr) = if v6 {
            (
                "[fd00::a]:40000".parse().unwrap(),
                "[fd00::b]:80".parse().unwrap(),
            )
        } else {
            (
                "10.0.0.1:40000".parse().unwrap(),
                "10.0.0.2:80".parse().unwrap(),
            )
        };
        let mut chance = Chance::new(seed);
        // First numbers just below the wrap half of the time.
        let mut initial = || {
            let number = chance.next();
            u32::try_from(if number & 1 == 0 {
                number >> 32
            } else {
                0xffff_ff00
            })
            .expect("fits")
        };
        let (first, second) = (initial(), initial());
        Self {
            now: Time::ZERO,
            a: Side::new(at_a, at_b, first, a),
            b: Side::new(at_b, at_a, second, b),
            to_b: line.clone().seeded(seed * 2 + 1),
            to_a: line.clone().seeded(seed * 2 + 2),
            events: 0,
        }
    }

    /// Runs until `done` or for `limit` of virtual time; gives whether it was done.
    fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        // Side b waits for the SYN of a: an open that nothing was sent for yet.
        self.a.work(self.now);
        loop {
            for packet in self.a.out.made.drain(..) {
                self.to_b.send(packet, self.now);
            }
            for packet in self.b.out.made.drain(..) {
                self.to_a.send(packet, self.now);
            }
            if done(self) {
                return true;
            }
            let reading = [&self.a, &self.b]
                .iter()
                .any(|side| side.habit.reads_per_second.is_some() && side.connection.is_readable())
                .then(|| self.now + Duration::from_millis(5));
            let next = [
                self.to_a.next_arrival(),
                self.to_b.next_arrival(),
                self.a.connection.deadline(),
                self.b.connection.deadline().filter(|_| self.b_is_awake()),
                reading,
            ];
            let Some(next) = next.into_iter().flatten().min() else {
                return done(self);
            };
            if next > end {
                self.now = end;
                return done(self);
            }
            assert!(next > self.now || self.events % 1000 < 900, "no progress");
            self.events += if next > self.now {
                1000 - self.events % 1000
            } else {
                1
            };
            self.now = self.now.max(next);
            while let Some(packet) = self.to_b.arrived(self.now) {
                self.b.deliver(packet, self.now);
            }
            while let Some(packet) = self.to_a.arrived(self.now) {
                self.a.deliver(packet, self.now);
            }
            self.a.work(self.now);
            if self.b_is_awake() {
                self.b.work(self.now);
            }
        }
    }

    fn b_is_awake(&self) -> bool {
        self.b.connection.state() != State::SynSent
    }

    /// Both sides got everything and closed.
    fn is_complete(&self) -> bool {
        let over = |side: &Side| matches!(side.connection.state(), State::Closed | State::TimeWait);
        self.a.read == self.b.habit.sends
            && self.b.read == self.a.habit.sends
            && over(&self.a)
            && over(&self.b)
    }

    fn ends(&self) -> [Option<End>; 2] {
        [self.a.connection.end(), self.b.connection.end()]
    }
}
