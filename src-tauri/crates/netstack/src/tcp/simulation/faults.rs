//! Lines that lose, reorder, double and break.

use std::time::Duration;

use proptest::prelude::*;

use super::line::Line;
use super::{End, Habit, Simulation, State};

const MINUTE: Duration = Duration::from_mins(1);

fn sends(bytes: u64) -> Habit {
    Habit {
        sends: bytes,
        ..Habit::default()
    }
}

#[test]
fn everything_arrives_in_order_whatever_the_line_does() {
    for round_trip in [1, 5, 20, 80] {
        for (at, (lost, late, doubled)) in [
            (0, 0, 0),
            (100, 0, 0),
            (1000, 0, 0),
            (5000, 2000, 1000),
            (0, 20_000, 0),
            (0, 0, 20_000),
            (20_000, 5000, 5000),
        ]
        .into_iter()
        .enumerate()
        {
            for v6 in [false, true] {
                let mut line = Line::new(Duration::from_millis(round_trip));
                (line.lost, line.late, line.doubled) = (lost, late, doubled);
                let size = if lost > 10_000 { 60_000 } else { 1_500_000 };
                let seed = round_trip * 100 + at as u64;
                let mut simulation =
                    Simulation::over(seed, &line, sends(size), sends(size / 2), v6);
                assert!(
                    simulation.run(20 * MINUTE, Simulation::is_complete),
                    "{round_trip} ms, {lost} lost, {late} late, {doubled} doubled: {} of {size}, \
                     {} of {}, {:?}",
                    simulation.b.read,
                    simulation.a.read,
                    size / 2,
                    simulation.ends(),
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn everything_arrives_over_any_line(
        seed in any::<u32>(),
        round_trip in 1_u64..100,
        lost in 0_u64..10_000,
        late in 0_u64..30_000,
        doubled in 0_u64..20_000,
        sizes in (0_u64..300_000, 0_u64..300_000),
    ) {
        let mut line = Line::new(Duration::from_millis(round_trip));
        (line.lost, line.late, line.doubled) = (lost, late, doubled);
        let mut simulation =
            Simulation::new(seed.into(), &line, sends(sizes.0), sends(sizes.1));
        prop_assert!(
            simulation.run(30 * MINUTE, Simulation::is_complete),
            "{} of {}, {} of {}, {:?}", simulation.b.read, sizes.0, simulation.a.read, sizes.1,
            simulation.ends()
        );
    }
}

#[test]
fn one_lost_segment_costs_one_round_trip_wherever_it_is() {
    let line = Line::new(Duration::from_millis(20));
    let whole = {
        let mut simulation = Simulation::new(1, &line, sends(40_000), sends(0));
        assert!(simulation.run(MINUTE, |s| s.b.read == 40_000));
        simulation.now.since_epoch()
    };
    // Place 0 is the SYN, 1 the acknowledgement of theirs; 31 is the last of thirty segments.
    for place in 2..32 {
        let mut simulation = Simulation::new(1, &line, sends(40_000), sends(0));
        simulation.to_b.drops = vec![place];
        assert!(simulation.run(MINUTE, |s| s.b.read == 40_000));
        let longer = simulation.now.since_epoch().saturating_sub(whole);
        // A lost tail is found by a probe, not by a time-out.
        assert!(
            longer < Duration::from_millis(130),
            "place {place}: {longer:?} longer"
        );
    }
}

#[test]
fn a_line_that_only_reorders_is_not_taken_for_a_bad_one() {
    let mut line = Line::new(Duration::from_millis(20));
    line.late = 5000;
    let mut simulation = Simulation::new(3, &line, sends(20_000_000), sends(0));
    assert!(simulation.run(10 * MINUTE, |s| s.b.read == 20_000_000));
    let took = simulation.now.since_epoch();
    let repeated = simulation.a.connection.sender().repeated_segments();
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(repeated < 200, "{repeated} repeated in vain");
}

#[test]
fn a_cut_of_half_a_minute_is_survived_and_a_nudge_ends_the_wait() {
    for nudged in [false, true] {
        let line = Line::new(Duration::from_millis(20));
        let mut simulation = Simulation::new(1, &line, sends(200_000_000), sends(0));
        simulation.run(Duration::from_secs(1), |_| false);
        (simulation.to_a.cut, simulation.to_b.cut) = (true, true);
        simulation.run(Duration::from_secs(31), |_| false);
        let before = simulation.b.read;
        assert!(before > 0);
        (simulation.to_a.cut, simulation.to_b.cut) = (false, false);
        let back = simulation.now;
        if nudged {
            let now = simulation.now;
            simulation.a.connection.nudge(now);
        }
        assert!(simulation.run(2 * MINUTE, |s| s.b.read > before + 1_000_000));
        let waited = simulation.now.since(back);
        if nudged {
            assert!(waited < Duration::from_millis(500), "{waited:?}");
        }
        assert!(simulation.run(2 * MINUTE, Simulation::is_complete));
    }
}

#[test]
fn what_was_repeated_in_vain_just_before_the_line_came_back_is_soon_repeated_again() {
    let line = Line::new(Duration::from_millis(20));
    let mut simulation = Simulation::new(1, &line, sends(200_000_000), sends(0));
    simulation.run(Duration::from_secs(1), |_| false);
    (simulation.to_a.cut, simulation.to_b.cut) = (true, true);
    simulation.run(Duration::from_secs(5), |_| false);
    let before = simulation.b.read;
    assert!(before > 0);
    let repeated = simulation.a.connection.sender().repeated_segments();
    let again = |s: &Simulation| s.a.connection.sender().repeated_segments() > repeated;
    assert!(simulation.run(MINUTE, again));
    (simulation.to_a.cut, simulation.to_b.cut) = (false, false);
    let back = simulation.now;
    simulation.a.connection.nudge(back);
    assert!(simulation.run(2 * MINUTE, |s| s.b.read > before + 1_000_000));
    let waited = simulation.now.since(back);
    assert!(waited < Duration::from_millis(500), "{waited:?}");
}

#[test]
fn a_handshake_lost_just_before_the_line_came_back_is_soon_sent_again() {
    let line = Line::new(Duration::from_millis(20));
    let mut simulation = Simulation::new(1, &line, sends(1000), sends(0));
    (simulation.to_a.cut, simulation.to_b.cut) = (true, true);
    // Requests go out after 0, 1, 3 and 7 seconds.
    simulation.run(Duration::from_millis(7_050), |_| false);
    (simulation.to_a.cut, simulation.to_b.cut) = (false, false);
    let back = simulation.now;
    simulation.a.connection.nudge(back);
    assert!(simulation.run(MINUTE, Simulation::is_complete));
    let waited = simulation.now.since(back);
    assert!(waited < Duration::from_millis(500), "{waited:?}");
}

#[test]
fn a_dead_line_ends_the_connection_in_minutes() {
    let line = Line::new(Duration::from_millis(20));
    let mut simulation = Simulation::new(1, &line, sends(200_000_000), sends(0));
    simulation.run(Duration::from_secs(1), |_| false);
    (simulation.to_a.cut, simulation.to_b.cut) = (true, true);
    assert!(simulation.run(15 * MINUTE, |s| s.ends() == [Some(End::TimedOut); 2]));
    let took = simulation.now.since_epoch();
    assert!((2 * MINUTE..8 * MINUTE).contains(&took), "{took:?}");
}

#[test]
fn an_idle_connection_stays_and_a_dead_one_is_noticed() {
    let line = Line::new(Duration::from_millis(20));
    let mut simulation = Simulation::new(1, &line, sends(1000), sends(1000));
    (simulation.a.holds_open, simulation.b.holds_open) = (true, true);
    simulation.run(60 * MINUTE, |_| false);
    assert_eq!(simulation.a.connection.state(), State::Established);
    (simulation.to_a.cut, simulation.to_b.cut) = (true, true);
    assert!(simulation.run(10 * MINUTE, |s| s.a.connection.end() == Some(End::TimedOut)));
}

#[test]
fn nobody_there_is_noticed_in_two_minutes() {
    let mut line = Line::new(Duration::from_millis(20));
    line.cut = true;
    let mut simulation = Simulation::new(1, &line, sends(1), sends(0));
    assert!(simulation.run(3 * MINUTE, |s| s.a.connection.end() == Some(End::TimedOut)));
}

#[test]
fn a_slow_reader_holds_the_sender_back_and_gets_everything() {
    let line = Line::new(Duration::from_millis(5));
    let slow = Habit {
        sends: 0,
        reads_per_second: Some(400_000),
    };
    let mut simulation = Simulation::new(1, &line, sends(4_000_000), slow);
    simulation.run(Duration::from_secs(2), |_| false);
    assert!(simulation.a.written < 2_500_000, "{}", simulation.a.written);
    assert!(simulation.run(MINUTE, Simulation::is_complete));
    let took = simulation.now.since_epoch().as_secs_f64();
    assert!(
        (9.5..11.0).contains(&took),
        "{took} s for ten seconds of reading"
    );
}

#[test]
fn a_reader_that_rests_and_whose_window_update_is_lost_is_asked() {
    let line = Line::new(Duration::from_millis(5));
    let mut simulation = Simulation::new(1, &line, sends(1_000_000), sends(0));
    simulation.b.habit.reads_per_second = Some(0);
    simulation.run(Duration::from_secs(5), |_| false);
    assert_eq!(simulation.b.read, 0);
    // It reads everything at once, but what it says about that is lost.
    simulation.to_a.cut = true;
    simulation.b.habit.reads_per_second = None;
    let now = simulation.now;
    simulation.b.work(now);
    simulation.run(Duration::from_millis(1), |_| false);
    simulation.to_a.cut = false;
    assert!(simulation.run(MINUTE, Simulation::is_complete));
}

#[test]
fn a_path_that_becomes_narrower_is_followed_without_a_stall() {
    let line = Line::new(Duration::from_millis(20));
    let mut simulation = Simulation::new(1, &line, sends(5_000_000), sends(5_000_000));
    simulation.run(Duration::from_millis(200), |_| false);
    (simulation.to_a.mtu, simulation.to_b.mtu) = (1200, 1200);
    simulation.a.connection.set_mtu(1200);
    simulation.b.connection.set_mtu(1200);
    assert!(simulation.run(MINUTE, Simulation::is_complete));
    let took = simulation.now.since_epoch();
    assert!(took < Duration::from_secs(3), "{took:?}");
}
