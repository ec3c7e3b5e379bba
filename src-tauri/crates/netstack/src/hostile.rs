//! Packets that no honest tunnel would deliver: nothing panics, nothing is kept, and what is open
//! goes on.

use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use proptest::prelude::*;
use smoltcp::wire::IpProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::testing::stack;
use crate::{Config, Netstack, packet};

/// A packet to us whose IP header is right; `fixed` also makes the inner checksum right.
fn forged(v6: bool, protocol: u8, mut payload: Vec<u8>, fixed: bool) -> BytesMut {
    let (from, to): (IpAddr, IpAddr) = if v6 {
        ("fd00::80".parse().unwrap(), "fd00::2".parse().unwrap())
    } else {
        ("10.50.0.80".parse().unwrap(), "10.77.0.2".parse().unwrap())
    };
    let protocol = IpProtocol::from(protocol);
    let at = match protocol {
        IpProtocol::Tcp => Some(16),
        IpProtocol::Udp => Some(6),
        IpProtocol::Icmp | IpProtocol::Icmpv6 => Some(2),
        _ => None,
    };
    if let Some(at) = at.filter(|at| fixed && payload.len() >= at + 2) {
        payload[at..at + 2].fill(0);
        let checksum = match protocol {
            IpProtocol::Icmp => packet::plain_checksum(&payload),
            _ => packet::checksum(from, to, protocol, &payload),
        };
        payload[at..at + 2].copy_from_slice(&checksum.to_ne_bytes());
    }
    let mut whole = BytesMut::new();
    packet::write_header(&mut whole, from, to, protocol, payload.len()).unwrap();
    whole.extend_from_slice(&payload);
    whole
}

/// Bytes that lie like a TCP, UDP or ICMP message: ports of ours are likely, lengths sometimes.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    (
        prop::collection::vec(any::<u8>(), 0..300),
        prop_oneof![Just(None), (20_000_u16..20_050).prop_map(Some)],
        any::<bool>(),
    )
        .prop_map(|(mut bytes, port, quote)| {
            if let Some(port) = port.filter(|_| bytes.len() >= 60) {
                bytes[2..4].copy_from_slice(&port.to_be_bytes());
                if quote {
                    // An ICMP error about a segment of ours.
                    bytes[0] = 3;
                    bytes[8] = 0x45;
                    bytes[17] = 6;
                    bytes[20..24].copy_from_slice(&[10, 77, 0, 2]);
                    bytes[28..30].copy_from_slice(&port.to_be_bytes());
                }
            }
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_bytes_are_refused_or_taken_but_never_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let (stack, link) = Netstack::new(Config { v4: Some([10, 77, 0, 2].into()), ..Config::default() });
        link.input(BytesMut::from(&bytes[..]));
        prop_assert_eq!(stack.stats().packets_in, 1);
    }

    #[test]
    fn any_payload_behind_a_right_header_never_harms(
        v6 in any::<bool>(),
        protocol in prop_oneof![Just(6_u8), Just(17), Just(1), Just(58), Just(0), Just(43), Just(44), Just(60), any::<u8>()],
        payload in payloads(),
        fixed in any::<bool>(),
        cut in 0_usize..80,
    ) {
        let (stack, link) = Netstack::new(Config {
            v4: Some([10, 77, 0, 2].into()),
            v6: Some("fd00::2".parse().unwrap()),
            ..Config::default()
        });
        let sockets: Vec<_> = (0..20).map(|_| stack.udp_bind().unwrap()).collect();
        let mut packet = forged(v6, protocol, payload, fixed);
        link.input(packet.clone());
        packet.truncate(packet.len().saturating_sub(cut));
        link.input(packet);
        drop(sockets);
    }
}

#[tokio::test]
async fn an_open_connection_goes_on_under_a_rain_of_forgeries() {
    let (stack, link, _) = stack(&[], &[]);
    let mut stream = stack
        .tcp_connect("10.50.0.80:7".parse().unwrap())
        .await
        .unwrap();
    let port = stream.local_addr().port();
    for round in 0..200_u32 {
        for number in 0..50_u32 {
            // Every kind of flags, numbers that an attacker on the side has to guess.
            let mut segment = vec![0; 20];
            segment[0..2].copy_from_slice(&7_u16.to_be_bytes());
            segment[2..4].copy_from_slice(&port.to_be_bytes());
            let guess = (round * 50 + number).wrapping_mul(0x9e37_79b9);
            segment[4..8].copy_from_slice(&guess.to_be_bytes());
            segment[8..12].copy_from_slice(&guess.rotate_left(13).to_be_bytes());
            segment[12] = 0x50;
            segment[13] = u8::try_from(number % 64).unwrap();
            link.input(forged(false, 6, segment, true));
        }
        stream.write_all(&round.to_be_bytes()).await.unwrap();
        let back = tokio::time::timeout(Duration::from_secs(20), stream.read_u32()).await;
        assert_eq!(back.unwrap().unwrap(), round);
    }
}

/// Bytes changed, left out, put in twice and cut off behind a number that is right, so that it is read.
fn spoiled(answer: &mut Vec<u8>) {
    for _ in 0..rand::random_range(1..6) {
        let at = rand::random_range(2..answer.len().max(3));
        let Some(byte) = answer.get_mut(at) else {
            return;
        };
        match rand::random_range(0..6) {
            0 | 1 => *byte = rand::random(),
            2 => *byte = [0, 1, 0x7f, 0x80, 0xc0, 0xff][rand::random_range(0..6)],
            3 => {
                answer.remove(at);
            }
            4 => {
                let again = answer[at..].to_vec();
                answer.extend(again);
            }
            _ => answer.truncate(at),
        }
    }
    // No datagram is longer.
    answer.truncate(60_000);
}

#[tokio::test]
async fn a_resolver_that_answers_nonsense_harms_nobody_and_is_believed_again_afterwards() {
    let (stack, _, world) = stack(&["10.50.0.53"], &[]);
    *world.spoils.lock() = Some(Box::new(spoiled));
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..400 {
        let stack = stack.clone();
        asking.spawn(async move {
            let name = format!("n{number}.many.example");
            let asked = tokio::time::timeout(Duration::from_secs(20), stack.resolve(&name)).await;
            // An address that was changed on the way is an address.
            asked.expect("every question ends").is_ok()
        });
    }
    let answered = asking.join_all().await;
    let believed = answered.iter().filter(|answered| **answered).count();
    assert!((1..400).contains(&believed), "{believed} were believed");
    *world.spoils.lock() = None;
    let after = stack.resolve("intra.example").await.unwrap();
    assert_eq!(after.len(), 2);
}
