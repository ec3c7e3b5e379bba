//! How fast bytes arrive under loss, against what the theory of the window says.

use std::time::Duration;

use super::line::Line;
use super::{Habit, Simulation};

/// Payload bytes per segment on the simulated line: MTU less 20 + 20 + 12.
const PAYLOAD: f64 = 1368.0;

/// Mean window in segments at loss rate `p`: the larger of Reno's, which CUBIC never falls below,
/// and CUBIC's own (RFC 9438 §5.1 and §5.2).
fn mean_window(p: f64, rtt: f64) -> f64 {
    let reno = (1.5 / p).sqrt();
    let cubic = 1.054 * rtt.powf(0.75) / p.powf(0.75);
    reno.max(cubic)
}

/// Bits per second over `time`, up (from a) or down (to a).
fn rate(seed: u64, line: &Line, up: bool, time: Duration) -> f64 {
    let sends = Habit {
        sends: u64::MAX / 1024,
        ..Habit::default()
    };
    let (a, b) = if up {
        (sends, Habit::default())
    } else {
        (Habit::default(), sends)
    };
    let mut simulation = Simulation::new(seed, line, a, b);
    simulation.a.holds_open = true;
    simulation.b.holds_open = true;
    simulation.run(time, |_| false);
    let got = if up {
        simulation.b.read
    } else {
        simulation.a.read
    };
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    let bits = got as f64 * 8.0;
    bits / time.as_secs_f64()
}

#[test]
fn under_loss_the_rate_is_what_the_window_allows() {
    for (round_trip, lost) in [
        (20, 100),
        (20, 1000),
        (5, 1000),
        (80, 100),
        (80, 1000),
        (1, 1000),
    ] {
        let round_trip = Duration::from_millis(round_trip);
        let mut line = Line::new(round_trip);
        line.lost = lost;
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let p = lost as f64 / 100_000.0;
        let expected =
            mean_window(p, round_trip.as_secs_f64()) * PAYLOAD * 8.0 / round_trip.as_secs_f64();
        // Loss hits acknowledgements too, but they tell everything again.
        for up in [true, false] {
            let got = rate(7, &line, up, round_trip * 500);
            assert!(
                got > 0.8 * expected.min(800e6),
                "{round_trip:?} {p} up {up}: {got:.0} bit/s, theory {expected:.0}"
            );
        }
    }
}

#[test]
fn without_loss_the_line_is_filled() {
    for (round_trip, bits) in [(1, 800e6), (5, 800e6), (20, 800e6), (80, 250e6)] {
        // 80 ms at a gigabit are more than the largest window of 4 MiB.
        let line = Line::new(Duration::from_millis(round_trip));
        for up in [true, false] {
            let got = rate(
                3,
                &line,
                up,
                Duration::from_secs(2).max(Duration::from_millis(round_trip * 40)),
            );
            assert!(got > bits, "{round_trip} ms up {up}: {got:.0} bit/s");
        }
    }
}

#[test]
fn a_short_queue_is_shared_without_collapse() {
    // 50 Mbit/s, 40 ms, a queue of a fifth of a round trip.
    let line = Line::new(Duration::from_millis(40)).with_rate(50_000_000, 50_000);
    let got = rate(5, &line, true, Duration::from_secs(30));
    assert!(got > 0.75 * 50e6, "{got:.0} bit/s");
}

/// 300 Mbit/s behind a queue of a quarter of a round trip: the socket of a relay, a small router.
fn short_queue() -> Line {
    Line::new(Duration::from_millis(20)).with_rate(300_000_000, 150_000)
}

#[test]
fn a_window_that_is_larger_than_the_queue_does_not_overflow_it() {
    // Sent in bursts, as acknowledgements of one tick would have it: 194 and 173 Mbit/s.
    let ticking = short_queue().ticking(Duration::from_millis(1));
    for (line, least) in [(short_queue(), 270e6), (ticking, 225e6)] {
        let got = rate(1, &line, true, Duration::from_secs(10));
        assert!(got > least, "{got:.0} bit/s");
    }
}

#[test]
fn a_line_that_delivers_in_ticks_is_filled_and_keeps_its_rate_under_loss() {
    for tick in [1, 5] {
        let tick = Duration::from_millis(tick);
        let mut line = Line::new(Duration::from_millis(20)).ticking(tick);
        let got = rate(3, &line, true, Duration::from_secs(2));
        assert!(got > 800e6, "{tick:?}: {got:.0} bit/s");
        line.lost = 100;
        // Each way waits for its tick.
        let round_trip = 0.02 + tick.as_secs_f64();
        let expected = mean_window(0.001, round_trip) * PAYLOAD * 8.0 / round_trip;
        let got = rate(7, &line, true, Duration::from_secs(10));
        assert!(
            got > 0.8 * expected,
            "{tick:?}: {got:.0} bit/s, theory {expected:.0}"
        );
    }
}
