#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};

use netstack::{Config, Netstack};
use proptest::prelude::*;
use tokio::net::UdpSocket;

use super::*;
use crate::carrier::Udp;

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

fn pair() -> (WireGuardConfig, WireGuardConfig) {
    let (client, gateway) = (Key::random(), Key::random());
    let config = |own: &Key, other: &Key, address| WireGuardConfig {
        private_key: own.clone(),
        gateway_key: other.public(),
        preshared_key: Some(Key::from_bytes([7; 32])),
        keepalive: None,
        networks: vec!["10.77.0.0/24".parse().unwrap()],
        inside: Inside {
            v4: Some(address),
            v6: None,
            dns: Vec::new(),
            search: Vec::new(),
            mtu: 1420,
            echo: Some(GATEWAY.into()),
            networks: Vec::new(),
        },
    };
    (
        config(&client, &gateway, CLIENT),
        config(&gateway, &client, GATEWAY),
    )
}

fn packet(from: Ipv4Addr, to: Ipv4Addr, body: &[u8]) -> BytesMut {
    let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 253, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(body);
    BytesMut::from(packet.as_slice())
}

/// Gives datagrams to a session; answers packets and replies.
fn give(session: &mut Session, datagrams: &[BytesMut]) -> (Vec<BytesMut>, Vec<BytesMut>, bool) {
    let (mut replies, mut packets) = (Vec::new(), Vec::new());
    let (_, made) = session.incoming(1420, &mut datagrams.to_vec(), &mut replies, &mut packets);
    (packets, replies, made)
}

fn connected() -> (Session, Session) {
    let (client, gateway) = pair();
    let (mut client, mut gateway) = (Session::new(&client), Session::new(&gateway));
    let mut hello = Vec::new();
    client.begin_handshake(&mut hello);
    let (_, answer, _) = give(&mut gateway, &hello);
    let (_, confirmation, made) = give(&mut client, &answer);
    assert!(made, "the answer makes a session");
    give(&mut gateway, &confirmation);
    (client, gateway)
}

#[test]
fn packets_that_wait_for_the_handshake_arrive_after_it() {
    let (client, gateway) = pair();
    let (mut client, mut gateway) = (Session::new(&client), Session::new(&gateway));
    let mut datagrams = Vec::new();
    let mut waiting = vec![packet(CLIENT, GATEWAY, b"first")];
    client.outgoing(1420, &mut waiting, &mut datagrams);
    let (_, answer, _) = give(&mut gateway, &datagrams);
    let (_, after, _) = give(&mut client, &answer);
    let (packets, _, _) = give(&mut gateway, &after);
    assert!(packets[0].starts_with(&packet(CLIENT, GATEWAY, b"first")));
}

#[test]
fn only_packets_of_the_allowed_networks_pass_in_either_direction() {
    let (mut client, mut gateway) = connected();
    let foreign = Ipv4Addr::new(192, 0, 2, 1);
    let mut datagrams = Vec::new();
    client.outgoing(
        1420,
        &mut vec![packet(CLIENT, foreign, b"x"), BytesMut::new()],
        &mut datagrams,
    );
    assert!(datagrams.is_empty(), "nothing leaves for a foreign network");

    // The far side may claim any sender: its own rule looks at the destination only.
    gateway.outgoing(
        1420,
        &mut vec![packet(foreign, CLIENT, b"x"), packet(GATEWAY, CLIENT, b"y")],
        &mut datagrams,
    );
    let (packets, _, _) = give(&mut client, &datagrams);
    assert_eq!(packets.len(), 1);
    assert!(packets[0].starts_with(&packet(GATEWAY, CLIENT, b"y")));
}

#[test]
fn what_is_replayed_is_not_taken_again() {
    let (client, gateway) = pair();
    let (mut client, mut gateway) = (Session::new(&client), Session::new(&gateway));
    let mut hello = Vec::new();
    client.begin_handshake(&mut hello);
    let (_, answer, made) = give(&mut gateway, &hello);
    assert!(made && answer.len() == 1);
    let (_, answer_again, made) = give(&mut gateway, &hello);
    assert!(!made && answer_again.is_empty(), "a handshake counts once");

    let (_, confirmation, _) = give(&mut client, &answer);
    give(&mut gateway, &confirmation);
    let mut data = Vec::new();
    client.outgoing(1420, &mut vec![packet(CLIENT, GATEWAY, b"once")], &mut data);
    assert_eq!(give(&mut gateway, &data).0.len(), 1);
    assert_eq!(give(&mut gateway, &data).0.len(), 0, "a packet counts once");
}

#[test]
fn a_wrong_key_on_either_side_makes_no_session() {
    for side in 0..3 {
        let (mut client, gateway) = pair();
        match side {
            0 => client.private_key = Key::random(),
            1 => client.gateway_key = Key::random(),
            _ => client.preshared_key = None,
        }
        let (mut client, mut gateway) = (Session::new(&client), Session::new(&gateway));
        let mut hello = Vec::new();
        client.begin_handshake(&mut hello);
        let (_, answer, _) = give(&mut gateway, &hello);
        let (_, _, made) = give(&mut client, &answer);
        assert!(!made && client.age().is_none(), "case {side}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_and_damaged_datagrams_are_dropped(
        noise in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20),
        kind in 0u8..6,
        at in any::<proptest::sample::Index>(),
        flip in 1u8..,
    ) {
        let (mut client, mut gateway) = connected();
        let mut datagrams: Vec<BytesMut> = noise
            .iter()
            .map(|bytes| {
                let mut datagram = BytesMut::from(&[kind, 0, 0, 0][..]);
                datagram.extend_from_slice(bytes);
                datagram
            })
            .collect();
        let mut data = Vec::new();
        gateway.outgoing(1420, &mut vec![packet(GATEWAY, CLIENT, b"payload")], &mut data);
        // Bytes 1 to 3 are reserved and not authenticated.
        let place = 4 + at.index(data[0].len() - 4);
        data[0][place] ^= flip;
        datagrams.append(&mut data);
        let (packets, _, made) = give(&mut client, &datagrams);
        prop_assert!(packets.is_empty() && !made);

        // And the session lives on.
        gateway.outgoing(1420, &mut vec![packet(GATEWAY, CLIENT, b"after")], &mut data);
        prop_assert_eq!(give(&mut client, &data).0.len(), 1);
    }
}

/// A gateway that answers echoes, on a UDP socket of this machine.
struct Lab {
    port: u16,
    clients: watch::Receiver<Vec<SocketAddr>>,
    task: tokio::task::JoinHandle<()>,
}

async fn lab(config: WireGuardConfig) -> Lab {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let (seen, clients) = watch::channel(Vec::new());
    let task = tokio::spawn(async move {
        let mut session = Session::new(&config);
        let mut buffer = vec![0; 2000];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            seen.send_if_modified(|all: &mut Vec<SocketAddr>| {
                let new = !all.contains(&from);
                if new {
                    all.push(from);
                }
                new
            });
            let (packets, mut replies, _) =
                give(&mut session, &[BytesMut::from(&buffer[..length])]);
            let mut echoes = packets.into_iter().map(echo).collect();
            session.outgoing(1420, &mut echoes, &mut replies);
            for reply in replies {
                socket.send_to(&reply, from).await.unwrap();
            }
        }
    });
    Lab {
        port,
        clients,
        task,
    }
}

/// Echo request to reply (RFC 792): swapped addresses, type 8 → 0. The IP checksum stays, the
/// ICMP one grows by what the type lost.
fn echo(mut packet: BytesMut) -> BytesMut {
    let (from, to): ([u8; 4], [u8; 4]) = (
        packet[12..16].try_into().unwrap(),
        packet[16..20].try_into().unwrap(),
    );
    packet[12..16].copy_from_slice(&to);
    packet[16..20].copy_from_slice(&from);
    packet[20] = 0;
    let sum = u32::from(u16::from_be_bytes([packet[22], packet[23]])) + 0x0800;
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[22..24].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn stack() -> (Netstack, Link) {
    Netstack::new(Config {
        v4: Some(CLIENT),
        ..Config::default()
    })
}

async fn ping(stack: &Netstack) {
    let patience = Duration::from_secs(10);
    stack
        .ping(IpAddr::V4(GATEWAY), 200, patience)
        .await
        .expect("the echo comes back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_reaches_the_far_side_and_goes_on_after_a_kick_from_a_fresh_port() {
    let (client, gateway) = pair();
    let lab = lab(gateway).await;
    let carrier: Arc<dyn Carrier> = Arc::new(Udp::new("127.0.0.1", lab.port));
    let source = Arc::new(WireGuard::new(client, vec![carrier]));
    let (stack, link) = stack();
    let mut sessions = source.sessions();
    let running = tokio::spawn({
        let source = source.clone();
        async move { source.run(link).await }
    });
    sessions.wait_for(|count| *count == 1).await.unwrap();
    ping(&stack).await;
    let health = source.health();
    assert!(health.session_age.is_some() && health.last_received.is_some());
    assert_eq!(health.way, "udp");

    source.kick(Kick::Fresh);
    sessions.wait_for(|count| *count == 2).await.unwrap();
    ping(&stack).await;
    assert_eq!(lab.clients.borrow().len(), 2, "two local ports were used");
    running.abort();
    lab.task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_way_is_left_for_the_next_one_and_a_fresh_start_returns_to_the_first() {
    let (client, gateway) = pair();
    let lab = lab(gateway).await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nobody: Arc<dyn Carrier> =
        Arc::new(Udp::new("127.0.0.1", silent.local_addr().unwrap().port()));
    let works: Arc<dyn Carrier> = Arc::new(Udp::new("127.0.0.1", lab.port));
    let source = Arc::new(WireGuard::new(client, vec![nobody, works]));
    let (stack, link) = stack();
    let mut sessions = source.sessions();
    let running = tokio::spawn({
        let source = source.clone();
        async move { source.run(link).await }
    });
    // The first datagram on the first way means that it is open.
    let mut buffer = [0; 200];
    silent.recv_from(&mut buffer).await.unwrap();
    // A way gets twice as long to answer as it took to open: one kick may come too early.
    let patience = Duration::from_millis(100);
    loop {
        source.kick(Kick::Silent);
        let made = sessions.wait_for(|count| *count > 0);
        if tokio::time::timeout(patience, made).await.is_ok() {
            break;
        }
    }
    ping(&stack).await;

    source.kick(Kick::Fresh);
    silent.recv_from(&mut buffer).await.unwrap();
    running.abort();
    lab.task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_gateway_is_asked_once_a_kick_also_when_a_fresh_port_is_taken() {
    let (client, _) = pair();
    let gateway = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = gateway.local_addr().unwrap().port();
    let carrier: Arc<dyn Carrier> = Arc::new(Udp::new("127.0.0.1", port));
    let source = Arc::new(WireGuard::new(client, vec![carrier]));
    let (_stack, link) = stack();
    let running = tokio::spawn({
        let source = source.clone();
        async move { source.run(link).await }
    });
    let mut buffer = [0; 200];
    let mut ports = vec![gateway.recv_from(&mut buffer).await.unwrap().1];
    for kick in 0..6 {
        source.kick(Kick::Silent);
        ports.push(gateway.recv_from(&mut buffer).await.unwrap().1);
        // wireguard-go and the kernel answer one handshake of a peer in 20 ms.
        let second = gateway.recv_from(&mut buffer);
        let second = tokio::time::timeout(Duration::from_millis(50), second).await;
        assert!(second.is_err(), "two handshakes after kick {kick}");
    }
    ports.dedup();
    assert_eq!(ports.len(), 2, "a fresh port was taken once");
    running.abort();
}
