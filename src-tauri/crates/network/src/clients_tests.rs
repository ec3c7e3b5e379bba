#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::testing::{Answer, Authority, Behaviour, Server};
use crate::{Clients, Failure, Trust};

async fn failure(clients: &Clients, url: impl reqwest::IntoUrl) -> Failure {
    Failure::of(&clients.api().get(url).send().await.unwrap_err())
}

#[tokio::test]
async fn the_organisations_authority_is_believed_and_any_other_is_not() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Server::start(&ours, |_| Answer::json(200, "{}")).await;
    let answer = ours
        .clients()
        .api()
        .get(server.url("/"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        failure(&theirs.clients(), server.url("/")).await,
        Failure::WrongCertificate
    );
}

#[tokio::test]
async fn a_client_given_away_follows_a_change_of_trust_both_ways() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = Server::start(&ours, |_| Answer::json(200, "{}")).await;
    let clients = theirs.clients();
    let kept = clients.matrix();
    let ask = async || kept.get(server.url("/")).send().await.map(drop);
    assert!(ask().await.is_err());
    clients.set_trust(&ours.trust()).unwrap();
    ask().await.unwrap();
    // No resumed session slips past the verifier.
    clients.set_trust(&theirs.trust()).unwrap();
    assert_eq!(
        Failure::of(&ask().await.unwrap_err()),
        Failure::WrongCertificate
    );
}

#[tokio::test]
async fn no_client_speaks_without_encryption() {
    let server = Server::plain(|_| Answer::new(200)).await;
    let clients = Authority::new().clients();
    for client in [
        clients.api(),
        clients.single_step(),
        clients.streaming(),
        clients.matrix(),
    ] {
        assert!(client.get(server.url("/")).send().await.is_err());
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_to_an_address_without_encryption_is_not_followed() {
    let plain = Server::plain(|_| Answer::new(200)).await;
    let authority = Authority::new();
    let target = plain.url("/").to_string();
    let server = Server::start(&authority, move |_| Answer::redirect(302, &target)).await;
    assert!(
        authority
            .clients()
            .api()
            .get(server.url("/"))
            .send()
            .await
            .is_err()
    );
    assert!(plain.requests().is_empty());
}

#[tokio::test]
async fn redirects_are_followed_five_times_and_never_by_the_single_step_client() {
    let authority = Authority::new();
    let server = Server::start(&authority, |request| {
        let left: u32 = request.path[1..].parse().unwrap();
        match left {
            0 => Answer::new(200),
            left => Answer::redirect(302, &format!("/{}", left - 1)),
        }
    })
    .await;
    let clients = authority.clients();
    let status = async |client: reqwest::Client, path: &str| {
        client
            .get(server.url(path))
            .send()
            .await
            .map(|answer| answer.status().as_u16())
    };
    assert_eq!(status(clients.api(), "/5").await.unwrap(), 200);
    assert!(status(clients.api(), "/6").await.is_err());
    assert_eq!(status(clients.single_step(), "/1").await.unwrap(), 302);
}

#[tokio::test]
async fn no_cookie_comes_back_and_no_referrer_is_told() {
    let authority = Authority::new();
    let server = Server::start(&authority, |request| match request.path.as_str() {
        "/first" => Answer::redirect(302, "/second").header("set-cookie", "session=1; Path=/"),
        _ => Answer::new(200),
    })
    .await;
    authority
        .clients()
        .api()
        .get(server.url("/first"))
        .send()
        .await
        .unwrap();
    let second = &server.requests()[1];
    assert_eq!(
        (second.header("cookie"), second.header("referer")),
        (None, None)
    );
    assert!(second.header("user-agent").unwrap().starts_with("Cordee/"));
}

#[tokio::test]
async fn failures_of_real_requests_are_told_apart() {
    let authority = Authority::new();
    let clients = authority.clients();
    let server = Server::start(&authority, |_| Answer::new(200).behaving(Behaviour::Stall)).await;
    let slow = clients
        .api()
        .get(server.url("/"))
        .timeout(std::time::Duration::from_millis(200))
        .send()
        .await
        .unwrap_err();
    assert_eq!(Failure::of(&slow), Failure::Timeout);

    let gone = server.url("/");
    drop(server);
    assert_eq!(failure(&clients, gone).await, Failure::Refused);

    // RFC 6761 §6.4: never has an address.
    assert_eq!(
        failure(&clients, "https://chat.invalid/").await,
        Failure::Dns
    );

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let spoken_in_clear = format!("https://{}/", listener.local_addr().unwrap());
    let answering = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let text = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, text)
            .await
            .unwrap();
        stream
    };
    let (failed, _open) = tokio::join!(failure(&clients, spoken_in_clear), answering);
    assert_eq!(failed, Failure::Protocol);
}

#[test]
fn text_without_a_certificate_is_no_authority() {
    for pem in [
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert!(Trust::from_pem(pem.as_bytes()).is_err(), "{pem:?}");
    }
    let bundle = [Authority::new().pem(), Authority::new().pem()].concat();
    let mut trust = Trust::from_pem(bundle.as_bytes()).unwrap();
    assert_eq!(trust.extra_authorities(), 2);
    assert_eq!(trust.add_pem(bundle.as_bytes()).unwrap(), 2);
    assert_eq!(trust.extra_authorities(), 2, "the same one twice is one");
}
