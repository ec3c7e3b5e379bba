//! Who reaches the inside through the tunnel, and who does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use network_tests::client::Job;
use network_tests::lab::{Client, Lab, UP, password};
use serde_json::Value;
use workplace::gateway::OUTSIDE;
use workplace::gateway::inside::{DESKTOP, EVIL, PROBE, SITE};
use workplace::gateway::namespaces::{CLIENT, RUN, Who};

/// Some user who is not the client's.
const SOMEBODY_ELSE: u32 = 12_345;

/// A client that is up, and its port.
fn up(lab: &Lab) -> (Client, Value) {
    let mut client = lab.client(&lab.wireguard().unwrap()).unwrap();
    let port = client.event("port", UP).unwrap();
    client.up().unwrap();
    (client, port)
}

fn probe() -> String {
    format!("https://{SITE}/probe")
}

fn nobody_outside_was_asked_for(lab: &Lab, client: &Client, name: &str) {
    let names = lab.report(&client.ports).unwrap().names;
    assert!(
        !names.iter().any(|asked| asked == name),
        "asked outside: {names:?}"
    );
}

#[test]
fn our_own_code_takes_a_stream_without_any_port() {
    let lab = Lab::shared();
    let (mut client, _) = up(lab);
    client.fetch().unwrap();
    nobody_outside_was_asked_for(lab, &client, SITE);
}

#[test]
fn both_protocols_of_the_internet_lead_inside() {
    let (mut client, _) = up(Lab::shared());
    for host in ["10.50.0.80", "fd50::80", DESKTOP] {
        client.echo(host, 100_000).unwrap();
    }
}

#[test]
fn reqwest_reaches_the_site_by_name_with_the_ports_password() {
    let lab = Lab::shared();
    let (mut client, _) = up(lab);
    for scheme in ["socks5h", "http"] {
        let page = client.job(Job::Reqwest {
            scheme: scheme.to_owned(),
            url: probe(),
        });
        assert_eq!(page.unwrap(), PROBE, "{scheme}");
    }
    nobody_outside_was_asked_for(lab, &client, SITE);
}

#[test]
fn curl_reaches_the_site_by_name_with_the_ports_password() {
    let lab = Lab::shared();
    let (client, port) = up(lab);
    for scheme in ["socks5h", "http"] {
        let proxy = format!("{scheme}://{}", port["address"].as_str().unwrap());
        let output = lab
            .curl(
                Who::User(SOMEBODY_ELSE),
                &proxy,
                Some(&password(&port)),
                &probe(),
            )
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            PROBE,
            "{scheme}: {output:?}"
        );
    }
    nobody_outside_was_asked_for(lab, &client, SITE);
}

#[test]
fn programs_that_we_started_need_no_password() {
    let (mut client, _) = up(Lab::shared());
    for scheme in ["socks5h", "http"] {
        let curl = format!("curl -sS --max-time 10 -x {scheme}://$PROXY {}", probe());
        assert_eq!(client.run(&curl).unwrap(), PROBE, "{scheme}");
    }
}

#[test]
fn webkitgtk_shows_the_site_by_name_and_trusts_its_certificate() {
    let lab = Lab::shared();
    let (mut client, _) = up(lab);
    let script = lab
        .gateway
        .net
        .write("webkit.py", include_str!("webkit.py"))
        .unwrap();
    for scheme in ["socks5", "http"] {
        let program = format!("xvfb-run -a python3 {script} {scheme}://$PROXY https://{SITE}/");
        let title = client.run(&program).unwrap();
        assert_eq!(title.trim(), PROBE, "{scheme}");
    }
    nobody_outside_was_asked_for(lab, &client, SITE);
}

#[test]
fn chromium_shows_the_site_by_name_and_trusts_its_certificate() {
    let lab = Lab::shared();
    let (mut client, _) = up(lab);
    let script = lab
        .gateway
        .net
        .write("chromium.sh", include_str!("chromium.sh"))
        .unwrap();
    let program = format!("sh {script} socks5://$PROXY https://{SITE}/ {RUN}/tls/ca.crt");
    let page = client.run(&program).unwrap();
    assert!(page.contains(&format!("<title>{PROBE}</title>")), "{page}");
    nobody_outside_was_asked_for(lab, &client, SITE);
}

#[test]
fn a_remote_desktops_worth_of_bytes_goes_through_the_forward() {
    let (mut client, _) = up(Lab::shared());
    let script = "exec 3<>/dev/tcp/127.0.0.1/$FORWARD; head -c 33554432 /dev/zero >&3 & head -c 33554432 <&3 | cksum";
    let program = ["bash", "-c", script].map(str::to_owned).to_vec();
    let sum = client.job(Job::Run { program }).unwrap();
    // cksum(1) of 32 MiB of zeros
    assert_eq!(sum.trim(), "4135437457 33554432");
}

#[test]
fn strangers_on_this_device_are_turned_away_whoever_they_are() {
    let lab = Lab::shared();
    let (mut client, port) = up(lab);
    let address = port["address"].as_str().unwrap();
    let forward = port["forward"].as_str().unwrap();
    for who in [Who::User(CLIENT), Who::User(SOMEBODY_ELSE), Who::Root] {
        for password in [None, Some("cordee:00000000000000000000000000000000")] {
            for scheme in ["socks5h", "http"] {
                let proxy = format!("{scheme}://{address}");
                let output = lab.curl(who, &proxy, password, &probe()).unwrap();
                assert!(
                    !output.status.success() && output.stdout.is_empty(),
                    "{who:?} {scheme}: {output:?}"
                );
                // 97: the proxy refused; 56: CONNECT was answered 407; 7: closed at once.
                assert!(
                    matches!(output.status.code(), Some(97 | 56 | 7)),
                    "{who:?} {scheme}: {output:?}"
                );
            }
        }
        let plain = format!("http://{address}");
        let curl = [
            "curl",
            "-sS",
            "--max-time",
            "5",
            "-x",
            &plain,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &format!("http://{SITE}/probe"),
        ];
        let output = lab.run(who, &curl).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "407",
            "{who:?}: {output:?}"
        );
        let curl = [
            "curl",
            "-sS",
            "--max-time",
            "5",
            &format!("telnet://{forward}"),
        ];
        let output = lab.run(who, &curl).unwrap();
        assert!(
            output.stdout.is_empty(),
            "{who:?} through the forward: {output:?}"
        );
    }
    // And it still serves whom it should.
    let curl = format!("curl -sS --max-time 10 -x socks5h://$PROXY {}", probe());
    assert_eq!(client.run(&curl).unwrap(), PROBE);
}

#[test]
fn nothing_but_the_organisation_is_reached_where_the_policy_says_so() {
    let lab = Lab::shared();
    let (mut client, _) = up(lab);
    for host in [OUTSIDE, "192.0.2.1", EVIL, "10.99.0.1", "127.0.0.1"] {
        let curl = format!("curl -sS --max-time 5 -x socks5h://$PROXY http://{host}/");
        client.run(&curl).unwrap_err();
    }
    nobody_outside_was_asked_for(lab, &client, EVIL);
}

#[test]
fn other_destinations_go_past_the_tunnel_and_each_resolver_hears_its_own_names_only() {
    let lab = Lab::shared();
    let mut wanted = lab.wireguard().unwrap();
    wanted.setup.other_direct = true;
    let mut client = lab.client(&wanted).unwrap();
    client.up().unwrap();
    let page = |client: &mut Client, url: &str| {
        let curl = format!("curl -sS --max-time 10 -x socks5h://$PROXY {url}");
        client.run(&curl)
    };
    assert_eq!(
        page(&mut client, &format!("http://{OUTSIDE}/")).unwrap(),
        "outside"
    );
    assert_eq!(page(&mut client, &probe()).unwrap(), PROBE);
    nobody_outside_was_asked_for(lab, &client, SITE);
    let log =
        std::fs::read_to_string(lab.gateway.net.path(format!("{RUN}/resolver-53.log"))).unwrap();
    assert!(
        log.contains(SITE),
        "the resolver inside was asked for the site"
    );
    assert!(
        !log.contains(OUTSIDE),
        "the resolver inside was asked for a name outside"
    );
    page(&mut client, &format!("http://{EVIL}/")).unwrap_err();
}
