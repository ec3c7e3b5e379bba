//! Packets that no honest tunnel would deliver: nothing panics, nothing is kept, and what is open
//! goes on.

use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use proptest::prelude::*;
use smoltcp::wire::IpProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::testing::{Spoilt, stack};
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

/// Damage that likes what parsers fall over: pointers back into the name, counts, lengths.
fn damage() -> impl Strategy<Value = Spoilt> {
    let byte = || prop_oneof![Just(0xc0), Just(0x0c), Just(0), Just(0xff), any::<u8>()];
    (
        prop::collection::vec((0_usize..200, byte()), 0..12),
        prop::option::weighted(0.3, 0_usize..120),
        prop_oneof![
            3 => Just(Vec::new()),
            2 => prop::collection::vec(byte(), 1..100),
            1 => prop::collection::vec(byte(), 1000..1300),
        ],
    )
        .prop_map(|(exchanged, kept, appended)| Spoilt {
            exchanged,
            kept,
            appended,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_a_resolver_answers_ends_in_addresses_or_an_error_and_harms_no_later_answer(
        over_tcp in any::<bool>(),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        // The clock stands still but for waiting: answers that are thrown away cost no real seconds.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (stack, _link, world) = stack(&["10.50.0.53"], &[]);
            *world.truncates.lock() = over_tcp;
            for damage in damages {
                *world.spoilt.lock() = damage;
                let answer = tokio::time::timeout(Duration::from_secs(7), stack.resolve_fresh("intra.example"));
                if let Ok(addresses) = answer.await.expect("it ends in time") {
                    assert!(!addresses.is_empty());
                }
            }
            *world.spoilt.lock() = Spoilt::default();
            let honest = stack.resolve_fresh("intra.example").await.expect("the resolver is honest again");
            assert_eq!(honest.len(), 2);
        });
    }
}
