//! What goes wrong between a client and its gateway. In each case the state is right within three seconds, and the way
//! back needs nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Mutex;
use std::time::{Duration, Instant};

use network_tests::client::{Job, Setup, Source};
use network_tests::lab::{Client, Lab};
use serde_json::Value;
use workplace::gateway::inside::{DESKTOP, PROBE, Resolver, SITE};
use workplace::gateway::underlay::{Faults, Tcp};
use workplace::gateway::wireguard::{KeyPair, WireGuard};

/// A state has to be right after this long.
const RIGHT: Duration = Duration::from_secs(3);
/// The way up from nothing, on a busy machine.
const UP: Duration = Duration::from_secs(10);

fn fetch(client: &mut Client) {
    let page = client.job(Job::Fetch {
        host: SITE.to_owned(),
        path: "/probe".to_owned(),
    });
    assert_eq!(page.unwrap(), PROBE);
}

fn hold(client: &mut Client) {
    client
        .job(Job::Hold {
            name: "desktop".to_owned(),
            host: DESKTOP.to_owned(),
        })
        .unwrap();
}

fn touch(client: &mut Client) {
    client
        .job(Job::Touch {
            name: "desktop".to_owned(),
        })
        .unwrap();
}

fn echo(client: &mut Client, bytes: usize) {
    client
        .job(Job::Echo {
            host: DESKTOP.to_owned(),
            bytes,
        })
        .unwrap();
}

fn why(event: &Value) -> &str {
    event["why"].as_str().unwrap()
}

/// Waits for the end of "up", and is strict about how long it took.
fn not_up(client: &mut Client) -> Value {
    let began = Instant::now();
    let now = client
        .wait_until("end of up", 3 * RIGHT, |now| now["state"] != "up")
        .unwrap();
    let took = began.elapsed();
    assert!(took <= RIGHT, "noticed after {took:?}: {}", client.story());
    now
}

/// Waits until the gateway counts as silent.
fn silent(client: &mut Client) {
    let silent = |now: &Value| now["state"] == "down" && why(now).starts_with("gatewaySilent");
    client.wait_until("silent gateway", RIGHT, silent).unwrap();
}

fn never_up(client: &Client) {
    assert!(!client.story().contains("up("), "{}", client.story());
}

/// No way at all.
fn cut() -> Faults {
    Faults {
        udp: false,
        tcp: Tcp::Hangs,
        ..Faults::default()
    }
}

#[test]
fn a_client_with_a_wrong_key_is_never_up_and_comes_up_when_it_is_let_in() {
    let lab = Lab::shared();
    let wanted = lab.wireguard().unwrap();
    lab.gateway
        .wireguard()
        .remove_peer(&lab.gateway.net, &wanted.keys)
        .unwrap();
    let mut client = Client::start(lab, &wanted.setup, wanted.ports).unwrap();
    silent(&mut client);
    never_up(&client);
    lab.gateway
        .wireguard()
        .restore_peer(&lab.gateway.net, &wanted.keys)
        .unwrap();
    client.wait_for("up", UP).unwrap();
    fetch(&mut client);
}

#[test]
fn another_gateways_key_is_never_up() {
    let lab = Lab::shared();
    let mut wanted = lab.wireguard().unwrap();
    if let Source::WireGuard { gateway_key, .. } = &mut wanted.setup.source {
        *gateway_key = KeyPair::random().public();
    }
    let mut client = Client::start(lab, &wanted.setup, wanted.ports).unwrap();
    silent(&mut client);
    never_up(&client);
}

#[test]
fn a_peer_that_expires_is_not_up_any_more_and_comes_back_with_its_right() {
    let lab = Lab::shared();
    let wanted = lab.wireguard().unwrap();
    let mut client = Client::start(lab, &wanted.setup, wanted.ports).unwrap();
    client.wait_for("up", UP).unwrap();
    hold(&mut client);
    lab.gateway
        .wireguard()
        .remove_peer(&lab.gateway.net, &wanted.keys)
        .unwrap();
    not_up(&mut client);
    lab.gateway
        .wireguard()
        .restore_peer(&lab.gateway.net, &wanted.keys)
        .unwrap();
    client.wait_for("up", UP).unwrap();
    touch(&mut client);
}

#[test]
fn replayed_packets_change_nothing() {
    let lab = Lab::shared();
    let mut client = lab.wireguard_client().unwrap();
    client.wait_for("up", UP).unwrap();
    hold(&mut client);
    for _ in 0..3 {
        assert!(lab.gateway.replay(client.ports.line).unwrap() > 1);
    }
    client.stays("up", Duration::from_secs(2)).unwrap();
    touch(&mut client);
    fetch(&mut client);
}

#[test]
fn a_gateway_that_is_killed_is_noticed_and_its_return_too() {
    let lab = Lab::shared();
    let net = &lab.gateway.net;
    let mut wireguard = WireGuard::new(78, 51_901);
    let keys = KeyPair::random();
    let inside = wireguard.add_peer(net, &keys).unwrap();
    wireguard.start(net).unwrap();
    let ports = lab.gateway.line_to(wireguard.port()).unwrap();
    let mut wanted = lab.wanted(
        keys,
        ports,
        wireguard.public_key(),
        inside,
        wireguard.addresses().0,
    );
    without_websocket(&mut wanted.setup);
    let mut client = Client::start(lab, &wanted.setup, wanted.ports).unwrap();
    client.wait_for("up", UP).unwrap();
    hold(&mut client);
    wireguard.kill();
    not_up(&mut client);
    wireguard.start(net).unwrap();
    client.wait_for("up", RIGHT).unwrap();
    touch(&mut client);
    fetch(&mut client);
}

/// The relay leads to the lab's first gateway.
fn without_websocket(setup: &mut Setup) {
    if let Source::WireGuard { websocket, .. } = &mut setup.source {
        *websocket = None;
    }
}

#[test]
fn a_cut_line_is_noticed_and_old_connections_go_on_when_it_is_whole_again() {
    let lab = Lab::shared();
    let mut client = lab.wireguard_client().unwrap();
    client.wait_for("up", UP).unwrap();
    hold(&mut client);
    let ports = client.ports.clone();
    lab.faults(&ports, cut()).unwrap();
    not_up(&mut client);
    client.wait_for("down", RIGHT).unwrap();
    lab.faults(&ports, Faults::default()).unwrap();
    client.wait_for("up", RIGHT).unwrap();
    touch(&mut client);
}

#[test]
fn packets_that_are_too_large_for_the_line_are_never_sent() {
    let lab = Lab::shared();
    let wanted = lab.wireguard().unwrap();
    lab.faults(
        &wanted.ports,
        Faults {
            largest: 1280,
            ..Faults::default()
        },
    )
    .unwrap();
    let mut client = Client::start(lab, &wanted.setup, wanted.ports).unwrap();
    let up = client.wait_for("up", UP).unwrap();
    // IPv4, UDP and WireGuard take 60 bytes of the 1,280.
    assert!(up["mtu"].as_u64().unwrap() <= 1220, "{up}");
    assert_eq!(up["way"], "udp");
    echo(&mut client, 2 << 20);
}

#[test]
fn a_line_that_loses_every_twentieth_packet_is_used_all_the_same() {
    under(
        Faults {
            loss: 50,
            delay: 5,
            ..Faults::default()
        },
        512 << 10,
    );
}

#[test]
fn a_line_that_reorders_is_used_all_the_same() {
    under(
        Faults {
            reorder: 200,
            ..Faults::default()
        },
        4 << 20,
    );
}

#[test]
fn a_line_that_doubles_is_used_all_the_same() {
    under(
        Faults {
            duplicate: 300,
            ..Faults::default()
        },
        4 << 20,
    );
}

fn under(faults: Faults, bytes: usize) {
    let lab = Lab::shared();
    let wanted = lab.wireguard().unwrap();
    lab.faults(&wanted.ports, faults).unwrap();
    let mut client = Client::start(lab, &wanted.setup, wanted.ports).unwrap();
    client.wait_for("up", UP).unwrap();
    hold(&mut client);
    echo(&mut client, bytes);
    touch(&mut client);
    client.wait_for("up", RIGHT).unwrap();
    let story = client.story();
    assert!(!story.contains("up(verified) → down("), "{story}");
}

#[test]
fn where_udp_is_blocked_from_the_start_the_websocket_is_taken() {
    let lab = Lab::shared();
    let wanted = lab.wireguard().unwrap();
    lab.faults(
        &wanted.ports,
        Faults {
            udp: false,
            ..Faults::default()
        },
    )
    .unwrap();
    let mut client = Client::start(lab, &wanted.setup, wanted.ports).unwrap();
    let up = client.wait_for("up", UP).unwrap();
    assert_eq!(up["way"], "websocket", "{}", client.story());
    fetch(&mut client);
    echo(&mut client, 4 << 20);
    assert_eq!(lab.report(&client.ports.clone()).unwrap().up, 0);
}

#[test]
fn where_udp_is_blocked_in_use_the_websocket_takes_over_and_old_connections_go_on() {
    let lab = Lab::shared();
    let mut client = lab.wireguard_client().unwrap();
    assert_eq!(client.wait_for("up", UP).unwrap()["way"], "udp");
    hold(&mut client);
    let ports = client.ports.clone();
    lab.faults(
        &ports,
        Faults {
            udp: false,
            ..Faults::default()
        },
    )
    .unwrap();
    client
        .wait_until("way over the WebSocket", UP, |now| {
            now["state"] == "up" && now["way"] == "websocket"
        })
        .unwrap();
    touch(&mut client);
}

#[test]
fn a_captive_portal_is_called_by_its_name_and_left_without_help() {
    let lab = Lab::shared();
    let wanted = lab.wireguard().unwrap();
    let portal = Faults {
        udp: false,
        tcp: Tcp::Portal,
        ..Faults::default()
    };
    lab.faults(&wanted.ports, portal).unwrap();
    let ports = wanted.ports.clone();
    let mut client = Client::start(lab, &wanted.setup, wanted.ports).unwrap();
    let blocked = client.wait_for("blocked", RIGHT).unwrap();
    assert_eq!(why(&blocked), "captivePortal", "{}", client.story());
    never_up(&client);
    lab.faults(&ports, Faults::default()).unwrap();
    client.wait_for("up", UP).unwrap();
    fetch(&mut client);
}

#[test]
fn a_captive_portal_that_comes_in_use_is_noticed() {
    let lab = Lab::shared();
    let mut client = lab.wireguard_client().unwrap();
    client.wait_for("up", UP).unwrap();
    hold(&mut client);
    let ports = client.ports.clone();
    lab.faults(
        &ports,
        Faults {
            udp: false,
            tcp: Tcp::Portal,
            ..Faults::default()
        },
    )
    .unwrap();
    not_up(&mut client);
    client
        .wait_until("the portal", UP, |now| now["why"] == "captivePortal")
        .unwrap();
    lab.faults(&ports, Faults::default()).unwrap();
    client.wait_for("up", UP).unwrap();
    touch(&mut client);
}

/// There is one resolver that is stopped and made to lie.
static RESOLVER: Mutex<()> = Mutex::new(());

fn client_of_the_mortal_resolver(lab: &Lab) -> Client {
    let mut wanted = lab.wireguard().unwrap();
    if let Source::WireGuard { dns, .. } = &mut wanted.setup.source {
        *dns = vec![Resolver::Mortal.v4()];
    }
    let mut client = Client::start(lab, &wanted.setup, wanted.ports).unwrap();
    client.wait_for("up", UP).unwrap();
    client
}

#[test]
fn a_resolver_that_dies_inside_is_named_and_its_return_noticed() {
    let _alone = RESOLVER
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let lab = Lab::shared();
    let mut client = client_of_the_mortal_resolver(lab);
    lab.gateway.inside().freeze_resolver().unwrap();
    let degraded = not_up(&mut client);
    assert_eq!(
        (degraded["state"].as_str(), why(&degraded)),
        (Some("degraded"), "namesDead"),
        "{}",
        client.story()
    );
    lab.gateway
        .inside()
        .restart_resolver(&lab.gateway.net, false)
        .unwrap();
    client.wait_for("up", UP).unwrap();
    fetch(&mut client);
}

#[test]
fn a_resolver_that_lies_inside_is_named_and_nobody_is_led_outside() {
    let _alone = RESOLVER
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let lab = Lab::shared();
    let mut client = client_of_the_mortal_resolver(lab);
    lab.gateway
        .inside()
        .restart_resolver(&lab.gateway.net, true)
        .unwrap();
    // Between the honest and the lying one there is a moment without any.
    let lie = |now: &Value| now["state"] == "degraded" && why(now) == "namesLie";
    client.wait_until("lie by its name", RIGHT, lie).unwrap();
    client
        .job(Job::Fetch {
            host: SITE.to_owned(),
            path: "/probe".to_owned(),
        })
        .unwrap_err();
    lab.gateway
        .inside()
        .restart_resolver(&lab.gateway.net, false)
        .unwrap();
    client.wait_for("up", UP).unwrap();
    fetch(&mut client);
}

#[test]
fn a_tunnel_whose_handshakes_work_but_that_carries_nothing_is_not_up() {
    let lab = Lab::shared();
    let net = &lab.gateway.net;
    let mut wireguard = WireGuard::new(79, 51_902);
    let keys = KeyPair::random();
    let inside = wireguard.add_peer(net, &keys).unwrap();
    wireguard.start(net).unwrap();
    let ports = lab.gateway.line_to(wireguard.port()).unwrap();
    let mut wanted = lab.wanted(
        keys,
        ports,
        wireguard.public_key(),
        inside,
        wireguard.addresses().0,
    );
    without_websocket(&mut wanted.setup);
    let mut client = Client::start(lab, &wanted.setup, wanted.ports).unwrap();
    client.wait_for("up", UP).unwrap();
    hold(&mut client);
    net.script("ip -n gateway rule add iif wg79 blackhole pref 10")
        .unwrap();
    let degraded = not_up(&mut client);
    assert_eq!(degraded["state"], "degraded", "{}", client.story());
    // The gateway itself answers echoes; the resolvers behind it are the first who do not.
    assert!(
        matches!(why(&degraded), "noAnswerInside" | "namesDead"),
        "{degraded}"
    );
    net.script("ip -n gateway rule del pref 10").unwrap();
    client.wait_for("up", UP).unwrap();
    touch(&mut client);
}
