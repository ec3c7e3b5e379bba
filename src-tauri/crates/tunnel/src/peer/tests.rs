#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::*;

#[test]
fn a_process_descends_from_itself_and_its_parents_and_from_nobody_else() {
    let parents = |id: u32| match id {
        30 => Some(20),
        20 => Some(10),
        10 => Some(1),
        // A circle, as after a number was given out again.
        50 => Some(51),
        51 => Some(50),
        _ => None,
    };
    assert!(descends_from(10, 10, parents));
    assert!(descends_from(30, 10, parents));
    assert!(!descends_from(10, 30, parents));
    assert!(!descends_from(40, 10, parents));
    assert!(!descends_from(50, 10, parents));
}

#[test]
fn our_own_connection_is_ours_in_both_families() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, peer) = listener.accept().unwrap();
        let local = far.local_addr().unwrap();
        assert!(
            is_held_by_family(peer, local, std::process::id()),
            "{address}"
        );
        // The other way round it is the accepted end: ours as well, but of no child's.
        let mut child = sleeper();
        assert!(!is_held_by_family(peer, local, child.id()), "{address}");
        end(&mut child);
        drop(near);
    }
}

#[test]
fn a_descendants_connection_is_ours_and_a_strangers_is_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // A grandchild: a shell that starts a shell that connects.
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo open; read line");
    let mut child = Command::new("bash")
        .args(["-c", &format!("bash -c '{script}'; true")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let (far, peer) = listener.accept().unwrap();
    let local = far.local_addr().unwrap();
    assert!(is_held_by_family(peer, local, std::process::id()));
    assert!(is_held_by_family(peer, local, child.id()));
    // Seen from another process of ours, the same connection is a stranger's.
    let mut other = sleeper();
    assert!(!is_held_by_family(peer, local, other.id()));
    end(&mut other);
    child.stdin.take().unwrap().write_all(b"end\n").unwrap();
    child.wait().unwrap();
}

#[test]
fn a_connection_that_is_not_there_is_nobodys() {
    let nowhere = "127.0.0.1:1".parse().unwrap();
    assert!(!is_held_by_family(nowhere, nowhere, std::process::id()));
    let elsewhere = "192.0.2.1:1000".parse().unwrap();
    assert!(!is_held_by_family(elsewhere, nowhere, std::process::id()));
}

fn sleeper() -> Child {
    Command::new("sleep").arg("60").spawn().unwrap()
}

fn end(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}
