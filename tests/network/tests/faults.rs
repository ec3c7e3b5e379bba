//! What goes wrong between a client and its gateway. In each case the state is right within three seconds, and the way
//! back needs nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use network_tests::client::{Job, Source};
use network_tests::lab::{Client, Lab, RIGHT, UP, Wanted};
use serde_json::Value;
use workplace::gateway::inside::{DESKTOP, Resolver, SITE};
use workplace::gateway::underlay::Faults;
use workplace::gateway::wireguard::KeyPair;

/// Longer than any pause of a busy machine. It is the fault itself: nothing can be awaited in it.
const ASLEEP: Duration = Duration::from_secs(6);

fn why(event: &Value) -> &str {
    event["why"].as_str().unwrap()
}

/// Waits until the gateway counts as silent; until then it must not have been up.
fn silent(client: &mut Client) {
    let silent = |now: &Value| now["state"] == "down" && why(now).starts_with("gatewaySilent");
    client.wait_until("silent gateway", RIGHT, silent).unwrap();
    client.never_was_up().unwrap();
}

/// The gateway forgets this client's key, or knows it again.
fn let_in(lab: &Lab, wanted: &Wanted, whether: bool) {
    let net = &lab.gateway.net;
    let mut gateway = lab.gateway.wireguard();
    if whether {
        gateway.restore_peer(net, &wanted.keys).unwrap();
    } else {
        gateway.remove_peer(net, &wanted.keys).unwrap();
    }
}

#[test]
fn a_client_with_a_wrong_key_is_never_up_and_comes_up_when_it_is_let_in() {
    let lab = Lab::shared();
    let wanted = lab.wireguard().unwrap();
    let_in(lab, &wanted, false);
    let mut client = lab.client(&wanted).unwrap();
    silent(&mut client);
    let_in(lab, &wanted, true);
    client.up().unwrap();
    client.fetch().unwrap();
}

#[test]
fn another_gateways_key_is_never_up() {
    let lab = Lab::shared();
    let mut wanted = lab.wireguard().unwrap();
    if let Source::WireGuard { gateway_key, .. } = &mut wanted.setup.source {
        *gateway_key = KeyPair::random().public();
    }
    let mut client = lab.client(&wanted).unwrap();
    silent(&mut client);
}

#[test]
fn a_peer_that_expires_is_not_up_any_more_and_comes_back_with_its_right() {
    let lab = Lab::shared();
    let wanted = lab.wireguard().unwrap();
    let mut client = lab.client(&wanted).unwrap();
    client.in_use().unwrap();
    let_in(lab, &wanted, false);
    client.not_up().unwrap();
    let_in(lab, &wanted, true);
    client.up().unwrap();
    client.touch().unwrap();
}

#[test]
fn replayed_packets_change_nothing() {
    let lab = Lab::shared();
    let mut client = lab.client_in_use().unwrap();
    for _ in 0..3 {
        assert!(lab.gateway.replay(client.ports.line).unwrap() > 1);
    }
    client.stays("up", Duration::from_secs(2)).unwrap();
    client.touch().unwrap();
    client.fetch().unwrap();
}

#[test]
fn a_gateway_that_is_killed_is_noticed_and_its_return_too() {
    let lab = Lab::shared();
    let (mut wireguard, mut client) = lab.gateway_to_harm(78, 51_901).unwrap();
    wireguard.kill();
    client.not_up().unwrap();
    wireguard.start(&lab.gateway.net).unwrap();
    client.wait_for("up", RIGHT).unwrap();
    client.touch().unwrap();
    client.fetch().unwrap();
}

#[test]
fn an_old_connection_answers_soon_after_its_gateway_was_started_again() {
    let lab = Lab::shared();
    // The connection repeats what it sends after 6.2 s for the last time before the gateway answers again, and would do
    // so 6.4 s later once more. Each outage ends at another place of that.
    for (number, tenths) in [(81, 40), (82, 55)] {
        let (mut wireguard, mut client) = lab
            .gateway_to_harm(number, 51_900 + u16::from(number))
            .unwrap();
        wireguard.kill();
        let name = "desktop".to_owned();
        let job = client.begin(Job::Touch { name }).unwrap();
        std::thread::sleep(Duration::from_millis(100 * tenths));
        wireguard.start(&lab.gateway.net).unwrap();
        let back = Instant::now();
        client.end(job).unwrap();
        let took = back.elapsed();
        assert!(took <= RIGHT, "{took:?}: {}", client.story());
    }
}

#[test]
fn a_cut_line_is_noticed_and_old_connections_go_on_when_it_is_whole_again() {
    let lab = Lab::shared();
    let mut client = lab.client_in_use().unwrap();
    let ports = client.ports.clone();
    lab.faults(&ports, Faults::cut()).unwrap();
    client.not_up().unwrap();
    client.wait_for("down", RIGHT).unwrap();
    lab.faults(&ports, Faults::default()).unwrap();
    client.wait_for("up", RIGHT).unwrap();
    client.touch().unwrap();
}

#[test]
fn a_device_that_slept_is_up_again_and_old_connections_go_on() {
    let lab = Lab::shared();
    let mut client = lab.client_in_use().unwrap();
    client.fall_asleep().unwrap();
    // The keys grow old meanwhile, and what is sent stays on the way.
    std::thread::sleep(ASLEEP);
    client.wake_up().unwrap();
    client.event("state", RIGHT).unwrap();
    client.wait_for("up", RIGHT).unwrap();
    client.touch().unwrap();
    client.fetch().unwrap();
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
    let mut client = lab.client(&wanted).unwrap();
    let up = client.up().unwrap();
    // IPv4, UDP and WireGuard take 60 bytes of the 1,280.
    assert!(up["mtu"].as_u64().unwrap() <= 1220, "{up}");
    assert_eq!(up["way"], "udp");
    client.echo(DESKTOP, 2 << 20).unwrap();
}

#[test]
fn a_line_that_loses_every_twentieth_packet_is_used_all_the_same() {
    let faults = Faults {
        loss: 50,
        delay: 5,
        ..Faults::default()
    };
    is_used_all_the_same(faults, 512 << 10);
}

#[test]
fn a_line_that_reorders_is_used_all_the_same() {
    let faults = Faults {
        reorder: 200,
        ..Faults::default()
    };
    is_used_all_the_same(faults, 4 << 20);
}

#[test]
fn a_line_that_doubles_is_used_all_the_same() {
    let faults = Faults {
        duplicate: 300,
        ..Faults::default()
    };
    is_used_all_the_same(faults, 4 << 20);
}

fn is_used_all_the_same(faults: Faults, bytes: usize) {
    let lab = Lab::shared();
    let wanted = lab.wireguard().unwrap();
    lab.faults(&wanted.ports, faults).unwrap();
    let mut client = lab.client(&wanted).unwrap();
    client.in_use().unwrap();
    client.echo(DESKTOP, bytes).unwrap();
    client.touch().unwrap();
    client.wait_for("up", RIGHT).unwrap();
    let story = client.story();
    assert!(!story.contains("up(verified) → down("), "{story}");
}

#[test]
fn where_udp_is_blocked_from_the_start_the_websocket_is_taken() {
    let lab = Lab::shared();
    let wanted = lab.wireguard().unwrap();
    lab.faults(&wanted.ports, Faults::no_udp()).unwrap();
    let mut client = lab.client(&wanted).unwrap();
    let up = client.up().unwrap();
    assert_eq!(up["way"], "websocket", "{}", client.story());
    client.fetch().unwrap();
    client.echo(DESKTOP, 4 << 20).unwrap();
    assert_eq!(lab.report(&client.ports.clone()).unwrap().up, 0);
}

#[test]
fn where_udp_is_blocked_in_use_the_websocket_takes_over_and_old_connections_go_on() {
    let lab = Lab::shared();
    let mut client = lab.client(&lab.wireguard().unwrap()).unwrap();
    assert_eq!(client.up().unwrap()["way"], "udp");
    client.hold().unwrap();
    let ports = client.ports.clone();
    lab.faults(&ports, Faults::no_udp()).unwrap();
    client
        .wait_until("way over the WebSocket", UP, |now| {
            now["state"] == "up" && now["way"] == "websocket"
        })
        .unwrap();
    client.touch().unwrap();
}

#[test]
fn a_captive_portal_is_called_by_its_name_and_left_without_help() {
    let lab = Lab::shared();
    let wanted = lab.wireguard().unwrap();
    lab.faults(&wanted.ports, Faults::portal()).unwrap();
    let ports = wanted.ports.clone();
    let mut client = lab.client(&wanted).unwrap();
    let blocked = client.wait_for("blocked", RIGHT).unwrap();
    assert_eq!(why(&blocked), "captivePortal", "{}", client.story());
    client.never_was_up().unwrap();
    lab.faults(&ports, Faults::default()).unwrap();
    client.up().unwrap();
    client.fetch().unwrap();
}

#[test]
fn a_captive_portal_that_comes_in_use_is_noticed() {
    let lab = Lab::shared();
    let mut client = lab.client_in_use().unwrap();
    let ports = client.ports.clone();
    lab.faults(&ports, Faults::portal()).unwrap();
    client.not_up().unwrap();
    client
        .wait_until("the portal", UP, |now| now["why"] == "captivePortal")
        .unwrap();
    lab.faults(&ports, Faults::default()).unwrap();
    client.up().unwrap();
    client.touch().unwrap();
}

/// There is one resolver that is stopped and made to lie: whoever holds this has it alone.
fn mortal_resolver() -> MutexGuard<'static, ()> {
    static RESOLVER: Mutex<()> = Mutex::new(());
    RESOLVER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn restart_resolver(lab: &Lab, lying: bool) {
    let inside = lab.gateway.inside();
    inside.restart_resolver(&lab.gateway.net, lying).unwrap();
}

fn client_of_the_mortal_resolver(lab: &Lab) -> Client {
    let mut wanted = lab.wireguard().unwrap();
    if let Source::WireGuard { dns, .. } = &mut wanted.setup.source {
        *dns = vec![Resolver::Mortal.v4()];
    }
    let mut client = lab.client(&wanted).unwrap();
    client.up().unwrap();
    client
}

#[test]
fn a_resolver_that_dies_inside_is_named_and_its_return_noticed() {
    let _alone = mortal_resolver();
    let lab = Lab::shared();
    let mut client = client_of_the_mortal_resolver(lab);
    lab.gateway.inside().freeze_resolver().unwrap();
    let degraded = client.not_up().unwrap();
    assert_eq!(
        (degraded["state"].as_str(), why(&degraded)),
        (Some("degraded"), "namesDead"),
        "{}",
        client.story()
    );
    restart_resolver(lab, false);
    client.up().unwrap();
    client.fetch().unwrap();
}

#[test]
fn a_resolver_that_lies_inside_is_named_and_nobody_is_led_outside() {
    let _alone = mortal_resolver();
    let lab = Lab::shared();
    let mut client = client_of_the_mortal_resolver(lab);
    restart_resolver(lab, true);
    // Between the honest and the lying one there is a moment without any.
    let lie = |now: &Value| now["state"] == "degraded" && why(now) == "namesLie";
    client.wait_until("lie by its name", RIGHT, lie).unwrap();
    let (host, path) = (SITE.to_owned(), "/probe".to_owned());
    client.job(Job::Fetch { host, path }).unwrap_err();
    restart_resolver(lab, false);
    client.up().unwrap();
    client.fetch().unwrap();
}

#[test]
fn a_tunnel_whose_handshakes_work_but_that_carries_nothing_is_not_up() {
    let lab = Lab::shared();
    let net = &lab.gateway.net;
    let (_wireguard, mut client) = lab.gateway_to_harm(79, 51_902).unwrap();
    net.script("ip -n gateway rule add iif wg79 blackhole pref 10")
        .unwrap();
    let degraded = client.not_up().unwrap();
    assert_eq!(degraded["state"], "degraded", "{}", client.story());
    // The gateway itself answers echoes; the resolvers behind it are the first who do not.
    assert!(
        matches!(why(&degraded), "noAnswerInside" | "namesDead"),
        "{degraded}"
    );
    net.script("ip -n gateway rule del pref 10").unwrap();
    client.up().unwrap();
    client.touch().unwrap();
}
