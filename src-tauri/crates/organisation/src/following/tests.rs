#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use network::testing::{Answer, Authority, Behaviour, Server};

use super::*;

const GOOD: &str = r#"{"version":1,"name":"Cliniques Saint-Elme","help":"Poste 4040"}"#;
const BETTER: &str = r#"{"version":1,"name":"Cliniques Saint-Elme","help":"Poste 4141"}"#;
/// For servers that never answer.
const SHORT: Duration = Duration::from_millis(400);

struct Lab {
    authority: Authority,
    server: Server,
    folder: tempfile::TempDir,
}

impl Lab {
    async fn serving(
        answers: impl FnMut(&network::testing::Request) -> Answer + Send + 'static,
    ) -> Self {
        let authority = Authority::new();
        Self {
            server: Server::start(&authority, answers).await,
            authority,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn address(&self) -> Address {
        Address::parse(&self.server.authority()).unwrap()
    }

    fn shelf(&self) -> Shelf {
        Shelf::new(self.folder.path())
    }

    fn follow(&self) -> Following {
        self.follow_within(discover::DEADLINE)
    }

    fn follow_within(&self, deadline: Duration) -> Following {
        let clients = self.authority.clients();
        Following::paced(&self.address(), clients, self.shelf(), deadline, None, None)
    }
}

async fn until(following: &Following, what: impl Fn(&Current) -> bool) -> Current {
    let mut current = following.current();
    tokio::time::timeout(
        Duration::from_secs(20),
        current.wait_for(|current| current.as_ref().is_some_and(&what)),
    )
    .await
    .expect("in time")
    .expect("the task lives")
    .clone()
    .expect("a document")
}

/// A good document is in use; then the server answers `bad`. The good one stays, and the problem
/// is shown.
async fn survives(
    bad: impl FnMut(&network::testing::Request) -> Answer + Send + 'static,
) -> Problem {
    survives_within(discover::DEADLINE, bad).await
}

async fn survives_within(
    deadline: Duration,
    bad: impl FnMut(&network::testing::Request) -> Answer + Send + 'static,
) -> Problem {
    let lab = Lab::serving(|_| Answer::json(200, GOOD)).await;
    until(&lab.follow(), |current| !current.stale).await;
    lab.server.answer_with(bad);

    let following = lab.follow_within(deadline);
    let current = until(&following, |current| current.stale).await;
    assert_eq!(current.document.help.as_deref(), Some("Poste 4040"));
    let organisation = current.organisation();
    assert!(organisation.stale);
    // And the copy on disk is still the good one.
    let copy = lab.shelf().read(&lab.address()).unwrap();
    assert_eq!(copy.document.help.as_deref(), Some("Poste 4040"));
    organisation.problem.unwrap()
}

#[tokio::test]
async fn wrong_json_is_shown_and_the_last_good_copy_stays() {
    let problem = survives(|_| Answer::json(200, r#"{"version":1,"#)).await;
    assert_eq!(problem.code, "organisation.badDocument");
    assert_eq!(problem.data["place"], "");
}

#[tokio::test]
async fn a_wrong_type_is_shown_with_its_place_and_the_last_good_copy_stays() {
    let problem =
        survives(|_| Answer::json(200, r#"{"version":1,"name":"x","chat":{"homeserver":7}}"#))
            .await;
    assert_eq!(problem.code, "organisation.badDocument");
    assert_eq!(problem.data["place"], "/chat/homeserver");
}

#[tokio::test]
async fn an_unknown_major_version_is_shown_and_the_last_good_copy_stays() {
    let problem = survives(|_| Answer::json(200, r#"{"version":2,"name":"x"}"#)).await;
    assert_eq!(problem.code, "organisation.unsupportedVersion");
    assert_eq!(problem.data["version"], "2");
}

#[tokio::test]
async fn a_redirect_to_another_domain_is_shown_and_the_last_good_copy_stays() {
    let problem = survives(|_| Answer::redirect(302, "https://evil.example/cordee")).await;
    assert_eq!(problem.code, "organisation.redirected");
    assert_eq!(problem.data["to"], "evil.example");
}

#[tokio::test]
async fn a_redirect_to_an_address_without_encryption_is_shown_and_the_last_good_copy_stays() {
    let problem = survives(|_| Answer::redirect(301, "http://localhost/cordee")).await;
    assert_eq!(problem.code, "organisation.insecure");
}

#[tokio::test]
async fn a_body_of_five_megabytes_is_refused_by_its_announced_size_and_the_last_good_copy_stays() {
    let problem = survives(|_| Answer::json(200, vec![b' '; 5_000_000])).await;
    assert_eq!(problem.code, "organisation.tooLarge");
    assert_eq!(problem.data["max"], "262144");
}

#[tokio::test]
async fn a_body_that_hides_its_size_is_refused_when_it_passes_the_limit() {
    let problem =
        survives(|_| Answer::json(200, vec![b' '; 5_000_000]).behaving(Behaviour::Unannounced))
            .await;
    assert_eq!(problem.code, "organisation.tooLarge");
}

#[tokio::test]
async fn a_server_that_never_answers_is_slow_and_the_last_good_copy_stays() {
    for behaviour in [Behaviour::Stall, Behaviour::StallAfterHead] {
        let problem =
            survives_within(SHORT, move |_| Answer::json(200, GOOD).behaving(behaviour)).await;
        assert_eq!(problem.code, "organisation.slow", "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_server_in_trouble_is_shown_with_its_status_and_the_last_good_copy_stays() {
    let problem = survives(|_| Answer::new(503)).await;
    assert_eq!(problem.code, "network.server");
    assert_eq!(problem.data["status"], "503");
}

#[tokio::test]
async fn a_captive_portal_that_says_so_is_shown_and_the_last_good_copy_stays() {
    let problem = survives(|_| Answer::page(511, "Bienvenue")).await;
    assert_eq!(problem.code, "network.captivePortal");
}

#[tokio::test]
async fn a_document_that_is_gone_is_shown_and_the_last_good_copy_stays() {
    let problem = survives(|_| Answer::new(404)).await;
    assert_eq!(problem.code, "organisation.notFound");
}

#[tokio::test]
async fn a_wrong_certificate_is_shown_and_the_last_good_copy_stays() {
    let lab = Lab::serving(|_| Answer::json(200, GOOD)).await;
    until(&lab.follow(), |current| !current.stale).await;
    let clients = Authority::new().clients();
    let following = Following::start(&lab.address(), clients, lab.shelf());
    let current = until(&following, |current| current.stale).await;
    assert_eq!(current.problem.unwrap().code, "network.wrongCertificate");
    assert_eq!(current.document.help.as_deref(), Some("Poste 4040"));
}

#[tokio::test]
async fn a_server_that_is_gone_is_shown_and_the_last_good_copy_stays() {
    let Lab {
        authority,
        server,
        folder,
    } = Lab::serving(|_| Answer::json(200, GOOD)).await;
    let address = Address::parse(&server.authority()).unwrap();
    let shelf = Shelf::new(folder.path());
    let following = Following::start(&address, authority.clients(), shelf);
    until(&following, |_| true).await;
    drop(server);
    following.refresh_now();
    let current = until(&following, |current| current.stale).await;
    assert_eq!(current.problem.unwrap().code, "network.refused");
}

#[tokio::test]
async fn a_change_is_applied_live_and_the_trouble_before_it_forgotten() {
    let lab = Lab::serving(|_| Answer::json(200, GOOD)).await;
    let following = lab.follow();
    until(&following, |_| true).await;
    lab.server.answer_with(|_| Answer::json(200, "{"));
    following.refresh_now();
    until(&following, |current| current.stale).await;
    lab.server.answer_with(|_| Answer::json(200, BETTER));
    following.refresh_now();
    let current = until(&following, |current| !current.stale).await;
    assert_eq!(current.document.help.as_deref(), Some("Poste 4141"));
    assert_eq!(current.problem, None);
}

#[tokio::test]
async fn an_unchanged_document_is_not_sent_twice_and_counts_as_fresh() {
    let lab = Lab::serving(|request| match request.header("if-none-match") {
        Some("\"7\"") => Answer::new(304),
        _ => Answer::json(200, GOOD).header("etag", "\"7\""),
    })
    .await;
    until(&lab.follow(), |_| true).await;

    let following = lab.follow();
    let mut current = following.current();
    assert!(
        current.borrow_and_update().is_some(),
        "the copy is there at once"
    );
    lab.server.answer_with(|_| Answer::json(200, "{"));
    following.refresh_now();
    until(&following, |current| current.stale).await;
    lab.server
        .answer_with(|request| match request.header("if-none-match") {
            Some("\"7\"") => Answer::new(304),
            _ => Answer::new(500),
        });
    following.refresh_now();
    let current = until(&following, |current| !current.stale).await;
    assert_eq!(current.document.help.as_deref(), Some("Poste 4040"));
}

#[tokio::test]
async fn the_same_trouble_again_keeps_its_log_id() {
    let lab = Lab::serving(|_| Answer::json(200, GOOD)).await;
    let following = lab.follow();
    until(&following, |_| true).await;
    lab.server.answer_with(|_| Answer::json(200, "{"));
    following.refresh_now();
    let first = until(&following, |current| current.stale).await;
    let asked = lab.server.requests().len();
    following.refresh_now();
    while lab.server.requests().len() == asked {
        tokio::task::yield_now().await;
    }
    lab.server
        .answer_with(|_| Answer::json(200, r#"{"version":9}"#));
    let mut seen = following.current();
    assert_eq!(
        seen.borrow_and_update().as_ref().unwrap().problem,
        first.problem
    );
    following.refresh_now();
    let next = until(&following, |current| {
        current
            .problem
            .as_ref()
            .is_some_and(|p| p.code == "organisation.unsupportedVersion")
    })
    .await;
    assert!(next.stale);
}

#[tokio::test]
async fn without_any_copy_a_bad_answer_shows_nothing() {
    let lab = Lab::serving(|_| Answer::json(200, "{")).await;
    let following = lab.follow();
    while lab.server.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(*following.current().borrow(), None);
    lab.server.answer_with(|_| Answer::json(200, GOOD));
    following.refresh_now();
    until(&following, |current| !current.stale).await;
}

#[tokio::test]
async fn following_ends_when_it_is_dropped() {
    let lab = Lab::serving(|_| Answer::json(200, GOOD)).await;
    let following = lab.follow();
    let mut current = following.current();
    drop(following);
    let ended = async { while current.changed().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(5), ended)
        .await
        .expect("the task ends");
}
