#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use network::testing::{Answer, Authority, Server};

use super::*;

const GOOD: &str = r#"{"version":1,"name":"Cliniques Saint-Elme"}"#;

async fn found(
    answers: impl FnMut(&network::testing::Request) -> Answer + Send + 'static,
) -> Result<Found, DiscoverError> {
    let authority = Authority::new();
    let server = Server::start(&authority, answers).await;
    let address = Address::parse(&format!("nathalie@{}", server.authority())).unwrap();
    discover(&address, &authority.clients()).await
}

#[tokio::test]
async fn an_address_leads_to_the_organisations_document() {
    let found = found(|request| match request.path.as_str() {
        "/.well-known/cordee" => Answer::json(200, GOOD).header("etag", "\"1\""),
        _ => Answer::new(404),
    })
    .await
    .unwrap();
    assert_eq!(found.document.name, "Cliniques Saint-Elme");
    assert_eq!(found.source, Source::Document);
    assert_eq!(found.etag.as_deref(), Some("\"1\""));
}

#[tokio::test]
async fn the_person_is_not_told_to_the_server_of_the_document() {
    let authority = Authority::new();
    let server = Server::start(&authority, |_| Answer::json(200, GOOD)).await;
    let address = Address::parse(&format!("nathalie@{}", server.authority())).unwrap();
    discover(&address, &authority.clients()).await.unwrap();
    assert_eq!(server.requests().len(), 1);
    assert!(!format!("{:?}", server.requests()).contains("nathalie"));
}

#[tokio::test]
async fn one_redirect_inside_the_domain_is_followed_and_a_second_is_not() {
    let hops = |most: u32| {
        move |request: &network::testing::Request| {
            let hop = request
                .path
                .rsplit('/')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0);
            if hop < most {
                Answer::redirect(307, &format!("/hop/{}", hop + 1))
            } else {
                Answer::json(200, GOOD)
            }
        }
    };
    assert!(found(hops(1)).await.is_ok());
    assert_eq!(
        found(hops(2)).await.unwrap_err(),
        DiscoverError::Redirected {
            to: "localhost".to_owned()
        }
    );
}

#[tokio::test]
async fn without_a_document_the_matrix_server_and_the_issuer_are_found_by_their_own_protocols() {
    let found = found(|request| match request.path.split('?').next().unwrap() {
        "/.well-known/matrix/client" => Answer::json(
            200,
            r#"{"m.homeserver":{"base_url":"https://matrix.saint-elme.example"}}"#,
        ),
        "/.well-known/webfinger" => {
            assert!(request.path.contains("resource=acct%3Anathalie%40localhost"));
            Answer::json(
                200,
                r#"{"subject":"acct:x","links":[{"rel":"other"},{"rel":"http://openid.net/specs/connect/1.0/issuer","href":"https://auth.saint-elme.example"}]}"#,
            )
        }
        _ => Answer::new(404),
    })
    .await
    .unwrap();
    assert_eq!(found.source, Source::Fallback);
    let document = found.document;
    assert_eq!(
        document.chat.unwrap().homeserver.as_str(),
        "https://matrix.saint-elme.example/"
    );
    assert_eq!(
        document.identity.unwrap().issuer,
        "https://auth.saint-elme.example"
    );
}

#[tokio::test]
async fn a_matrix_server_alone_is_enough_and_means_its_password() {
    let found = found(|request| match request.path.as_str() {
        "/.well-known/matrix/client" => Answer::json(
            200,
            r#"{"m.homeserver":{"base_url":"https://matrix.saint-elme.example"}}"#,
        ),
        // A web site that answers everything with its front page.
        _ => Answer::page(200, "<!doctype html>"),
    })
    .await
    .unwrap();
    assert_eq!(found.document.sign_in(), crate::SignIn::Password);
}

#[tokio::test]
async fn a_domain_with_nothing_is_not_found() {
    assert_eq!(
        found(|_| Answer::new(404)).await.unwrap_err(),
        DiscoverError::NotFound
    );
    let site = |_: &network::testing::Request| Answer::page(200, "<!doctype html>");
    assert_eq!(found(site).await.unwrap_err(), DiscoverError::NotFound);
    let insecure = |_: &network::testing::Request| {
        Answer::json(
            404,
            r#"{"m.homeserver":{"base_url":"http://matrix.example"}}"#,
        )
    };
    assert_eq!(found(insecure).await.unwrap_err(), DiscoverError::NotFound);
}

#[tokio::test]
async fn an_unreachable_domain_tells_why() {
    let clients = Authority::new().clients();
    let address = Address::parse("saint-elme.invalid").unwrap();
    assert_eq!(
        discover(&address, &clients).await.unwrap_err(),
        DiscoverError::Network(Failure::Dns)
    );
}

#[tokio::test]
async fn a_welcome_page_in_front_of_the_domain_is_said_instead_of_a_wrong_certificate() {
    let clients = Authority::new().clients();
    let wrong = || DiscoverError::Network(Failure::WrongCertificate);
    let after = async |answer: Answer, error: DiscoverError| {
        let network = Server::plain(move |_| answer.clone()).await;
        let page = PortalCheck {
            url: network.url("/.well-known/cordee-portal"),
            status: None,
        };
        explained(error, Some(page), &clients).await
    };
    let portal = DiscoverError::Network(Failure::CaptivePortal);
    let welcome = Answer::redirect(302, "http://wifi.hotel/welcome");
    assert_eq!(after(welcome.clone(), wrong()).await, portal);
    assert_eq!(after(Answer::new(511), DiscoverError::Slow).await, portal);
    // The organisation's own site: the certificate is what is wrong.
    let own = Answer::redirect(301, "https://localhost/");
    assert_eq!(after(own, wrong()).await, wrong());
    assert_eq!(
        after(Answer::page(200, "Bienvenue"), wrong()).await,
        wrong()
    );
    // What the document says does not depend on the network.
    let missing = DiscoverError::NotFound;
    assert_eq!(after(welcome, missing.clone()).await, missing);
}

#[test]
fn names_below_the_domain_are_inside_and_names_that_only_look_like_it_are_not() {
    let address = Address::parse("saint-elme.example").unwrap();
    let inside = |text: &str| inside(&Url::parse(text).unwrap(), &address).is_ok();
    assert!(inside("https://saint-elme.example/x"));
    assert!(inside("https://www.saint-elme.example/x"));
    assert!(!inside("https://notsaint-elme.example/x"));
    assert!(!inside("https://saint-elme.example.evil.example/x"));
    assert!(!inside("http://saint-elme.example/x"));
}

#[test]
fn each_error_has_the_code_of_the_contract() {
    for (error, code) in [
        (DiscoverError::BadAddress, "organisation.badAddress"),
        (DiscoverError::NotFound, "organisation.notFound"),
        (DiscoverError::Insecure, "organisation.insecure"),
        (DiscoverError::TooLarge, "organisation.tooLarge"),
        (DiscoverError::Slow, "organisation.slow"),
        (DiscoverError::Network(Failure::Offline), "network.offline"),
    ] {
        assert_eq!(error.problem().code, code);
    }
}
