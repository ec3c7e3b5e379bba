//! How many bits per second the way to the server carries.
//!
//! Careful on purpose: a queue that grows on the way delays the sound, so the rate falls as soon as packets take
//! noticeably longer than they can, well below what gets through, and rises again by little. Where what we have to
//! send does not show how much more would fit, a handful of packets is sent at once now and then: how far apart they
//! arrive tells what the narrowest link carries.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Arrival;

/// Taken for granted until something else is known: three layers of 720p and the sound.
const START: f64 = 2_500_000.0;
const LEAST: f64 = 60_000.0;
const MOST: f64 = 8_000_000.0;
/// Packets that take this much longer than the quickest wait in a queue that we fill.
const LONG_QUEUE: f64 = 90_000.0;
/// Above it the rate does not rise.
const SHORT_QUEUE: f64 = 40_000.0;
/// A link may lose this part of the packets without being too narrow.
const USUAL_LOSS: f64 = 0.1;
/// Above it the rate does not rise.
const LITTLE_LOSS: f64 = 0.06;
/// Over which arrivals are counted.
const WINDOW: Duration = Duration::from_millis(700);
const PEAKS: Duration = Duration::from_secs(2);
/// Fewer packets say nothing about losses.
const ENOUGH: f64 = 20.0;
/// A cut shows after the queue has drained.
const BETWEEN_CUTS: Duration = Duration::from_millis(800);
const LONGEST_DRAIN: Duration = Duration::from_secs(1);
/// Growth per second.
const GROWTH: f64 = 1.08;
/// The rate rises no further above what gets through than this, unless a probe has shown that it may.
const BEYOND: f64 = 1.5;
const FIRST_PROBE: Duration = Duration::from_secs(4);
const LAST_PROBE: Duration = Duration::from_secs(8);
/// At 1 Mbit/s it fills the link for 80 ms.
pub(super) const PROBE_BYTES: usize = 10_000;
/// Fewer packets of a probe say nothing.
const PROBE_PACKETS: usize = 5;
/// The quickest passage is forgotten after one to two of these: clocks drift and ways change.
const MEMORY: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct Estimate {
    rate: f64,
    /// Reports of the last [`WINDOW`]: when, bytes that arrived, packets that did and did not.
    recent: VecDeque<(Instant, usize, usize, usize)>,
    /// What got through while there was a queue, over the last [`PEAKS`].
    peaks: VecDeque<(Instant, f64)>,
    /// Shortest passages of the present and the last memory, in microseconds between two unrelated clocks.
    shortest: [Option<f64>; 2],
    shortest_since: Option<Instant>,
    /// Mean of how much longer packets took lately.
    queue: f64,
    since: Option<Instant>,
    cut: Option<Instant>,
    /// While the queue on the way drains: until when, and what is sent meanwhile.
    draining: Option<(Instant, f64)>,
    probed: Option<Instant>,
    probe_pause: Duration,
    origin: Option<Instant>,
}

impl Estimate {
    pub fn new() -> Self {
        Self {
            rate: START,
            recent: VecDeque::new(),
            peaks: VecDeque::new(),
            shortest: [None; 2],
            shortest_since: None,
            queue: 0.0,
            since: None,
            cut: None,
            draining: None,
            probed: None,
            probe_pause: FIRST_PROBE,
            origin: None,
        }
    }

    /// In bits per second.
    pub fn rate(&self) -> f64 {
        self.draining.map_or(self.rate, |(_, rate)| rate)
    }

    /// How many bytes to send at once now to find out what fits, `wanted` being what we would like to send.
    pub fn probe(&mut self, wanted: f64, now: Instant) -> Option<usize> {
        let last = *self.probed.get_or_insert(now);
        let rested = now.saturating_duration_since(last) >= self.probe_pause;
        let calm = self.queue < SHORT_QUEUE && self.loss() < LITTLE_LOSS;
        if self.rate >= wanted.min(MOST) || !rested || !calm {
            return None;
        }
        self.probed = Some(now);
        self.probe_pause = (self.probe_pause * 3 / 2).min(LAST_PROBE);
        Some(PROBE_BYTES)
    }

    /// Takes what one report tells.
    pub fn report(&mut self, arrivals: &[Arrival], now: Instant) {
        let origin = *self
            .origin
            .get_or_insert_with(|| arrivals.first().map_or(now, |arrival| arrival.sent));
        self.count(arrivals, now);
        self.measure_queue(arrivals, origin, now);
        let passed = self.since.replace(now).map_or(0.0, |since| {
            now.saturating_duration_since(since).as_secs_f64()
        });
        let through = self.through();
        if self.queue > SHORT_QUEUE {
            self.peaks.extend(through.map(|rate| (now, rate)));
        } else {
            self.peaks.clear();
        }
        while let Some((at, _)) = self.peaks.front()
            && now.saturating_duration_since(*at) > PEAKS
        {
            self.peaks.pop_front();
        }
        if self.queue < SHORT_QUEUE || self.draining.is_some_and(|(until, _)| until <= now) {
            self.draining = None;
        }
        if self.queue > LONG_QUEUE || self.loses_too_much() {
            self.cut(now);
        } else if self.queue < SHORT_QUEUE && self.loss() < LITTLE_LOSS {
            let highest = through.map_or(self.rate, |through| through * BEYOND + 50_000.0);
            if self.rate < highest {
                let grown = self.rate * GROWTH.powf(passed.min(1.0)) + 5_000.0 * passed.min(1.0);
                self.rate = grown.min(highest);
            }
            if let Some(capacity) = capacity(arrivals) {
                // What a burst shows is at most what the link carries now; a part of it stays free.
                self.rate = self.rate.max(capacity * 0.8);
            }
        }
        self.rate = self.rate.clamp(LEAST, MOST);
    }

    fn count(&mut self, arrivals: &[Arrival], now: Instant) {
        let arrived = arrivals.iter().filter(|arrival| arrival.arrived.is_some());
        let (bytes, packets) = arrived.fold((0, 0), |(bytes, packets), arrival| {
            (bytes + arrival.bytes, packets + 1)
        });
        let lost = arrivals.len() - packets;
        self.recent.push_back((now, bytes, packets, lost));
        while let Some((at, ..)) = self.recent.front()
            && now.saturating_duration_since(*at) > WINDOW
        {
            self.recent.pop_front();
        }
    }

    fn measure_queue(&mut self, arrivals: &[Arrival], origin: Instant, now: Instant) {
        let since = *self.shortest_since.get_or_insert(now);
        if now.saturating_duration_since(since) > MEMORY {
            self.shortest = [None, self.shortest[0]];
            self.shortest_since = Some(now);
        }
        let passages = arrivals.iter().filter(|a| !a.probe).filter_map(|arrival| {
            #[expect(clippy::cast_precision_loss)]
            let arrived = arrival.arrived? as f64;
            let sent = arrival.sent.saturating_duration_since(origin);
            Some(arrived - sent.as_secs_f64() * 1e6)
        });
        let (mut sum, mut count, mut least) = (0.0, 0.0, f64::INFINITY);
        for passage in passages {
            sum += passage;
            count += 1.0;
            least = least.min(passage);
        }
        if count == 0.0 {
            return;
        }
        self.shortest[0] = Some(self.shortest[0].map_or(least, |before| before.min(least)));
        let shortest = self.shortest.iter().flatten().fold(least, |a, b| a.min(*b));
        self.queue = self.queue.midpoint(sum / count - shortest);
    }

    /// Bits per second that arrived lately; `None` while too little did.
    fn through(&self) -> Option<f64> {
        let (first, ..) = self.recent.front()?;
        let (last, ..) = self.recent.back()?;
        let passed = last.saturating_duration_since(*first).as_secs_f64();
        // The oldest report tells of what was before it.
        let bytes: usize = self.recent.iter().skip(1).map(|(_, bytes, ..)| bytes).sum();
        #[expect(clippy::cast_precision_loss)]
        (passed > 0.2).then(|| bytes as f64 * 8.0 / passed)
    }

    /// The part of the packets that were lost lately.
    fn loss(&self) -> f64 {
        let (sent, lost) = self.lately();
        if sent < ENOUGH { 0.0 } else { lost / sent }
    }

    /// Whether so many were lost lately that it is no accident: where one in twenty is lost, three of twenty-five often
    /// are.
    fn loses_too_much(&self) -> bool {
        let (sent, lost) = self.lately();
        let usual = sent * USUAL_LOSS;
        let by_accident = 2.0 * (usual * (1.0 - USUAL_LOSS)).sqrt();
        sent >= ENOUGH && lost > usual + by_accident
    }

    /// Packets that were sent in the last [`WINDOW`], and those of them that were lost.
    fn lately(&self) -> (f64, f64) {
        let packets: usize = self.recent.iter().map(|(_, _, packets, _)| packets).sum();
        let lost: usize = self.recent.iter().map(|(.., lost)| lost).sum();
        #[expect(clippy::cast_precision_loss)]
        ((packets + lost) as f64, lost as f64)
    }

    fn cut(&mut self, now: Instant) {
        let recently = |cut: Instant| now.saturating_duration_since(cut) < BETWEEN_CUTS;
        if self.cut.is_some_and(recently) {
            return;
        }
        self.cut = Some(now);
        // What got through while the queue was full, not what we sent while it drained.
        let peaks = self.peaks.iter().map(|(_, rate)| *rate);
        let through = peaks.chain(self.through()).fold(0.0, f64::max);
        let through = if through > 0.0 {
            through
        } else {
            self.rate / 2.0
        };
        let fits = through * 0.85;
        self.rate = if self.rate > fits {
            fits
        } else {
            self.rate * 0.9
        }
        .max(LEAST);
        if self.queue > LONG_QUEUE {
            // Half of what gets through empties the queue in twice its length.
            let long = Duration::from_secs_f64(2.0 * self.queue / 1e6).min(LONGEST_DRAIN);
            self.draining = Some((now + long, (through / 2.0).clamp(LEAST, self.rate)));
        }
        // A probe would meet the same link; it is worth a try once this has calmed.
        self.probed = Some(now);
        self.probe_pause = FIRST_PROBE;
    }
}

/// Bits per second at which the packets of a probe arrived.
fn capacity(arrivals: &[Arrival]) -> Option<f64> {
    let probes = arrivals.iter().filter(|arrival| arrival.probe);
    let arrived: Vec<_> = probes
        .filter_map(|arrival| Some((arrival.arrived?, arrival.bytes)))
        .collect();
    if arrived.len() < PROBE_PACKETS {
        return None;
    }
    let first = arrived.iter().min_by_key(|(at, _)| at)?;
    let last = arrived.iter().map(|(at, _)| at).max()?;
    let bytes: usize = arrived.iter().map(|(_, bytes)| bytes).sum::<usize>() - first.1;
    // The server's clock has steps of 250 µs.
    #[expect(clippy::cast_precision_loss)]
    Some(bytes as f64 * 8.0 / ((last - first.0).max(1_000) as f64 / 1e6))
}
