//! The gateway: reachable by its doors alone, and gone with whoever made it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use workplace::gateway::namespaces::{CLIENT, Net, Who};
use workplace::gateway::{Gateway, Options};

fn options() -> Options {
    Options {
        parts: PathBuf::from(env!("CARGO_BIN_EXE_workplace")),
        relay: None,
        programs: Vec::new(),
        colleagues: 1,
        codes: true,
        rekey: 3600,
    }
}

#[test]
fn what_is_inside_cannot_be_reached_without_a_tunnel() {
    let gateway = Gateway::up(&options()).unwrap();
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
}

#[test]
fn nothing_of_it_is_left_when_its_runner_is_killed() {
    let mut runner = Command::new(env!("CARGO_BIN_EXE_workplace"))
        .args(["gateway", "--colleagues", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(runner.stdout.take().unwrap()).lines();
    let enter = lines
        .map_while(Result::ok)
        .find(|line| line.contains("nsenter --target"))
        .expect("the gateway comes up");
    let first = enter.split("--target ").nth(1).unwrap();
    let first = first.split(' ').next().unwrap();
    let place = std::fs::read_link(format!("/proc/{first}/ns/pid")).unwrap();
    let inhabitants = || {
        let processes = std::fs::read_dir("/proc").unwrap();
        let places = processes
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path().join("ns/pid")).ok());
        places.filter(|other| *other == place).count()
    };
    assert!(inhabitants() > 5, "{} processes", inhabitants());
    runner.kill().unwrap();
    runner.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while inhabitants() > 0 {
        assert!(
            Instant::now() < deadline,
            "{} processes are left",
            inhabitants()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
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
    assert!(said.starts_with("65534\n"), "{said}");
    assert!(said.contains("CapEff:\t0000000000000000"), "{said}");
    assert!(said.contains("CapBnd:\t0000000000000000"), "{said}");
    assert!(said.contains("NoNewPrivs:\t1"), "{said}");
    assert!(said.contains("No such file"), "{said}");
    assert!(said.contains("not permitted"), "{said}");
}
