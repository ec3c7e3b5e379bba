//! AnyConnect against a real ocserv: password, code, packets, new keys, faults, the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use network_tests::client::{Order, Setup};
use network_tests::lab::{Client, Lab, REKEY, RIGHT, UP};
use serde_json::Value;
use workplace::gateway::anyconnect::PASSWORD;
use workplace::gateway::inside::DESKTOP;
use workplace::gateway::underlay::{Faults, Tcp};

struct Person<'a> {
    lab: &'a Lab,
    place: usize,
}

impl<'a> Person<'a> {
    fn new(lab: &'a Lab) -> Self {
        Self {
            lab,
            place: lab.colleague(),
        }
    }

    fn name_and_code(&self) -> (String, String) {
        let anyconnect = self.lab.gateway.anyconnect().unwrap();
        let colleague = &anyconnect.colleagues[self.place];
        (colleague.name.clone(), colleague.code().unwrap())
    }

    fn sign_in(&self, client: &mut Client) {
        let (name, code) = self.name_and_code();
        answer(client, "username", &name);
        answer(client, "password", PASSWORD);
        answer(client, "password", &code);
    }
}

fn answer(client: &mut Client, field: &str, answer: &str) {
    let form = client.event("form", UP).unwrap();
    assert_eq!(form["fields"], serde_json::json!([field]), "{form}");
    client
        .order(&Order::Answers(vec![(field.to_owned(), answer.to_owned())]))
        .unwrap();
}

/// The source alone, or with the state machine around it.
fn client(lab: &Lab, bare: bool) -> Client {
    let (setup, ports) = lab.anyconnect().unwrap();
    Client::start(lab, &Setup { bare, ..setup }, ports).unwrap()
}

fn why(event: &Value) -> &str {
    event["why"].as_str().unwrap()
}

#[test]
fn a_session_with_password_and_code_reaches_the_inside_over_both_protocols() {
    let lab = Lab::shared();
    let mut client = client(lab, true);
    Person::new(lab).sign_in(&mut client);
    let opened = client.event("opened", UP).unwrap();
    assert!(
        opened["v4"].as_str().unwrap().starts_with("10.88.0."),
        "{opened}"
    );
    assert!(
        opened["v6"].as_str().unwrap().starts_with("fd88::"),
        "{opened}"
    );
    assert_eq!(
        opened["networks"],
        serde_json::json!(["10.50.0.0/16", "fd50::/64"])
    );
    client.fetch().unwrap();
    client.echo("fd50::80", 1 << 20).unwrap();
    client.echo(DESKTOP, 8 << 20).unwrap();
}

#[test]
fn a_wrong_password_and_a_wrong_code_do_not_sign_in_and_the_right_ones_then_do() {
    let lab = Lab::shared();
    let mut client = client(lab, true);
    let person = Person::new(lab);
    let (name, code) = person.name_and_code();
    answer(&mut client, "username", &name);
    answer(&mut client, "password", "not the password");
    assert_ne!(after_a_mistake(&mut client), "opened");
    // Whether the gateway asks again or begins anew is its own choice.
    let mut wrong_code = true;
    loop {
        let event = client
            .next_of(&["form", "opened", "signInRefused"], UP)
            .unwrap();
        if event["event"] == "opened" {
            break;
        }
        if event["event"] == "signInRefused" {
            assert!(why(&event).contains("WrongCredentials"), "{event}");
            continue;
        }
        let message = event["message"].as_str().unwrap().to_lowercase();
        let field = event["fields"][0].as_str().unwrap().to_owned();
        let text = if field == "username" {
            name.clone()
        } else if message.contains("otp") || message.contains("code") || message.contains("token") {
            if std::mem::take(&mut wrong_code) {
                "000000".to_owned()
            } else {
                person.name_and_code().1
            }
        } else {
            PASSWORD.to_owned()
        };
        client.order(&Order::Answers(vec![(field, text)])).unwrap();
    }
    assert!(!wrong_code, "the code was asked for");
    drop(code);
}

/// What the gateway does after a wrong answer: `form`, `signInRefused`, or `opened`. A form waits for its answer.
fn after_a_mistake(client: &mut Client) -> String {
    let event = client
        .peek_of(&["form", "opened", "signInRefused"], UP)
        .unwrap();
    event["event"].as_str().unwrap().to_owned()
}

#[test]
fn new_keys_are_taken_while_connections_go_on() {
    let lab = Lab::shared();
    let mut client = client(lab, true);
    Person::new(lab).sign_in(&mut client);
    client.event("opened", UP).unwrap();
    client.hold().unwrap();
    let patience = Duration::from_secs(u64::from(REKEY) * 2 + 10);
    for count in [2, 3] {
        loop {
            let event = client.next_of(&["session", "ended"], patience).unwrap();
            assert_eq!(event["event"], "session", "{event}");
            if event["count"] == count {
                break;
            }
        }
        client.touch().unwrap();
    }
    client.echo(DESKTOP, 1 << 20).unwrap();
}

/// Signs in, is in use, lets this happen to TCP until it is noticed, and comes up again without signing in.
fn noticed_and_left(tcp: Tcp) {
    let lab = Lab::shared();
    let mut client = client(lab, false);
    Person::new(lab).sign_in(&mut client);
    let up = client.up().unwrap();
    assert_eq!(up["way"], "tls");
    client.hold().unwrap();
    let ports = client.ports.clone();
    let faults = Faults {
        tcp,
        ..Faults::default()
    };
    lab.faults(&ports, faults).unwrap();
    client.not_up().unwrap();
    lab.faults(&ports, Faults::default()).unwrap();
    client.up().unwrap();
    client.touch().unwrap();
}

#[test]
fn a_line_that_hangs_is_noticed_and_the_cookie_opens_the_next_session() {
    noticed_and_left(Tcp::Hangs);
}

#[test]
fn a_portal_that_comes_in_use_is_noticed_and_left_without_signing_in_again() {
    noticed_and_left(Tcp::Portal);
}

#[test]
fn whoever_signed_out_has_to_sign_in_again() {
    let lab = Lab::shared();
    let mut client = client(lab, false);
    let person = Person::new(lab);
    person.sign_in(&mut client);
    client.up().unwrap();
    client.order(&Order::SignOut).unwrap();
    client.event("signedOut", UP).unwrap();
    let blocked = client.wait_for("blocked", RIGHT).unwrap();
    assert_eq!(why(&blocked), "signInAgain", "{}", client.story());
    client.order(&Order::SignIn).unwrap();
    person.sign_in(&mut client);
    client.up().unwrap();
}

#[test]
fn signing_out_while_new_keys_are_fetched_ends_the_new_session_too() {
    let lab = Lab::shared();
    let mut client = client(lab, false);
    Person::new(lab).sign_in(&mut client);
    client.up().unwrap();
    let up = Instant::now();
    // The line hangs from shortly before the new session is asked for until after the order to sign out.
    let ports = client.ports.clone();
    let a_second_before = Duration::from_secs(u64::from(REKEY) - 1);
    let until = |tenths: u32| {
        let at = a_second_before + Duration::from_millis(100) * tenths;
        std::thread::sleep(at.saturating_sub(up.elapsed()));
    };
    until(4);
    let hangs = Faults {
        tcp: Tcp::Hangs,
        ..Faults::default()
    };
    lab.faults(&ports, hangs).unwrap();
    until(15);
    client.order(&Order::SignOut).unwrap();
    lab.faults(&ports, Faults::default()).unwrap();
    client.event("signedOut", UP).unwrap();
    let blocked = client.wait_for("blocked", 2 * RIGHT).unwrap();
    assert_eq!(why(&blocked), "signInAgain", "{}", client.story());
}

#[test]
fn a_portal_in_the_gateways_place_gets_neither_name_nor_password() {
    let lab = Lab::shared();
    let (setup, ports) = lab.anyconnect().unwrap();
    lab.faults(&ports, Faults::portal()).unwrap();
    let mut client = Client::start(lab, &setup, ports).unwrap();
    let failed = client.event("form", UP).unwrap_err();
    assert!(format!("{failed:#}").contains("certificate"), "{failed:#}");
}
