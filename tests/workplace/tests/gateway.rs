//! The gateway: reachable by its doors alone, and gone with whoever made it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::path::PathBuf;
use std::process::Stdio;

use workplace::gateway::namespaces::{CLIENT, Net, Who};
use workplace::gateway::{Gateway, Options};

fn options() -> Options {
    Options {
        parts: PathBuf::from(env!("CARGO_BIN_EXE_workplace")),
        relay: None,
        programs: Vec::new(),
        colleagues: 1,
        rekey: 3600,
    }
}

#[test]
fn what_is_inside_cannot_be_reached_without_a_tunnel() {
    let began = std::time::Instant::now();
    let gateway = Gateway::up(&options()).unwrap();
    println!("up in {:?}", began.elapsed());
    let site = [
        "-sS",
        "--max-time",
        "2",
        "--resolve",
        "intra.saint-elme.test:443:10.50.0.80",
        "https://intra.saint-elme.test/probe",
    ];
    let curl = |net, who| {
        gateway
            .net
            .command(net, who, "curl")
            .args(site)
            .output()
            .unwrap()
    };
    let inside = curl(Net::Inside, Who::Root);
    assert_eq!(
        String::from_utf8_lossy(&inside.stdout),
        "cordee-inside",
        "{inside:?}"
    );
    let outside = curl(Net::Client, Who::User(CLIENT));
    assert!(!outside.status.success());
    println!("{outside:?}");
    println!("{}", gateway.logs());
}

#[test]
fn the_client_has_no_rights() {
    let gateway = Gateway::up(&Options {
        colleagues: 0,
        ..options()
    })
    .unwrap();
    let look = "id -u; grep CapEff /proc/self/status; grep CapBnd /proc/self/status; grep NoNewPrivs /proc/self/status; ls /dev/net/tun 2>&1; ip link add dummy0 type dummy 2>&1";
    let output = gateway
        .net
        .command(Net::Client, Who::User(CLIENT), "sh")
        .args(["-c", look])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(said.starts_with("65534\n"), "{said}");
    assert!(said.contains("CapEff:\t0000000000000000"), "{said}");
    assert!(said.contains("CapBnd:\t0000000000000000"), "{said}");
    assert!(said.contains("NoNewPrivs:\t1"), "{said}");
    assert!(said.contains("No such file"), "{said}");
    assert!(said.contains("not permitted"), "{said}");
}
