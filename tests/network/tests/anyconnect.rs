//! AnyConnect against a real ocserv: password, code, packets, new keys, the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use network_tests::client::{Job, Order, Setup};
use network_tests::lab::{Client, Lab};
use workplace::gateway::anyconnect::PASSWORD;
use workplace::gateway::inside::{DESKTOP, PROBE, SITE};

const SOON: Duration = Duration::from_secs(10);

fn bare(lab: &Lab) -> (Client, usize) {
    let (setup, ports) = lab.anyconnect().unwrap();
    let client = Client::start(
        lab,
        &Setup {
            bare: true,
            ..setup
        },
        ports,
    )
    .unwrap();
    (client, lab.colleague())
}

fn answer(client: &mut Client, field: &str, answer: &str) {
    let form = client.event("form", SOON).unwrap();
    assert_eq!(form["fields"], serde_json::json!([field]), "{form}");
    client
        .order(&Order::Answers(vec![(field.to_owned(), answer.to_owned())]))
        .unwrap();
}

fn sign_in(lab: &Lab, client: &mut Client, colleague: usize) {
    let (name, code) = {
        let anyconnect = lab.gateway.anyconnect().unwrap();
        let colleague = &anyconnect.colleagues[colleague];
        (colleague.name.clone(), colleague.code().unwrap())
    };
    answer(client, "username", &name);
    answer(client, "password", PASSWORD);
    answer(client, "password", &code);
}

#[test]
fn a_session_with_password_and_code_reaches_the_inside_over_both_protocols() {
    let lab = Lab::shared();
    let (mut client, colleague) = bare(lab);
    sign_in(lab, &mut client, colleague);
    let opened = client.event("opened", SOON).unwrap();
    println!("{opened}");
    assert!(
        opened["v4"].as_str().unwrap().starts_with("10.88.0."),
        "{opened}"
    );
    assert!(
        opened["v6"].as_str().unwrap().starts_with("fd88::"),
        "{opened}"
    );
    let page = client
        .job(Job::Fetch {
            host: SITE.to_owned(),
            path: "/probe".to_owned(),
        })
        .unwrap();
    assert_eq!(page, PROBE);
    client
        .job(Job::Echo {
            host: "fd50::80".to_owned(),
            bytes: 1 << 20,
        })
        .unwrap();
    client
        .job(Job::Echo {
            host: DESKTOP.to_owned(),
            bytes: 8 << 20,
        })
        .unwrap();
}
