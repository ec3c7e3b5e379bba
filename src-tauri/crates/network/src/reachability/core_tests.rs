#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Times here are passed in and come out unchanged, and the check is optional where it is used.
#![allow(clippy::float_cmp, clippy::unnecessary_wraps)]

use url::Url;

use super::*;
use crate::{Expect, Overall, ServiceKind, ServiceState, Unreachable};

/// The core with a clock that the test moves, and a memory of what it asked for.
struct Lab {
    core: Core,
    now: Duration,
    probing: Vec<(Ticket, String)>,
    looking: Option<Ticket>,
}

const EPOCH: f64 = 1_000_000.0;

impl Lab {
    fn watching(ids: &[&str]) -> Self {
        Self::with_portal_check(ids, None)
    }

    fn with_portal_check(ids: &[&str], portal: Option<PortalCheck>) -> Self {
        let start = Moment {
            monotonic: Duration::ZERO,
            wall: EPOCH,
        };
        let mut lab = Self {
            core: Core::new(start, Box::new(|| 0.5)),
            now: Duration::ZERO,
            probing: Vec::new(),
            looking: None,
        };
        lab.watch(ids, portal);
        lab
    }

    fn watch(&mut self, ids: &[&str], portal: Option<PortalCheck>) {
        self.give(Input::Watch(Watchlist {
            services: ids.iter().map(|id| watched(id)).collect(),
            portal,
        }));
    }

    fn give(&mut self, input: Input) {
        let now = Moment {
            monotonic: self.now,
            wall: EPOCH + self.now.as_secs_f64() * 1000.0,
        };
        for command in self.core.handle(now, input) {
            match command {
                Command::Probe(ticket, watched) => {
                    // The actor ends an older probe of the same service.
                    self.probing.retain(|(_, id)| *id != watched.id);
                    self.probing.push((ticket, watched.id));
                }
                Command::LookForPortal(ticket, _) => self.looking = Some(ticket),
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.give(Input::Tick);
    }

    /// Lets time run until something is due, and says how long that took.
    fn pass_until_due(&mut self) -> Duration {
        let at = self.core.next_at().expect("something is due");
        let waited = at.saturating_sub(self.now);
        self.now = self.now.max(at);
        self.give(Input::Tick);
        waited
    }

    fn answer(&mut self, id: &str, result: Result<u32, Failure>) {
        let index = self
            .probing
            .iter()
            .position(|(_, probed)| probed == id)
            .unwrap_or_else(|| panic!("{id} is not being probed"));
        let (ticket, _) = self.probing.remove(index);
        self.give(Input::Probed(ticket, result));
    }

    fn answer_all(&mut self, result: Result<u32, Failure>) {
        while let Some((_, id)) = self.probing.first().cloned() {
            self.answer(&id, result);
        }
    }

    fn portal_answers(&mut self, seen: Seen) {
        let ticket = self.looking.take().expect("a look for a portal");
        self.give(Input::PortalSeen(ticket, seen));
    }

    fn overall(&self) -> Overall {
        self.core.connection().overall
    }

    fn state(&self, id: &str) -> ServiceState {
        self.core.connection().service(id).unwrap().status
    }

    fn is_probing(&self, id: &str) -> bool {
        self.probing.iter().any(|(_, probed)| probed == id)
    }
}

fn watched(id: &str) -> Watched {
    Watched {
        id: id.to_owned(),
        kind: ServiceKind::Other,
        name: None,
        url: Url::parse(&format!("https://{id}.saint-elme.example/")).unwrap(),
        expect: Expect::Answer,
    }
}

fn portal_check(status: Option<u16>) -> Option<PortalCheck> {
    Some(PortalCheck {
        url: Url::parse("http://saint-elme.example/alive").unwrap(),
        status,
    })
}

fn page(status: u16) -> Seen {
    Seen::Answer(Answer {
        status,
        leads_to: None,
        page: true,
    })
}

fn redirect_to_portal() -> Seen {
    Seen::Answer(Answer {
        status: 302,
        leads_to: Some("wifi.hotel".to_owned()),
        page: false,
    })
}

#[test]
fn nothing_is_claimed_before_the_first_answer() {
    let lab = Lab::watching(&["chat"]);
    assert_eq!(lab.overall(), Overall::Checking);
    assert_eq!(lab.state("chat"), ServiceState::Checking);
    assert!(lab.is_probing("chat"));
    assert_eq!(lab.core.connection().verified_at, None);
}

#[test]
fn all_services_answering_is_connected_since_the_last_first_answer() {
    let mut lab = Lab::watching(&["chat", "files"]);
    lab.answer("chat", Ok(12));
    assert_eq!(lab.overall(), Overall::Checking);
    lab.now += Duration::from_secs(2);
    lab.answer("files", Ok(20));
    assert_eq!(lab.overall(), Overall::Connected);
    let connection = lab.core.connection();
    assert_eq!(connection.since, EPOCH + 2000.0);
    assert_eq!(connection.verified_at, Some(EPOCH + 2000.0));
    assert_eq!(
        lab.state("chat"),
        ServiceState::Reachable { latency_ms: 12 }
    );
}

#[test]
fn a_healthy_service_is_looked_at_again_after_one_to_two_minutes() {
    let mut lab = Lab::watching(&["chat"]);
    lab.answer("chat", Ok(12));
    assert_eq!(lab.pass_until_due(), Duration::from_secs(90));
    assert!(lab.is_probing("chat"));
    assert_eq!(lab.overall(), Overall::Connected);
}

#[test]
fn one_lost_service_of_two_is_degraded_with_the_reason_and_the_time_of_the_next_try() {
    let mut lab = Lab::watching(&["chat", "files"]);
    lab.answer("chat", Ok(12));
    lab.answer("files", Err(Failure::Refused));
    assert_eq!(lab.overall(), Overall::Degraded);
    assert_eq!(
        lab.state("files"),
        ServiceState::Unreachable {
            reason: Unreachable::Refused,
            retry_at: Some(EPOCH + 1000.0),
        }
    );
}

#[test]
fn each_failure_has_its_own_reason() {
    for (failure, reason) in [
        (Failure::Offline, Unreachable::Offline),
        (Failure::Timeout, Unreachable::Timeout),
        (Failure::Refused, Unreachable::Refused),
        (Failure::Dns, Unreachable::Dns),
        (Failure::Server { status: 503 }, Unreachable::Server),
        (Failure::Protocol, Unreachable::Protocol),
    ] {
        let mut lab = Lab::watching(&["chat"]);
        lab.answer("chat", Err(failure));
        let ServiceState::Unreachable { reason: found, .. } = lab.state("chat") else {
            panic!("{failure:?}: {:?}", lab.state("chat"));
        };
        assert_eq!(found, reason);
    }
}

#[test]
fn a_wrong_certificate_is_a_state_of_its_own_and_needs_no_second_opinion() {
    let mut lab = Lab::watching(&["chat", "files"]);
    lab.answer_all(Ok(12));
    lab.pass(90);
    lab.answer("files", Ok(12));
    lab.answer("chat", Err(Failure::WrongCertificate));
    assert!(matches!(
        lab.state("chat"),
        ServiceState::WrongCertificate { .. }
    ));
    assert_eq!(lab.overall(), Overall::Degraded);
}

#[test]
fn a_reachable_service_gets_a_second_try_before_it_is_called_lost() {
    let mut lab = Lab::watching(&["chat"]);
    lab.answer("chat", Ok(12));
    lab.pass_until_due();
    lab.answer("chat", Err(Failure::Timeout));
    assert_eq!(lab.overall(), Overall::Connected);
    assert_eq!(lab.pass_until_due(), Duration::from_secs(1));
    lab.answer("chat", Err(Failure::Timeout));
    assert_eq!(lab.overall(), Overall::Offline);
}

#[test]
fn tries_become_rarer_up_to_a_minute_and_start_over_when_the_person_asks() {
    let mut lab = Lab::watching(&["chat"]);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        lab.answer("chat", Err(Failure::Refused));
        pauses.push(lab.pass_until_due().as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    lab.answer("chat", Err(Failure::Refused));
    lab.give(Input::Wish(Wish::Retry(Some("chat".to_owned()))));
    lab.answer("chat", Err(Failure::Refused));
    assert_eq!(lab.pass_until_due(), Duration::from_secs(1));
}

#[test]
fn asking_for_one_service_leaves_the_others_alone() {
    let mut lab = Lab::watching(&["chat", "files"]);
    lab.answer_all(Ok(1));
    lab.give(Input::Wish(Wish::Retry(Some("files".to_owned()))));
    assert!(lab.is_probing("files") && !lab.is_probing("chat"));
    lab.answer_all(Ok(1));
    lab.give(Input::Wish(Wish::Retry(None)));
    assert!(lab.is_probing("files") && lab.is_probing("chat"));
}

#[test]
fn the_loss_of_one_service_makes_the_others_prove_themselves_at_once() {
    let mut lab = Lab::watching(&["chat", "files"]);
    lab.answer_all(Ok(12));
    lab.now += Duration::from_secs(30);
    lab.give(Input::Wish(Wish::UsedBadly(
        "chat".to_owned(),
        Failure::Timeout,
    )));
    lab.answer("chat", Err(Failure::Timeout));
    assert!(lab.is_probing("files"));
    lab.answer("files", Err(Failure::Timeout));
    assert_eq!(lab.overall(), Overall::Offline);
}

#[test]
fn a_service_that_comes_back_makes_the_lost_ones_try_and_nudges_waiting_work() {
    let mut lab = Lab::watching(&["chat", "files"]);
    lab.answer_all(Err(Failure::Refused));
    for _ in 0..8 {
        lab.pass_until_due();
        lab.answer_all(Err(Failure::Refused));
    }
    let nudges = lab.core.nudges();
    lab.give(Input::Wish(Wish::Retry(Some("chat".to_owned()))));
    lab.answer("chat", Ok(9));
    assert!(lab.is_probing("files"));
    assert_eq!(lab.core.nudges(), nudges + 1);
}

#[test]
fn a_change_of_interface_probes_everything_and_one_failure_is_enough() {
    let mut lab = Lab::watching(&["chat"]);
    lab.answer("chat", Ok(12));
    lab.give(Input::Link(true));
    assert!(lab.is_probing("chat"));
    lab.answer("chat", Err(Failure::Dns));
    assert_eq!(lab.overall(), Overall::Offline);
}

#[test]
fn without_any_link_the_device_is_offline_before_probes_have_waited_in_vain() {
    let mut lab = Lab::watching(&["chat"]);
    lab.give(Input::Link(false));
    assert_eq!(lab.overall(), Overall::Offline);
    assert_eq!(lab.state("chat"), ServiceState::Checking);
}

#[test]
fn what_answers_is_reachable_even_when_the_system_sees_no_link() {
    let mut lab = Lab::watching(&["chat"]);
    lab.give(Input::Link(false));
    lab.answer("chat", Ok(1));
    assert_eq!(lab.overall(), Overall::Connected);
}

#[test]
fn after_sleep_nothing_of_before_is_claimed() {
    let mut lab = Lab::watching(&["chat"]);
    lab.answer("chat", Ok(12));
    let nudges = lab.core.nudges();
    lab.give(Input::Woke);
    assert_eq!(lab.overall(), Overall::Checking);
    assert_eq!(lab.core.nudges(), nudges + 1);
    lab.answer("chat", Ok(15));
    assert_eq!(lab.overall(), Overall::Connected);
}

#[test]
fn the_answer_to_a_probe_from_before_a_change_says_nothing() {
    let mut lab = Lab::watching(&["chat"]);
    let (old, _) = lab.probing[0].clone();
    lab.give(Input::Link(true));
    lab.give(Input::Probed(old, Ok(3)));
    assert_eq!(lab.state("chat"), ServiceState::Checking);
    lab.answer("chat", Err(Failure::Timeout));
    assert!(matches!(
        lab.state("chat"),
        ServiceState::Unreachable { .. }
    ));
}

#[test]
fn silence_everywhere_is_offline_and_somebody_answering_is_the_internet() {
    for (failure, word) in [
        (Failure::Offline, Overall::Offline),
        (Failure::Dns, Overall::Offline),
        (Failure::Timeout, Overall::Offline),
        (Failure::Refused, Overall::InternetOnly),
        (Failure::Server { status: 502 }, Overall::InternetOnly),
        (Failure::WrongCertificate, Overall::InternetOnly),
    ] {
        let mut lab = Lab::watching(&["chat", "files"]);
        lab.answer_all(Err(failure));
        assert_eq!(lab.overall(), word, "{failure:?}");
    }
}

#[test]
fn a_welcome_page_is_a_captive_portal_and_when_it_opens_everything_is_tried_at_once() {
    let mut lab = Lab::with_portal_check(&["chat", "files"], portal_check(Some(204)));
    lab.answer_all(Err(Failure::WrongCertificate));
    assert_eq!(
        lab.overall(),
        Overall::Checking,
        "not before the page was seen"
    );
    lab.portal_answers(redirect_to_portal());
    assert_eq!(lab.overall(), Overall::CaptivePortal);

    lab.answer_all_due(Err(Failure::WrongCertificate), Duration::from_secs(4));
    lab.pass(1);
    lab.answer_all_running(Err(Failure::WrongCertificate));
    lab.portal_answers(page(204));
    assert!(lab.is_probing("chat") && lab.is_probing("files"));
    lab.answer_all(Ok(30));
    assert_eq!(lab.overall(), Overall::Connected);
}

impl Lab {
    /// Lets `span` pass and answers every probe that falls into it.
    fn answer_all_due(&mut self, result: Result<u32, Failure>, span: Duration) {
        let end = self.now + span;
        while self.core.next_at().is_some_and(|at| at <= end) {
            self.pass_until_due();
            self.answer_all(result);
        }
        self.now = end;
    }

    fn answer_all_running(&mut self, result: Result<u32, Failure>) {
        self.answer_all(result);
    }
}

#[test]
fn the_organisations_own_page_without_its_services_is_internet_only() {
    let mut lab = Lab::with_portal_check(&["chat"], portal_check(Some(204)));
    lab.answer("chat", Err(Failure::Timeout));
    lab.portal_answers(page(204));
    assert_eq!(lab.overall(), Overall::InternetOnly);
}

#[test]
fn when_nobody_answers_anywhere_the_device_is_offline() {
    let mut lab = Lab::with_portal_check(&["chat"], portal_check(Some(204)));
    lab.answer("chat", Err(Failure::Timeout));
    lab.portal_answers(Seen::Nothing(Failure::Timeout));
    assert_eq!(lab.overall(), Overall::Offline);
}

#[test]
fn what_the_organisations_page_usually_answers_is_learned_while_it_is_reached() {
    let mut lab = Lab::with_portal_check(&["chat"], portal_check(None));
    lab.answer("chat", Ok(12));
    lab.portal_answers(page(200));
    lab.give(Input::Link(true));
    lab.answer("chat", Err(Failure::Timeout));
    lab.portal_answers(page(200));
    assert_eq!(
        lab.overall(),
        Overall::InternetOnly,
        "the usual page is no portal"
    );
    lab.give(Input::Link(true));
    lab.answer("chat", Err(Failure::Timeout));
    lab.portal_answers(redirect_to_portal());
    assert_eq!(lab.overall(), Overall::CaptivePortal);
}

#[test]
fn no_portal_is_looked_for_while_a_service_answers() {
    let mut lab = Lab::with_portal_check(&["chat", "files"], portal_check(Some(204)));
    lab.answer("chat", Ok(12));
    lab.answer("files", Err(Failure::WrongCertificate));
    assert_eq!(lab.looking, None);
    assert_eq!(lab.overall(), Overall::Degraded);
}

#[test]
fn a_service_that_stays_in_the_list_keeps_its_state() {
    let mut lab = Lab::watching(&["chat", "files"]);
    lab.answer_all(Ok(12));
    lab.watch(&["files", "intranet"], None);
    assert_eq!(
        lab.state("files"),
        ServiceState::Reachable { latency_ms: 12 }
    );
    assert_eq!(lab.state("intranet"), ServiceState::Checking);
    assert!(lab.core.connection().service("chat").is_none());
    assert!(lab.is_probing("intranet") && !lab.is_probing("files"));
}

#[test]
fn a_real_request_that_was_answered_spares_a_probe() {
    let mut lab = Lab::watching(&["chat"]);
    lab.answer("chat", Ok(12));
    lab.pass(60);
    lab.give(Input::Wish(Wish::UsedWell("chat".to_owned())));
    assert_eq!(lab.core.connection().verified_at, Some(EPOCH + 60_000.0));
    assert_eq!(lab.pass_until_due(), Duration::from_secs(90));
}

#[test]
fn a_real_request_that_was_answered_makes_a_lost_service_prove_itself() {
    let mut lab = Lab::watching(&["chat"]);
    for _ in 0..5 {
        lab.answer("chat", Err(Failure::Timeout));
        lab.pass_until_due();
    }
    lab.answer("chat", Err(Failure::Timeout));
    lab.pass(2);
    lab.give(Input::Wish(Wish::UsedWell("chat".to_owned())));
    assert!(!lab.state("chat").is_reachable(), "a hint is no proof");
    assert!(lab.is_probing("chat"));
}

#[test]
fn too_many_requests_says_nothing_against_a_service() {
    let mut lab = Lab::watching(&["chat"]);
    lab.answer("chat", Ok(12));
    lab.pass(30);
    let busy = Failure::Server { status: 429 };
    lab.give(Input::Wish(Wish::UsedBadly("chat".to_owned(), busy)));
    assert!(!lab.is_probing("chat"));
}

#[test]
fn a_hint_about_a_service_nobody_watches_is_ignored() {
    let mut lab = Lab::watching(&["chat"]);
    lab.give(Input::Wish(Wish::UsedWell("gone".to_owned())));
    lab.give(Input::Wish(Wish::UsedBadly(
        "gone".to_owned(),
        Failure::Timeout,
    )));
    lab.give(Input::Wish(Wish::Retry(Some("gone".to_owned()))));
    assert_eq!(lab.overall(), Overall::Checking);
}

#[test]
fn a_state_keeps_its_since_while_only_its_figures_change() {
    let mut lab = Lab::watching(&["chat"]);
    lab.answer("chat", Err(Failure::Refused));
    lab.pass_until_due();
    lab.answer("chat", Err(Failure::Refused));
    let service = lab.core.connection().service("chat").unwrap().clone();
    assert_eq!(service.since, EPOCH);
    assert!(service.checked_at.unwrap() > EPOCH);
    lab.pass_until_due();
    lab.answer("chat", Err(Failure::Timeout));
    assert!(lab.core.connection().service("chat").unwrap().since > EPOCH);
}

mod any_order {
    use proptest::prelude::*;

    use super::*;

    fn results() -> impl Strategy<Value = Result<u32, Failure>> {
        prop_oneof![
            (0_u32..500).prop_map(Ok),
            Just(Err(Failure::Offline)),
            Just(Err(Failure::Timeout)),
            Just(Err(Failure::WrongCertificate)),
            Just(Err(Failure::Server { status: 500 })),
        ]
    }

    #[derive(Debug, Clone)]
    enum Step {
        Answer(usize, Result<u32, Failure>),
        Portal(u8),
        Link(bool),
        Woke,
        Retry,
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_usize..3, results()).prop_map(|(which, result)| Step::Answer(which, result)),
            (0_u8..3).prop_map(Step::Portal),
            any::<bool>().prop_map(Step::Link),
            Just(Step::Woke),
            Just(Step::Retry),
            (0_u64..200).prop_map(Step::Pass),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: "connected" stands only over services that
        /// answered, and something is always under way or planned.
        #[test]
        fn the_word_never_claims_more_than_the_services_proved(steps in prop::collection::vec(steps(), 0..60)) {
            let mut lab = Lab::with_portal_check(&["a", "b", "c"], portal_check(None));
            for step in steps {
                match step {
                    Step::Answer(which, result) => {
                        if let Some((_, id)) = lab.probing.get(which).cloned() {
                            lab.answer(&id, result);
                        }
                    }
                    Step::Portal(kind) if lab.looking.is_some() => lab.portal_answers(match kind {
                        0 => redirect_to_portal(),
                        1 => page(404),
                        _ => Seen::Nothing(Failure::Timeout),
                    }),
                    Step::Portal(_) => {}
                    Step::Link(link) => lab.give(Input::Link(link)),
                    Step::Woke => lab.give(Input::Woke),
                    Step::Retry => lab.give(Input::Wish(Wish::Retry(None))),
                    Step::Pass(seconds) => lab.pass(seconds),
                }
                let connection = lab.core.connection();
                let reachable = connection.services.iter().filter(|s| s.status.is_reachable()).count();
                match connection.overall {
                    Overall::Connected => prop_assert_eq!(reachable, 3),
                    Overall::Degraded => prop_assert!((1..3).contains(&reachable)),
                    Overall::Checking => prop_assert!(reachable < 3),
                    _ => prop_assert_eq!(reachable, 0),
                }
                prop_assert!(!lab.probing.is_empty() || lab.core.next_at().is_some());
            }
        }
    }
}
