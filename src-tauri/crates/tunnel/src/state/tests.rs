#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 7));
const TRAIN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 20, 10, 3));

/// The core under a clock of its own, with a world that answers as it is told.
struct Play {
    core: Core,
    now: Instant,
    done: Vec<Action>,
}

impl Play {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            core: Core::new(now, false, PROBE_EVERY),
            now,
            done: Vec::new(),
        }
    }

    fn up() -> Self {
        let mut play = Self::new();
        play.tell(Event::Start);
        play.tell(Event::Opened { fresh: true });
        play.tell(Event::Session);
        play.tell(Event::Probe(Ok(())));
        play.tell(Event::Measured);
        play.is(State::Up, Why::Verified);
        play.done.clear();
        play
    }

    fn tell(&mut self, event: Event) -> &mut Self {
        let actions = self.core.handle(self.now, event);
        self.done.extend(actions);
        self
    }

    /// Lets time pass; ticks when the core wants it, and nobody answers.
    fn pass(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while let Some(deadline) = self.core.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            self.tell(Event::Tick);
        }
        self.now = end;
        self
    }

    fn is(&mut self, state: State, why: Why) -> &mut Self {
        assert_eq!((self.core.state(), self.core.why()), (state, why));
        self
    }

    fn count(&self, action: Action) -> usize {
        self.done.iter().filter(|done| **done == action).count()
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn it_is_up_only_after_an_answer_and_a_measured_size() {
    let mut play = Play::new();
    play.is(State::Down, Why::Stopped);
    play.tell(Event::Start).is(State::Connecting, Why::Starting);
    assert_eq!(play.core.admission(), Admission::Soon);
    play.tell(Event::Session)
        .is(State::Verifying, Why::SessionMade);
    assert_eq!(play.count(Action::Probe(Depth::Whole)), 1);
    play.tell(Event::Probe(Ok(())))
        .is(State::Verifying, Why::SessionMade);
    assert_eq!(
        play.core.admission(),
        Admission::Soon,
        "not before the size is known"
    );
    play.tell(Event::Measured).is(State::Up, Why::Verified);
    assert_eq!(play.core.admission(), Admission::Tunnel);
}

#[test]
fn a_silent_gateway_is_called_silent_within_three_seconds_and_asked_every_second() {
    let mut play = Play::new();
    play.tell(Event::Start).pass(seconds(2.6));
    play.is(State::Down, Why::GatewaySilent);
    assert!(play.core.retry_at().is_some());
    assert!(matches!(play.core.admission(), Admission::Nowhere(_)));
    play.tell(Event::Underneath(Underneath::Clear));
    play.is(State::Down, Why::GatewaySilentNetworkFine);
    play.done.clear();
    play.pass(seconds(10.0));
    assert!(play.count(Action::Kick(Kick::Silent)) >= 9);
    play.tell(Event::Session)
        .is(State::Verifying, Why::SessionMade);
}

#[test]
fn the_next_way_is_tried_long_before_patience_ends() {
    let mut play = Play::new();
    play.tell(Event::Start).pass(seconds(1.1));
    play.is(State::Connecting, Why::Starting);
    assert_eq!(play.count(Action::Kick(Kick::Silent)), 1);
    play.tell(Event::Session);
    play.tell(Event::Probe(Ok(()))).tell(Event::Measured);
    play.is(State::Up, Why::Verified);
}

#[test]
fn a_portal_is_told_apart_and_left_when_it_lets_through() {
    let mut play = Play::new();
    play.tell(Event::Start).pass(seconds(1.1));
    assert_eq!(play.count(Action::CheckUnderlay), 1);
    play.tell(Event::Underneath(Underneath::Captive));
    play.is(State::Blocked, Why::CaptivePortal)
        .pass(seconds(30.0));
    play.is(State::Blocked, Why::CaptivePortal);
    assert!(play.count(Action::CheckUnderlay) > 25);
    play.tell(Event::Underneath(Underneath::Clear));
    play.is(State::Connecting, Why::NetworkChanged);
}

#[test]
fn an_unanswered_probe_degrades_within_three_seconds_and_then_the_gateway_is_silent() {
    let mut play = Play::up();
    play.pass(PROBE_EVERY);
    assert_eq!(play.count(Action::Probe(Depth::Light)), 1);
    play.now += seconds(1.5);
    play.tell(Event::Probe(Err(Doubt::NoAnswer)));
    play.is(State::Degraded, Why::NoAnswerInside);
    assert_eq!(
        play.core.admission(),
        Admission::Tunnel,
        "what is open stays open"
    );
    play.pass(seconds(3.1)).is(State::Down, Why::GatewaySilent);
    assert_eq!(
        play.count(Action::Kick(Kick::Silent)),
        4,
        "the gateway is asked every second all the while"
    );
    // Thirty seconds later the gateway is back; the old connections must not wait.
    play.pass(seconds(30.0));
    play.done.clear();
    play.tell(Event::Session);
    assert_eq!(play.done.first(), Some(&Action::Nudge));
    play.tell(Event::Probe(Ok(()))).tell(Event::Measured);
    play.is(State::Up, Why::Verified);
}

#[test]
fn a_half_dead_tunnel_stays_degraded_for_as_long_as_the_gateway_answers() {
    let mut play = Play::up();
    play.tell(Event::Probe(Err(Doubt::NoAnswer)));
    for _ in 0..20 {
        play.core.set_heard(Some(play.now));
        play.tell(Event::Session).pass(seconds(2.5));
        play.tell(Event::Probe(Err(Doubt::NoAnswer)));
        play.is(State::Degraded, Why::NoAnswerInside);
    }
    play.tell(Event::Session).tell(Event::Probe(Ok(())));
    play.is(State::Up, Why::Verified);
}

#[test]
fn silence_asks_for_a_new_session_at_once_but_not_twice() {
    let mut play = Play::up();
    play.tell(Event::Silence).tell(Event::Silence);
    assert_eq!(play.count(Action::Kick(Kick::Silent)), 1);
    // Nor does it put off the verdict of a probe that is on its way.
    play.now += seconds(2.1);
    play.tell(Event::Silence);
    assert_eq!(play.count(Action::Kick(Kick::Silent)), 2);
    assert_eq!(play.count(Action::Probe(Depth::Light)), 1);
    play.is(State::Up, Why::Verified);
    play.tell(Event::Session).tell(Event::Probe(Ok(())));
    play.is(State::Up, Why::Verified);
}

#[test]
fn wrong_names_degrade_without_touching_the_session() {
    for (doubt, why) in [
        (Doubt::NamesDead, Why::NamesDead),
        (Doubt::NamesLie, Why::NamesLie),
        (Doubt::WrongAnswer, Why::WrongAnswer),
    ] {
        let mut play = Play::up();
        play.tell(Event::Probe(Err(doubt))).is(State::Degraded, why);
        play.pass(seconds(5.0)).is(State::Degraded, why);
        assert_eq!(play.count(Action::Kick(Kick::Silent)), 0);
        play.tell(Event::Probe(Ok(()))).is(State::Up, Why::Verified);
    }
}

#[test]
fn an_impostor_inside_blocks_until_the_right_one_answers() {
    let mut play = Play::up();
    play.tell(Event::Probe(Err(Doubt::Impostor)));
    play.is(State::Blocked, Why::Impostor);
    assert!(matches!(play.core.admission(), Admission::Nowhere(_)));
    play.pass(seconds(10.0)).is(State::Blocked, Why::Impostor);
    assert!(play.count(Action::Probe(Depth::Whole)) >= 3);
    play.tell(Event::Probe(Ok(()))).tell(Event::Measured);
    play.is(State::Up, Why::Verified);
}

#[test]
fn a_changed_address_begins_afresh_and_a_lost_one_is_no_network() {
    let mut play = Play::up();
    play.tell(Event::Underlay(Some(TRAIN)));
    play.is(State::Connecting, Why::NetworkChanged);
    assert_eq!(play.count(Action::Kick(Kick::Fresh)), 1);
    assert_eq!(
        play.core.admission(),
        Admission::Tunnel,
        "live connections go on"
    );
    // A session that lived on answers by itself.
    play.tell(Event::Probe(Ok(()))).tell(Event::Measured);
    play.is(State::Up, Why::Verified);

    play.tell(Event::Underlay(None))
        .is(State::Blocked, Why::NoNetwork);
    play.pass(seconds(100.0)).is(State::Blocked, Why::NoNetwork);
    play.tell(Event::Underlay(Some(HOME)));
    play.is(State::Connecting, Why::NetworkChanged);
}

#[test]
fn waking_up_begins_afresh() {
    let mut play = Play::up();
    play.tell(Event::Woke).is(State::Connecting, Why::WokeUp);
    assert_eq!(play.count(Action::Kick(Kick::Fresh)), 1);
}

#[test]
fn a_refusal_waits_for_the_person_and_nothing_else() {
    let mut play = Play::new();
    play.tell(Event::Start);
    play.tell(Event::Ended(Ended::Refused(Refusal::SignInAgain)));
    play.is(State::Blocked, Why::SignInAgain);
    assert_eq!(play.core.retry_at(), None);
    for event in [
        Event::Tick,
        Event::Woke,
        Event::Underlay(Some(TRAIN)),
        Event::Underlay(None),
        Event::Session,
    ] {
        play.tell(event).is(State::Blocked, Why::SignInAgain);
    }
    play.tell(Event::Retry).is(State::Connecting, Why::Retrying);
}

#[test]
fn an_ended_session_is_opened_again_at_once_and_then_with_pauses() {
    let mut play = Play::up();
    play.tell(Event::Ended(Ended::Closed));
    play.is(State::Connecting, Why::SessionEnded);
    assert_eq!(play.count(Action::Open), 1);
    play.tell(Event::Ended(Ended::Unreachable));
    play.is(State::Down, Why::GatewayUnreachable);
    play.pass(seconds(5.0));
    assert_eq!(play.count(Action::Open), 2, "one attempt runs at a time");
    play.tell(Event::Ended(Ended::Unreachable))
        .pass(seconds(1.1));
    assert_eq!(play.count(Action::Open), 3);
}

#[test]
fn nothing_is_started_where_the_system_reaches_the_inside() {
    let mut play = Play::new();
    play.core = Core::new(play.now, true, PROBE_EVERY);
    play.tell(Event::Start);
    assert_eq!(play.done, [Action::CheckInside]);
    play.tell(Event::InsideAlready(true));
    play.is(State::Down, Why::InsideAlready);
    assert_eq!(play.count(Action::Open), 0);
    assert_eq!(play.core.admission(), Admission::System);

    // It is looked again, and the tunnel starts when the person left the office.
    play.pass(seconds(5.1));
    assert_eq!(play.count(Action::CheckInside), 2);
    play.tell(Event::InsideAlready(false));
    play.is(State::Connecting, Why::NetworkChanged);
    assert_eq!(play.count(Action::Open), 1);
}

#[test]
fn looking_around_holds_the_start_back_for_forty_milliseconds_only() {
    let mut play = Play::new();
    play.core = Core::new(play.now, true, PROBE_EVERY);
    play.tell(Event::Start).pass(seconds(0.041));
    assert_eq!(play.count(Action::Open), 1);
    play.tell(Event::Opened { fresh: true })
        .tell(Event::Session);
    // The answer was late: what was started ends.
    play.tell(Event::InsideAlready(true));
    play.is(State::Down, Why::InsideAlready);
    assert_eq!(play.count(Action::Close), 1);
}

#[test]
fn an_unused_tunnel_is_probed_rarely_and_a_used_one_often() {
    let mut play = Play::up();
    let minute = |play: &mut Play| {
        play.done.clear();
        let end = play.now + seconds(60.0);
        while let Some(at) = play.core.deadline().filter(|at| *at <= end) {
            play.now = at;
            play.tell(Event::Tick);
            play.tell(Event::Probe(Ok(())));
        }
        play.now = end;
        play.count(Action::Probe(Depth::Light)) + play.count(Action::Probe(Depth::Whole))
    };
    assert!((58..=61).contains(&minute(&mut play)), "the first minute");
    assert!(minute(&mut play) <= 7, "idle");
    play.core.set_busy(true);
    assert!(minute(&mut play) >= 40, "in use");
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Start),
        Just(Event::Stop),
        Just(Event::Retry),
        Just(Event::Woke),
        Just(Event::Underlay(None)),
        Just(Event::Underlay(Some(HOME))),
        any::<bool>().prop_map(Event::InsideAlready),
        Just(Event::Underneath(Underneath::Clear)),
        Just(Event::Underneath(Underneath::Captive)),
        any::<bool>().prop_map(|fresh| Event::Opened { fresh }),
        Just(Event::Session),
        Just(Event::Ended(Ended::Closed)),
        Just(Event::Ended(Ended::Unreachable)),
        Just(Event::Ended(Ended::WrongCertificate)),
        Just(Event::Silence),
        Just(Event::Probe(Ok(()))),
        Just(Event::Probe(Err(Doubt::NoAnswer))),
        Just(Event::Probe(Err(Doubt::Impostor))),
        Just(Event::Measured),
        Just(Event::Tick),
    ]
}

proptest! {
    /// Whatever happens: "up" follows an answered probe, a wanted tunnel has a way back, and when
    /// the world is well again, it is up again without anybody's help.
    #[test]
    fn there_is_always_a_way_back(
        check_inside in any::<bool>(),
        events in proptest::collection::vec((event(), 0u64..4000), 0..40),
    ) {
        let mut play = Play::new();
        play.core = Core::new(play.now, check_inside, PROBE_EVERY);
        let mut answered = false;
        for (event, pause) in events {
            let before = play.core.state();
            answered |= event == Event::Probe(Ok(()));
            play.tell(event);
            let entered = play.core.state() == State::Up && before != State::Up;
            prop_assert!(!entered || answered);
            if play.core.state() != State::Up && before == State::Up {
                answered = false;
            }
            play.pass(Duration::from_millis(pause));
        }
        if play.core.why() == Why::Stopped {
            play.tell(Event::Start);
        }
        if play.core.why() == Why::NoNetwork {
            play.tell(Event::Underlay(Some(TRAIN)));
        }
        // The world is well: every action is answered.
        play.done.clear();
        for _ in 0..200 {
            play.pass(seconds(0.5));
            for _ in 0..50 {
                if play.done.is_empty() {
                    break;
                }
                let answers = match play.done.remove(0) {
                    Action::CheckInside => vec![Event::InsideAlready(false)],
                    Action::CheckUnderlay => vec![Event::Underneath(Underneath::Clear)],
                    Action::Open => vec![Event::Opened { fresh: true }, Event::Session],
                    Action::Kick(_) => vec![Event::Session],
                    Action::Probe(_) => vec![Event::Probe(Ok(()))],
                    Action::Measure => vec![Event::Measured],
                    Action::Close | Action::Nudge => Vec::new(),
                };
                for answer in answers {
                    play.tell(answer);
                }
            }
            play.done.clear();
        }
        prop_assert_eq!(play.core.state(), State::Up, "{:?}", play.core);
    }
}
