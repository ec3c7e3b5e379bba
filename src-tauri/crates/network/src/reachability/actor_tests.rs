#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use super::*;
use crate::testing::{Answer, Authority, Behaviour, Server};
use crate::{Expect, Overall, ServiceKind, ServiceState, Unreachable};

fn service(id: &str, url: Url, expect: Expect) -> Watched {
    Watched {
        id: id.to_owned(),
        kind: ServiceKind::Other,
        name: None,
        url,
        expect,
    }
}

async fn until(reachability: &Reachability, what: impl FnMut(&Connection) -> bool) -> Connection {
    let mut connection = reachability.connection();
    tokio::time::timeout(Duration::from_secs(20), connection.wait_for(what))
        .await
        .expect("in time")
        .expect("the actor lives")
        .clone()
}

fn status(connection: &Connection, id: &str) -> ServiceState {
    connection.service(id).unwrap().status
}

#[tokio::test]
async fn services_that_answer_as_expected_are_connected_and_a_stopped_one_is_noticed() {
    let authority = Authority::new();
    let chat = Server::start(&authority, |_| Answer::json(200, r#"{"versions":[]}"#)).await;
    let files = Server::start(&authority, |_| Answer::new(204)).await;
    let reachability = Reachability::start(authority.clients());
    reachability.set_services(
        vec![
            service("chat", chat.url("/v"), Expect::JsonField("versions".into())),
            service("files", files.url("/"), Expect::Status(204)),
        ],
        None,
    );
    let connection = until(&reachability, |c| c.overall == Overall::Connected).await;
    assert!(connection.verified_at.is_some());

    drop(files);
    reachability.report_failure("files", Failure::Timeout);
    // The hint may come within the second in which a probe has just answered.
    reachability.retry_now(Some("files"));
    let connection = until(&reachability, |c| c.overall == Overall::Degraded).await;
    assert!(matches!(
        status(&connection, "files"),
        ServiceState::Unreachable {
            reason: Unreachable::Refused,
            retry_at: Some(_)
        }
    ));
    assert!(status(&connection, "chat").is_reachable());
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_wrong_until_the_organisation_vouches_for_it() {
    let (known, unknown) = (Authority::new(), Authority::new());
    let server = Server::start(&unknown, |_| Answer::new(200)).await;
    let clients = known.clients();
    let reachability = Reachability::start(clients.clone());
    reachability.set_services(vec![service("chat", server.url("/"), Expect::Answer)], None);
    until(&reachability, |c| {
        matches!(
            c.service("chat").map(|s| s.status),
            Some(ServiceState::WrongCertificate { .. })
        )
    })
    .await;
    assert!(
        server.requests().is_empty(),
        "nothing is sent to somebody unproven"
    );

    clients.set_trust(&unknown.trust()).unwrap();
    reachability.retry_now(None);
    until(&reachability, |c| c.overall == Overall::Connected).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_wrong() {
    let authority = Authority::new();
    let server = Server::named(&authority, &["other.example"], |_| Answer::new(200)).await;
    let reachability = Reachability::start(authority.clients());
    reachability.set_services(vec![service("chat", server.url("/"), Expect::Answer)], None);
    let connection = until(&reachability, |c| c.overall == Overall::InternetOnly).await;
    assert!(matches!(
        status(&connection, "chat"),
        ServiceState::WrongCertificate { .. }
    ));
}

#[tokio::test]
async fn an_answer_of_the_wrong_kind_is_no_proof() {
    let authority = Authority::new();
    let server = Server::start(&authority, |request| match request.path.as_str() {
        "/page" => Answer::page(200, "<h1>Bienvenue</h1>"),
        "/broken" => Answer::new(503),
        "/hangup" => Answer::new(200).behaving(Behaviour::HangUp),
        _ => Answer::redirect(302, "https://elsewhere.example/"),
    })
    .await;
    let reachability = Reachability::start(authority.clients());
    let json = || Expect::JsonField("versions".into());
    reachability.set_services(
        vec![
            service("page", server.url("/page"), json()),
            service("moved", server.url("/moved"), json()),
            service("broken", server.url("/broken"), Expect::Answer),
            service("hangup", server.url("/hangup"), Expect::Answer),
        ],
        None,
    );
    let connection = until(&reachability, |c| c.overall == Overall::InternetOnly).await;
    let reason = |id| match status(&connection, id) {
        ServiceState::Unreachable { reason, .. } => reason,
        other => panic!("{id}: {other:?}"),
    };
    assert_eq!(reason("page"), Unreachable::Protocol);
    assert_eq!(reason("moved"), Unreachable::Protocol);
    assert_eq!(reason("broken"), Unreachable::Server);
    assert!(matches!(
        reason("hangup"),
        Unreachable::Protocol | Unreachable::Refused
    ));
}

#[tokio::test]
async fn a_welcome_page_is_recognised_and_its_opening_brings_everything_back() {
    let (hotel, hospital) = (Authority::new(), Authority::new());
    let plain = Server::plain(|_| Answer::redirect(302, "http://wifi.hotel/welcome")).await;
    let chat = Server::start(&hotel, |_| Answer::page(200, "Bienvenue")).await;
    let clients = hospital.clients();
    let reachability = Reachability::start(clients.clone());
    let check = PortalCheck {
        url: plain.url("/alive"),
        status: Some(204),
    };
    reachability.set_services(
        vec![service("chat", chat.url("/"), Expect::Answer)],
        Some(check.clone()),
    );
    until(&reachability, |c| c.overall == Overall::CaptivePortal).await;
    assert_eq!(reachability.portal_page(), Some(check.url));

    plain.answer_with(|_| Answer::new(204));
    clients.set_trust(&hotel.trust()).unwrap();
    let mut nudges = reachability.nudges();
    nudges.borrow_and_update();
    reachability.retry_now(None);
    until(&reachability, |c| c.overall == Overall::Connected).await;
    assert!(nudges.has_changed().unwrap());
}

#[tokio::test]
async fn the_actor_ends_with_its_last_handle() {
    let reachability = Reachability::start(Authority::new().clients());
    let mut connection = reachability.connection();
    let second = reachability.clone();
    drop(reachability);
    second.retry_now(None);
    drop(second);
    let ended = tokio::time::timeout(Duration::from_secs(5), async {
        while connection.changed().await.is_ok() {}
    });
    ended.await.expect("the actor ends");
}
