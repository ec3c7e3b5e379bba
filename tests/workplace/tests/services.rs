//! What tests can do to a workplace without the sign-in portal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use reqwest::{Client, Method};
use serde_json::{Value, json};
use workplace::{DOMAIN, Options, Workplace};

/// One workplace and one story: each step stands on the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_workplace_without_portal_lets_people_in_by_password_and_survives_what_is_done_to_it() {
    let options = Options {
        identity: false,
        ..Options::default()
    };
    let workplace = Workplace::up(options).await.unwrap();
    the_document_names_no_identity_service(&workplace).await;
    a_person_signs_in_with_a_password_and_finds_three_unread_rooms(&workplace).await;
    a_crash_of_chat_loses_nothing_that_was_said(&workplace).await;
    a_strangers_certificate_is_refused_and_the_right_one_taken_again(&workplace).await;
    another_document_is_published_live(&workplace).await;
    let run = workplace.run_folder().to_owned();
    workplace.down().await;
    assert!(!run.exists());
}

/// A client that has no connection yet.
fn http(workplace: &Workplace) -> Client {
    workplace.http().unwrap()
}

fn document(workplace: &Workplace) -> String {
    format!("https://{}/.well-known/cordee", workplace.organisation())
}

async fn the_document_names_no_identity_service(workplace: &Workplace) {
    let answer = http(workplace)
        .get(document(workplace))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert!(answer.headers().contains_key("etag"));
    let text: Value = answer.json().await.unwrap();
    assert_eq!(text["name"], "Cliniques Saint-Elme");
    assert_eq!(text["chat"]["homeserver"], workplace.homeserver());
    assert!(text.get("identity").is_none());
    let page = text["connectivityCheck"]["url"].as_str().unwrap();
    let page = page.replace(DOMAIN, "localhost");
    assert_eq!(first_line(&page), "HTTP/1.1 204 No Content");
}

async fn a_person_signs_in_with_a_password_and_finds_three_unread_rooms(workplace: &Workplace) {
    let camille = workplace.person("camille.martin").unwrap();
    let login = json!({
        "type": "m.login.password", "password": camille.password,
        "identifier": { "type": "m.id.user", "user": camille.uid },
    });
    let chat = |path: &str| format!("{}/_matrix/client/v3/{path}", workplace.homeserver());
    let http = http(workplace);
    let login = http.post(chat("login")).json(&login).send().await.unwrap();
    let login: Value = login.json().await.unwrap();
    assert_eq!(login["user_id"], camille.mxid);
    let token = login["access_token"].as_str().unwrap();
    let sync = http
        .get(chat("sync"))
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    let sync: Value = sync.json().await.unwrap();
    let rooms = sync["rooms"]["join"].as_object().unwrap();
    assert!(rooms.len() >= 20, "{} rooms", rooms.len());
    let counts = |name: &'static str| {
        let count = move |room: &Value| room["unread_notifications"][name].as_u64();
        rooms.values().filter_map(count).filter(|&n| n > 0)
    };
    assert_eq!(counts("notification_count").count(), 3);
    assert_eq!(counts("highlight_count").sum::<u64>(), 1);
}

async fn a_crash_of_chat_loses_nothing_that_was_said(workplace: &Workplace) {
    let camille = &workplace.person("camille.martin").unwrap().mxid;
    let everybody = workplace.everybody().unwrap();
    let room = everybody
        .create_room(camille, &json!({ "name": "Essai" }))
        .await
        .unwrap();
    let said = everybody
        .text(&room, camille, "avant la panne")
        .await
        .unwrap();
    workplace.kill("synapse").await.unwrap();
    assert!(workplace.pids("synapse").unwrap().is_empty());
    let health = format!("{}/health", workplace.homeserver());
    let fault = http(workplace).get(health).send().await.unwrap();
    assert_eq!(fault.status(), 502);
    workplace.start("synapse").await.unwrap();
    let path = ["rooms", room.as_str(), "event", said.as_str()];
    let found = everybody
        .send(Method::GET, camille, &path, None, &Value::Null)
        .await
        .unwrap();
    assert_eq!(found["content"]["body"], "avant la panne");
}

async fn a_strangers_certificate_is_refused_and_the_right_one_taken_again(workplace: &Workplace) {
    workplace.show_certificate(false).await.unwrap();
    let refused = http(workplace)
        .get(document(workplace))
        .send()
        .await
        .unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    workplace.show_certificate(true).await.unwrap();
    let taken = http(workplace)
        .get(document(workplace))
        .send()
        .await
        .unwrap();
    assert_eq!(taken.status(), 200);
}

async fn another_document_is_published_live(workplace: &Workplace) {
    workplace.publish("{\"version\": 2}").unwrap();
    let answer = http(workplace)
        .get(document(workplace))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.text().await.unwrap(), "{\"version\": 2}");
}

/// The first line of the answer to a plain GET.
fn first_line(url: &str) -> String {
    use std::io::{BufRead, BufReader, Write};
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let port = host.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    BufReader::new(stream).lines().next().unwrap().unwrap()
}
