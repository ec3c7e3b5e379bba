//! Two stacks, each the other's tunnel.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::Duration;

use netstack::{Config, Link, Netstack};

fn stack(last: u8) -> (Netstack, Link) {
    Netstack::new(Config {
        v4: Some([10, 77, 0, last].into()),
        v6: Some([0xfd00, 0, 0, 0, 0, 0, 0, last.into()].into()),
        ..Config::default()
    })
}

/// Carries packets both ways until one of the stacks is closed.
fn wire(a: &Link, b: &Link) {
    for (from, to) in [(a.clone(), b.clone()), (b.clone(), a.clone())] {
        tokio::spawn(async move {
            let mut packets = Vec::new();
            while from.next_batch(&mut packets, 64).await > 0 {
                packets.drain(..).for_each(|packet| to.input(packet));
            }
        });
    }
}

#[tokio::test]
async fn a_datagram_reaches_the_other_stack_in_both_families() {
    let (here, here_link) = stack(2);
    let (there, there_link) = stack(3);
    wire(&here_link, &there_link);
    for address in ["10.77.0.3", "fd00::3"] {
        let sender = here.udp_bind().unwrap();
        let mut receiver = there.udp_bind().unwrap();
        let to = SocketAddr::new(address.parse().unwrap(), receiver.local_port());
        sender.send_to(b"bonjour", to).unwrap();
        let (from, datagram) = receiver.recv_from().await.unwrap();
        assert_eq!(
            (from.port(), &datagram[..]),
            (sender.local_port(), &b"bonjour"[..])
        );
    }
    assert_eq!(there.stats().packets_in, 2);
    assert_eq!(there.stats().refused, 0);
}

#[tokio::test]
async fn a_closed_stack_ends_every_wait() {
    let (stack, link) = stack(2);
    let waiting = tokio::spawn(async move { link.next_batch(&mut Vec::new(), 1).await });
    tokio::task::yield_now().await;
    stack.close();
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(5), waiting)
            .await
            .unwrap()
            .unwrap(),
        0
    );
    assert!(
        stack
            .tcp_connect("10.77.0.3:80".parse().unwrap())
            .await
            .is_err()
    );
}
