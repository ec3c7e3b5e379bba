//! A link that is too narrow, lossy or changing, with three layers and sound on it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// A queue in front of a link, as in a home router.
struct Link {
    /// Bits per second.
    capacity: f64,
    /// Every n-th packet is lost, beside those that do not fit.
    loses_every: usize,
    passed: usize,
    /// When the link is free again.
    free: Instant,
    longest: Duration,
    delay: Duration,
}

impl Link {
    fn new(began: Instant, capacity: f64) -> Self {
        Self {
            capacity,
            loses_every: usize::MAX,
            passed: 0,
            free: began,
            longest: Duration::from_millis(400),
            delay: Duration::from_millis(20),
        }
    }

    /// When the packet is at the other end.
    fn pass(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        self.passed += 1;
        let begins = self.free.max(now);
        let full = begins - now > self.longest;
        if full || self.passed.is_multiple_of(self.loses_every) {
            return None;
        }
        self.free = begins + Duration::from_secs_f64(bytes as f64 * 8.0 / self.capacity);
        Some(self.free + self.delay)
    }
}

/// One side of a meeting, in steps of a millisecond.
struct Meeting {
    began: Instant,
    now: Instant,
    link: Link,
    ledger: Ledger,
    estimate: Estimate,
    layers: Vec<LayerWish>,
    shares: Vec<u32>,
    /// Packets that are reported next: number and arrival.
    report: VecDeque<(u16, Option<Instant>)>,
    /// The server's clock runs this much faster.
    skew: f64,
    sound_sent: usize,
    sound_lost: usize,
    sound_slowest: Duration,
}

impl Meeting {
    fn new(capacity: f64) -> Self {
        let began = Instant::now();
        let layers = [160_000, 450_000, 1_700_000].map(|rate| LayerWish {
            rate,
            watched: true,
            running: true,
        });
        Self {
            began,
            now: began,
            link: Link::new(began, capacity),
            ledger: Ledger::default(),
            estimate: Estimate::new(),
            layers: layers.to_vec(),
            shares: vec![160_000, 450_000, 1_700_000],
            report: VecDeque::new(),
            skew: 0.0,
            sound_sent: 0,
            sound_lost: 0,
            sound_slowest: Duration::ZERO,
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.sound_sent = 0;
        self.sound_lost = 0;
        self.sound_slowest = Duration::ZERO;
        while self.now < end {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        let at = (self.now - self.began).as_millis();
        if at.is_multiple_of(20) {
            let arrived = self.send(150, false);
            self.sound_sent += 1;
            match arrived {
                None => self.sound_lost += 1,
                Some(arrived) => self.sound_slowest = self.sound_slowest.max(arrived - self.now),
            }
        }
        if at.is_multiple_of(33) {
            for share in self.shares.clone() {
                let mut bytes = share as usize / 8 / 30;
                while bytes > 0 {
                    let packet = bytes.min(1200);
                    self.send(packet, false);
                    bytes -= packet;
                }
            }
        }
        if at.is_multiple_of(100) {
            self.hear();
        }
    }

    fn send(&mut self, bytes: usize, probe: bool) -> Option<Instant> {
        let number = self.ledger.sent(bytes + 60, probe, self.now);
        let arrived = self.link.pass(bytes + 60, self.now);
        self.report.push_back((number, arrived));
        arrived
    }

    /// The server's report on what arrived up to now, and what follows from it.
    fn hear(&mut self) {
        let is_there =
            |(_, arrived): &(u16, Option<Instant>)| arrived.is_some_and(|at| at <= self.now);
        // A hole is seen as such once something after it has arrived.
        let Some(last) = self.report.iter().rposition(is_there) else {
            return;
        };
        let told: Vec<_> = self.report.drain(..=last).collect();
        let first = told.first().map_or(0, |(number, _)| *number);
        let clock = |at: Instant| {
            let passed = (at - self.began).as_secs_f64() * (1.0 + self.skew);
            7_000_000_000 + (passed * 4_000.0) as i64 * 250
        };
        let arrivals = told.iter().map(|(_, arrived)| arrived.map(clock));
        let arrivals = self.ledger.reported(first, arrivals);
        self.estimate.report(&arrivals, self.now);
        let tracks = [self.layers.clone()];
        self.shares = share(self.estimate.rate(), 1, &tracks).remove(0);
        for (layer, share) in self.layers.iter_mut().zip(&self.shares) {
            layer.running = *share > 0;
        }
        if let Some(bytes) = self.estimate.probe(wanted(1, &tracks), self.now)
            && self.shares[0] > 0
        {
            for _ in 0..bytes / 1000 {
                self.send(1000, true);
            }
        }
    }

    fn top_layer_runs(&self) -> bool {
        self.shares[2] > 0
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn on_a_link_that_carries_all_of_it_everything_is_sent() {
    let mut meeting = Meeting::new(10e6);
    meeting.run(60 * SECOND);
    assert_eq!(meeting.shares, [160_000, 450_000, 1_700_000]);
    assert_eq!(meeting.sound_lost, 0);
}

#[test]
fn at_one_megabit_pictures_give_way_within_five_seconds_and_sound_is_not_lost() {
    let mut meeting = Meeting::new(10e6);
    meeting.run(10 * SECOND);
    meeting.link.capacity = 1e6;
    meeting.run(5 * SECOND);
    assert!(!meeting.top_layer_runs(), "{:?}", meeting.shares);
    assert!(meeting.shares[1] > 0, "{:?}", meeting.shares);
    meeting.run(60 * SECOND);
    assert!(!meeting.top_layer_runs(), "{:?}", meeting.shares);
    assert!(meeting.shares[1] > 300_000, "{:?}", meeting.shares);
    assert_eq!(meeting.sound_lost, 0);
    assert!(
        meeting.sound_slowest < Duration::from_millis(200),
        "{:?}",
        meeting.sound_slowest
    );
}

#[test]
fn once_the_link_is_free_again_the_top_layer_is_back_within_fifteen_seconds() {
    for narrow in [5, 20, 60] {
        let mut meeting = Meeting::new(1e6);
        meeting.run(narrow * SECOND);
        assert!(!meeting.top_layer_runs());
        meeting.link.capacity = 10e6;
        meeting.run(15 * SECOND);
        assert!(
            meeting.top_layer_runs(),
            "after {narrow} s: {:?}",
            meeting.estimate
        );
    }
}

#[test]
fn losses_without_a_queue_cost_no_layer() {
    let mut meeting = Meeting::new(10e6);
    meeting.link.loses_every = 20;
    meeting.run(60 * SECOND);
    assert!(meeting.top_layer_runs());
}

#[test]
fn a_link_that_has_no_queue_but_drops_is_found_out_too() {
    let mut meeting = Meeting::new(1e6);
    meeting.link.longest = Duration::from_millis(30);
    meeting.run(5 * SECOND);
    assert!(!meeting.top_layer_runs());
    meeting.run(30 * SECOND);
    let lost = meeting.sound_lost * 100 / meeting.sound_sent;
    assert!(lost <= 2, "{lost} % of the sound");
}

#[test]
fn at_two_hundred_kilobits_sound_and_a_small_picture_are_left() {
    let mut meeting = Meeting::new(200_000.0);
    meeting.run(20 * SECOND);
    meeting.run(30 * SECOND);
    assert_eq!(meeting.shares[1..], [0, 0]);
    assert!(
        meeting.sound_lost * 100 <= meeting.sound_sent,
        "{}",
        meeting.sound_lost
    );
}

#[test]
fn a_clock_that_drifts_is_no_queue() {
    for skew in [-200e-6, 200e-6] {
        let mut meeting = Meeting::new(10e6);
        meeting.skew = skew;
        meeting.run(300 * SECOND);
        assert!(meeting.top_layer_runs(), "{skew}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_rate_stays_within_bounds_and_what_is_sent_gets_through(
        capacities in proptest::collection::vec(150_000.0_f64..6e6, 1..4),
        loses_every in 15_usize..1000,
    ) {
        let mut meeting = Meeting::new(5e6);
        meeting.link.loses_every = loses_every;
        for capacity in capacities {
            meeting.link.capacity = capacity;
            meeting.run(20 * SECOND);
            let sent: u32 = meeting.shares.iter().sum();
            prop_assert!(f64::from(sent) <= capacity * 1.05, "{sent} of {capacity}");
            prop_assert!(meeting.estimate.rate() >= 60_000.0);
        }
    }
}
