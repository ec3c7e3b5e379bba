//! Nothing of a workplace may outlive the program that runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use workplace::Description;
use workplace::process::alive;

/// A runner in a process of its own, and what it said about its workplace.
fn runner(folder: &Path, name: &str) -> (Child, Description) {
    let file = folder.join(name);
    let mut child = Command::new(env!("CARGO_BIN_EXE_workplace"))
        .arg("up")
        .arg("--json")
        .arg(&file)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_mins(5);
    loop {
        if let Ok(text) = std::fs::read(&file) {
            return (child, serde_json::from_slice(&text).unwrap());
        }
        assert!(
            child.try_wait().unwrap().is_none(),
            "the workplace did not come up"
        );
        assert!(
            Instant::now() < deadline,
            "the workplace is not up after 300 s"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What is left of it: processes, an open port, the run folder.
fn left(description: &Description) -> Vec<String> {
    let processes = description.pids.iter().flat_map(|(service, groups)| {
        groups
            .iter()
            .flat_map(|&group| alive(group))
            .map(move |pid| format!("process {pid} of {service}"))
    });
    let mut left: Vec<String> = processes.collect();
    if TcpStream::connect(("127.0.0.1", description.port)).is_ok() {
        left.push(format!("port {}", description.port));
    }
    if description.run_folder.exists() {
        left.push(description.run_folder.display().to_string());
    }
    left
}

fn wait_until_nothing_is_left(description: &Description) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !left(description).is_empty() {
        assert!(
            Instant::now() < deadline,
            "left after 5 s: {:?}",
            left(description)
        );
        std::thread::sleep(Duration::from_millis(25));
    }
}

fn ports_of(description: &Description) -> Vec<u16> {
    let listening = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let inodes: Vec<(u16, String)> = listening
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // 0A: LISTEN
            (fields[3] == "0A").then(|| {
                let port = u16::from_str_radix(fields[1].rsplit_once(':').unwrap().1, 16).unwrap();
                (port, format!("socket:[{}]", fields[9]))
            })
        })
        .collect();
    let mut ports = Vec::new();
    for pid in description
        .pids
        .values()
        .flatten()
        .flat_map(|&group| alive(group))
    {
        let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        for target in files
            .flatten()
            .filter_map(|file| std::fs::read_link(file.path()).ok())
        {
            ports.extend(
                inodes
                    .iter()
                    .filter(|(_, inode)| Path::new(inode) == target)
                    .map(|(port, _)| *port),
            );
        }
    }
    ports
}

#[test]
fn two_workplaces_run_side_by_side_and_neither_outlives_a_killed_runner_or_a_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let (mut killed, one) = runner(folder.path(), "one.json");
    let (mut interrupted, other) = runner(folder.path(), "other.json");
    assert_ne!(one.port, other.port);
    for description in [&one, &other] {
        for (service, groups) in &description.pids {
            assert!(
                groups.iter().all(|&group| !alive(group).is_empty()),
                "{service} runs"
            );
        }
    }
    let ports = ports_of(&one);
    assert!(ports.contains(&one.port) && ports.len() >= 5, "{ports:?}");

    killed.kill().unwrap();
    killed.wait().unwrap();
    wait_until_nothing_is_left(&one);
    for port in ports {
        assert!(
            TcpStream::connect(("127.0.0.1", port)).is_err(),
            "port {port} is still open"
        );
    }
    assert!(
        TcpStream::connect(("127.0.0.1", other.port)).is_ok(),
        "the other one goes on"
    );

    kill(Pid::from_raw(other.runner), Signal::SIGINT).unwrap();
    assert!(interrupted.wait().unwrap().success());
    assert!(left(&other).is_empty(), "{:?}", left(&other));
}
