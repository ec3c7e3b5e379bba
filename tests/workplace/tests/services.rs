//! What tests can do to a workplace without the sign-in portal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};
use workplace::{DOMAIN, Options, Workplace};

/// One workplace and one story: each step stands on the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_workplace_without_portal_lets_people_in_by_password_and_survives_what_is_done_to_it() {
    let workplace = Workplace::up(Options { identity: false, ..Options::default() }).await.unwrap();
    let http = workplace.http().unwrap();
    let document = format!("https://{}/.well-known/cordee", workplace.organisation());

    // The document names no identity service.
    let answer = http.get(&document).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert!(answer.headers().contains_key("etag"));
    let text: Value = answer.json().await.unwrap();
    assert_eq!(text["name"], "Cliniques Saint-Elme");
    assert_eq!(text["chat"]["homeserver"], workplace.homeserver());
    assert!(text.get("identity").is_none());
    let portal_page = text["connectivityCheck"]["url"].as_str().unwrap().replace(DOMAIN, "localhost");
    assert_eq!(first_line(&portal_page), "HTTP/1.1 204 No Content");

    // A person signs in with a password and finds the seeded rooms, with three unread ones.
    let camille = workplace.person("camille.martin").unwrap();
    let login = json!({
        "type": "m.login.password", "password": camille.password,
        "identifier": { "type": "m.id.user", "user": camille.uid },
    });
    let chat = |path: &str| format!("{}/_matrix/client/v3/{path}", workplace.homeserver());
    let login: Value = http.post(chat("login")).json(&login).send().await.unwrap().json().await.unwrap();
    assert_eq!(login["user_id"], camille.mxid);
    let token = login["access_token"].as_str().unwrap();
    let sync = async || -> Value {
        workplace.http().unwrap().get(chat("sync")).bearer_auth(token).send().await.unwrap().json().await.unwrap()
    };
    let before = sync().await;
    let rooms = before["rooms"]["join"].as_object().unwrap();
    assert!(rooms.len() >= 20, "{} rooms", rooms.len());
    let counts = |name: &'static str| {
        rooms.values().filter_map(move |room| room["unread_notifications"][name].as_u64()).filter(|&n| n > 0)
    };
    assert_eq!(counts("notification_count").count(), 3);
    assert_eq!(counts("highlight_count").sum::<u64>(), 1);

    // A crash of chat loses nothing that was said.
    let everybody = workplace.everybody().unwrap();
    let room = everybody.create_room(&camille.mxid, &json!({ "name": "Essai" })).await.unwrap();
    let said = everybody.text(&room, &camille.mxid, "avant la panne").await.unwrap();
    workplace.kill("synapse").await.unwrap();
    assert!(workplace.pids("synapse").unwrap().is_empty());
    let fault = workplace.http().unwrap().get(format!("{}/health", workplace.homeserver())).send().await.unwrap();
    assert_eq!(fault.status(), 502);
    workplace.start("synapse").await.unwrap();
    let path = ["rooms", room.as_str(), "event", said.as_str()];
    let found =
        everybody.send(reqwest::Method::GET, &camille.mxid, &path, None, &Value::Null).await.unwrap();
    assert_eq!(found["content"]["body"], "avant la panne");

    // A certificate of an unknown authority is refused, the right one is taken again.
    workplace.show_certificate(false).await.unwrap();
    assert!(workplace.http().unwrap().get(&document).send().await.unwrap_err().is_connect());
    workplace.show_certificate(true).await.unwrap();
    assert_eq!(workplace.http().unwrap().get(&document).send().await.unwrap().status(), 200);

    // Another document is published live.
    workplace.publish("{\"version\": 2}").unwrap();
    let text = workplace.http().unwrap().get(&document).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "{\"version\": 2}");

    let run = workplace.run_folder().to_owned();
    workplace.down().await;
    assert!(!run.exists());
}

/// The first line of the answer to a plain GET.
fn first_line(url: &str) -> String {
    use std::io::{BufRead, BufReader, Write};
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let port = host.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    BufReader::new(stream).lines().next().unwrap().unwrap()
}
