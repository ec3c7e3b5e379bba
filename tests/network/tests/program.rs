//! The program that administrators try a profile with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use network_tests::lab::{Client, Lab, UP, password};
use workplace::gateway::inside::{PROBE, SITE};
use workplace::gateway::namespaces::{CLIENT, Net, RUN, Who};
use workplace::gateway::underlay::Faults;

#[test]
fn a_profile_is_all_that_it_takes_to_reach_the_site() {
    let lab = Lab::shared();
    let wanted = lab.wireguard().unwrap();
    let profile = lab.profile(&wanted).unwrap();
    let mut tunnel =
        lab.gateway
            .net
            .command(Net::Client, Who::User(CLIENT), &format!("{RUN}/bin/tunnel"));
    tunnel.args(["up", &profile, "--json"]);
    let mut client = Client::spawn(tunnel, wanted.ports.clone()).unwrap();
    let port = client.next_with("proxy", UP).unwrap();
    client.up().unwrap();
    let proxy = format!("socks5h://{}", port["proxy"].as_str().unwrap());
    let url = format!("https://{SITE}/probe");
    let output = lab
        .curl(Who::User(CLIENT), &proxy, Some(&password(&port)), &url)
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), PROBE, "{output:?}");
    lab.faults(&wanted.ports, Faults::cut()).unwrap();
    client.not_up().unwrap();
}

#[test]
fn a_profile_with_mistakes_is_refused_with_their_places() {
    let lab = Lab::shared();
    let profile = lab
        .gateway
        .net
        .write("broken.toml", "version = 1\n[wireguard]\ngateway = 5\n")
        .unwrap();
    let output = lab
        .run(
            Who::User(CLIENT),
            &[&format!("{RUN}/bin/tunnel"), "up", &profile],
        )
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("gateway"), "{said}");
}
