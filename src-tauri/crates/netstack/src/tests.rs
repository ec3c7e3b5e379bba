//! The whole stack against a host at the other end of its link.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::testing::{SOURCE_BYTES, stack};
use crate::{ConnectError, PingError, ResolveError};

const V4: &str = "10.50.0.80";
const V6: &str = "fd00::80";
const LONG: Duration = Duration::from_secs(20);

fn at(address: &str, port: u16) -> std::net::SocketAddr {
    std::net::SocketAddr::new(address.parse().unwrap(), port)
}

/// Until the last connection gave its port back.
async fn until_none_is_left(stack: &crate::Netstack) {
    timeout(LONG, stack.until_idle()).await.unwrap();
    assert_eq!(stack.stats().connections, 0);
}

#[tokio::test]
async fn what_is_written_comes_back_in_both_families() {
    let (stack, _, _) = stack(&[], &[]);
    for address in [V4, V6] {
        let stream = stack.tcp_connect(at(address, 7)).await.unwrap();
        assert_eq!(stream.peer_addr(), at(address, 7));
        let (mut reader, mut writer) = tokio::io::split(stream);
        let sent: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 253) as u8).collect();
        let copy = sent.clone();
        let writing = tokio::spawn(async move {
            writer.write_all(&copy).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut got = Vec::new();
        timeout(LONG, reader.read_to_end(&mut got))
            .await
            .unwrap()
            .unwrap();
        writing.await.unwrap();
        assert!(got == sent, "{} bytes came back", got.len());
    }
    assert_eq!(stack.stats().refused, 0);
}

#[tokio::test]
async fn many_connections_move_bytes_at_once() {
    let (stack, _, _) = stack(&[], &[]);
    let mut downloads = tokio::task::JoinSet::new();
    for number in 0..60 {
        let stack = stack.clone();
        downloads.spawn(async move {
            let address = if number % 2 == 0 { V4 } else { V6 };
            let mut stream = stack.tcp_connect(at(address, 19)).await.unwrap();
            let mut got = Vec::new();
            timeout(LONG, stream.read_to_end(&mut got))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(got.len(), SOURCE_BYTES);
        });
    }
    while let Some(done) = downloads.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_tunnel_that_does_not_take_packets_holds_the_writer_back() {
    let (stack, link) = crate::Netstack::new(crate::Config {
        v4: Some([10, 77, 0, 2].into()),
        outbox: 32,
        ..crate::Config::default()
    });
    for _ in 0..200 {
        let stack = stack.clone();
        tokio::spawn(async move { stack.tcp_connect(at(V4, 7)).await });
    }
    // Each begins with a packet, whether there is room or not.
    let all_began = async {
        while stack.stats().waiting < 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, all_began).await.unwrap();
    let udp = stack.udp_bind().unwrap();
    for _ in 0..1000 {
        udp.send_to(&[0; 1000], at(V4, 9)).unwrap();
    }
    let mut packets = Vec::new();
    link.next_batch(&mut packets, usize::MAX).await;
    assert!((200..=232).contains(&packets.len()), "{}", packets.len());
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    let (stack, _, _) = stack(&[], &[]);
    for address in [V4, V6] {
        let refused = stack.tcp_connect(at(address, 81)).await.err();
        assert_eq!(refused, Some(ConnectError::Refused));
    }
    until_none_is_left(&stack).await;
}

#[tokio::test]
async fn a_router_that_knows_no_way_ends_the_attempt() {
    let (stack, _, world) = stack(&[], &[]);
    for address in [V4, V6] {
        world.unreachable.lock().insert(address.parse().unwrap());
        let attempt = timeout(LONG, stack.tcp_connect(at(address, 7))).await;
        assert_eq!(attempt.unwrap().err(), Some(ConnectError::Unreachable));
    }
}

#[tokio::test]
async fn an_attempt_that_is_dropped_leaves_nothing_behind() {
    let (stack, _, world) = stack(&[], &[]);
    world.dead.lock().insert(V4.parse().unwrap());
    let attempt = timeout(Duration::from_millis(30), stack.tcp_connect(at(V4, 7))).await;
    assert!(attempt.is_err());
    until_none_is_left(&stack).await;
}

#[tokio::test]
async fn a_router_with_a_small_mtu_is_obeyed_and_remembered() {
    for address in [V4, V6] {
        let (stack, _, world) = stack(&[], &[]);
        let stream = stack.tcp_connect(at(address, 7)).await.unwrap();
        world.narrow.store(1280, Ordering::Relaxed);
        let sent = vec![3; 500_000];
        let (mut reader, mut writer) = tokio::io::split(stream);
        let writing = async {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let ((), read) = tokio::join!(writing, timeout(LONG, reader.read_to_end(&mut got)));
        read.unwrap().unwrap();
        assert!(got == sent);
        let host = address.parse().unwrap();
        assert_eq!(stack.mtu_to(host), 1280, "the next connection knows");
    }
}

#[tokio::test]
async fn a_closed_stack_ends_reads_and_writes() {
    let (stack, _, _) = stack(&[], &[]);
    let mut stream = stack.tcp_connect(at(V4, 7)).await.unwrap();
    let reading = tokio::spawn(async move { stream.read_u8().await });
    tokio::task::yield_now().await;
    stack.close();
    let ended = timeout(LONG, reading).await.unwrap().unwrap();
    assert_eq!(
        ended.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionAborted
    );
    until_none_is_left(&stack).await;
}

#[tokio::test]
async fn echoes_measure_the_way_and_its_width() {
    let (stack, _, world) = stack(&[], &[]);
    for address in [V4, V6] {
        let host = address.parse().unwrap();
        stack.ping(host, 100, LONG).await.unwrap();
        world.narrow.store(1300, Ordering::Relaxed);
        let best = stack.probe_mtu(host, &[1200, 1280, 1300, 1360, 1420]).await;
        assert_eq!(best, Some(1300));
        world.narrow.store(usize::MAX, Ordering::Relaxed);
    }
    world.dead.lock().insert(V4.parse().unwrap());
    let patience = Duration::from_millis(20);
    let silence = stack.ping(V4.parse().unwrap(), 100, patience).await;
    assert_eq!(silence, Err(PingError::TimedOut));
    assert_eq!(
        stack.ping(V6.parse().unwrap(), 20, LONG).await,
        Err(PingError::Size)
    );
}

#[tokio::test]
async fn names_have_the_addresses_that_the_inside_says() {
    for server in ["10.50.0.53", "fd00::53"] {
        let (stack, _, world) = stack(&[server], &["example"]);
        let both: Vec<std::net::IpAddr> = vec![V6.parse().unwrap(), V4.parse().unwrap()];
        assert_eq!(stack.resolve("intra.example").await.unwrap(), both);
        let asked = world.asked[0].load(Ordering::Relaxed);
        assert_eq!(stack.resolve("Intra.Example.").await.unwrap(), both);
        assert_eq!(world.asked[0].load(Ordering::Relaxed), asked, "from memory");
        stack.resolve_fresh("intra.example").await.unwrap();
        assert!(
            world.asked[0].load(Ordering::Relaxed) > asked,
            "asked again"
        );
        assert_eq!(stack.resolve("intra").await.unwrap(), both, "completed");
        assert_eq!(
            stack.resolve("only4.example").await.unwrap(),
            [V4.parse::<std::net::IpAddr>().unwrap()]
        );
        assert_eq!(
            stack.resolve("nobody.example").await,
            Err(ResolveError::NoSuchName)
        );
        assert_eq!(
            stack.resolve("empty.example").await,
            Err(ResolveError::NoAddress)
        );
        assert_eq!(
            stack.resolve("broken.example").await,
            Err(ResolveError::Failed)
        );
        assert_eq!(
            stack.resolve(&"x".repeat(300)).await,
            Err(ResolveError::BadName)
        );
        assert_eq!(stack.resolve("").await, Err(ResolveError::BadName));
        assert_eq!(
            world.asked[1].load(Ordering::Relaxed),
            0,
            "nothing over TCP"
        );
    }
}

#[tokio::test]
async fn an_answer_that_was_cut_short_is_asked_again_over_tcp() {
    let (stack, _, world) = stack(&["fd00::53"], &[]);
    *world.truncates.lock() = true;
    let addresses = stack.resolve("intra.example").await.unwrap();
    assert_eq!(addresses.len(), 2);
    assert_eq!(world.asked[1].load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_dead_resolver_is_passed_over_and_silence_ends() {
    let (one_left, _, world) = stack(&["10.50.0.1", "10.50.0.53"], &[]);
    world.dead.lock().insert("10.50.0.1".parse().unwrap());
    assert!(
        timeout(LONG, one_left.resolve("intra.example"))
            .await
            .unwrap()
            .is_ok()
    );
    world.dead.lock().insert("10.50.0.53".parse().unwrap());
    let silence = timeout(LONG, one_left.resolve_fresh("intra.example")).await;
    assert_eq!(silence.unwrap(), Err(ResolveError::TimedOut));
    let (none, _, _) = stack(&[], &[]);
    assert_eq!(
        none.resolve("intra.example").await,
        Err(ResolveError::NoResolver)
    );
    assert_eq!(none.resolve("10.1.2.3").await.unwrap().len(), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_thousand_open_connections_take_little_memory() {
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
    let (stack, _, _) = stack(&[], &[]);
    let before = resident();
    let mut open = Vec::new();
    for _ in 0..1000 {
        let mut stream = stack.tcp_connect(at(V4, 7)).await.unwrap();
        stream.write_all(&vec![1; 20_000]).await.unwrap();
        stream.read_exact(&mut vec![0; 20_000]).await.unwrap();
        open.push(stream);
    }
    assert_eq!(stack.stats().connections, 1000);
    // Both ends are in this process.
    let grown = resident().saturating_sub(before);
    assert!(grown < 100_000, "{grown} KiB for 1,000 connections");
    drop(open);
}
