#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::process::Stdio;

use base64::Engine;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::watch;

use super::*;
use crate::dialer::Reach;
use crate::policy::{Other, Policy};
use crate::state::Why;

/// A destination "inside": the system reaches it, so no tunnel is needed for these tests. It
/// answers what it got, and says goodbye when it is told that nothing more comes.
struct Inside {
    address: SocketAddr,
    proxy: SocketAddr,
    credentials: Credentials,
    reach: watch::Sender<Reach>,
    dialer: Dialer,
    _tasks: JoinSet<()>,
}

async fn inside() -> Inside {
    let mut tasks = JoinSet::new();
    let destination = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = destination.local_addr().unwrap();
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = destination.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.write_all(b" goodbye").await;
                let _ = write.shutdown().await;
            });
        }
    });
    let (reach, receiver) = watch::channel(Reach::System);
    let policy = Policy {
        suffixes: vec!["corp.test".to_owned()],
        networks: vec!["127.0.0.1/32".parse().unwrap()],
        ports: Vec::new(),
        other: Other::Refused,
    };
    let dialer = Dialer::new(Arc::new(policy), receiver);
    let credentials = Credentials::random();
    let access = Access::of_this_program().or_with(credentials.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    tasks.spawn(serve(dialer.clone(), access, listener));
    Inside {
        address,
        proxy,
        credentials,
        reach,
        dialer,
        _tasks: tasks,
    }
}

impl Inside {
    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.proxy).await.unwrap()
    }

    fn socks_request(&self, command: u8) -> Vec<u8> {
        let mut request = vec![5, command, 0, 1, 127, 0, 0, 1];
        request.extend(self.address.port().to_be_bytes());
        request
    }

    /// Sends `message`, then nothing more; answers all that came back.
    async fn http(&self, message: &str) -> String {
        let mut client = self.client().await;
        client.write_all(message.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

async fn exactly<const N: usize>(client: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn rest(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn socks_carries_bytes_and_closes_each_direction_by_itself() {
    let inside = inside().await;
    let mut client = inside.client().await;
    client.write_all(&[5, 1, 0]).await.unwrap();
    assert_eq!(exactly(&mut client).await, [5, 0]);
    let mut request = inside.socks_request(1);
    // What follows in the same packet belongs to the destination.
    request.extend(b"hello");
    client.write_all(&request).await.unwrap();
    assert_eq!(exactly::<10>(&mut client).await[..2], [5, 0]);
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, b"hello goodbye");
}

#[tokio::test]
async fn socks_takes_the_password_and_nothing_like_it() {
    let inside = inside().await;
    for right in [true, false] {
        let mut client = inside.client().await;
        client.write_all(&[5, 2, 0, 2]).await.unwrap();
        assert_eq!(exactly(&mut client).await, [5, 2]);
        let Credentials { user, password } = &inside.credentials;
        let password = if right { password.as_str() } else { "wrong" };
        let mut message = vec![1, u8::try_from(user.len()).unwrap()];
        message.extend(user.as_bytes());
        message.push(u8::try_from(password.len()).unwrap());
        message.extend(password.as_bytes());
        client.write_all(&message).await.unwrap();
        assert_eq!(exactly(&mut client).await, [1, u8::from(!right)]);
        if right {
            client.write_all(&inside.socks_request(1)).await.unwrap();
            assert_eq!(exactly::<10>(&mut client).await[..2], [5, 0]);
        } else {
            assert!(rest(&mut client).await.is_empty());
        }
    }
}

#[tokio::test]
async fn what_socks_cannot_do_is_answered_with_its_own_code() {
    let inside = inside().await;
    let udp = 3;
    let bind = 2;
    let outside = vec![5, 1, 0, 1, 192, 0, 2, 1, 0, 80];
    let odd = vec![5, 1, 0, 9, 1, 2, 3, 4, 0, 80];
    let mut closed = inside.socks_request(1);
    closed[8..].copy_from_slice(&1u16.to_be_bytes());
    for (request, code) in [
        (inside.socks_request(udp), 7),
        (inside.socks_request(bind), 7),
        (outside, 2),
        (odd, 8),
        (closed, 5),
    ] {
        let mut client = inside.client().await;
        client.write_all(&[5, 1, 0]).await.unwrap();
        assert_eq!(exactly(&mut client).await, [5, 0]);
        client.write_all(&request).await.unwrap();
        let reply = exactly::<10>(&mut client).await;
        assert_eq!(reply[1], code, "{request:?}");
        assert!(
            rest(&mut client).await.is_empty(),
            "and the connection ends"
        );
    }
}

#[tokio::test]
async fn connect_joins_and_absolute_form_is_rewritten() {
    let inside = inside().await;
    let to = inside.address;
    let answer = inside
        .http(&format!("CONNECT {to} HTTP/1.1\r\n\r\nbytes"))
        .await;
    assert_eq!(
        answer,
        "HTTP/1.1 200 Connection established\r\n\r\nbytes goodbye"
    );
    let answer = inside
        .http(&format!(
            "POST http://{to}/a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"
        ))
        .await;
    assert_eq!(
        answer,
        format!(
            "POST /a HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n\
             hi goodbye"
        )
    );
}

#[tokio::test]
async fn http_says_why_not() {
    let inside = inside().await;
    let head = |answer: String| answer.lines().take(2).collect::<Vec<_>>().join(" ");
    let outside = inside.http("CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n").await;
    assert!(head(outside).starts_with("HTTP/1.1 403 Forbidden Proxy-Status: cordee"));
    let origin = inside.http("GET / HTTP/1.1\r\n\r\n").await;
    assert!(head(origin).starts_with("HTTP/1.1 400"));
    let closed = inside.http("CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n").await;
    assert!(head(closed).contains("connection_refused"));
    inside.reach.send_replace(Reach::Nowhere(Why::NoNetwork));
    let to = inside.address;
    let down = inside.http(&format!("CONNECT {to} HTTP/1.1\r\n\r\n")).await;
    assert!(head(down).starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn a_connection_waits_for_a_tunnel_that_is_being_set_up() {
    let inside = inside().await;
    inside.reach.send_replace(Reach::Soon);
    let host = Host::address(inside.address.ip());
    let (dialer, port) = (inside.dialer.clone(), inside.address.port());
    let waiting = tokio::spawn(async move { dialer.connect(&host, port).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    inside.reach.send_replace(Reach::System);
    assert!(waiting.await.unwrap().is_ok());
}

/// The test program itself, started anew, is a process of the same user that is no descendant of
/// the one that serves: the port's family begins at a child of ours that has no children.
#[tokio::test]
async fn a_foreign_process_gets_nothing_without_the_password() {
    let inside = inside().await;
    let mut stranger = Command::new("sleep")
        .arg("600")
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let family = Access::with_root(stranger.id().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap();
    let forwarding = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let forward_port = forwarding.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    let known = family.clone().or_with(inside.credentials.clone());
    tasks.spawn(serve(inside.dialer.clone(), known, listener));
    tasks.spawn(forward(
        inside.dialer.clone(),
        family,
        forwarding,
        Host::address(inside.address.ip()),
        inside.address.port(),
    ));

    let mut socks = TcpStream::connect(port).await.unwrap();
    socks.write_all(&[5, 1, 0]).await.unwrap();
    assert_eq!(rest(&mut socks).await, [5, 0xff]);

    let to = inside.address;
    let ask = async |header: &str| {
        let mut http = TcpStream::connect(port).await.unwrap();
        let message = format!("CONNECT {to} HTTP/1.1\r\n{header}\r\n");
        http.write_all(message.as_bytes()).await.unwrap();
        http.shutdown().await.unwrap();
        String::from_utf8(rest(&mut http).await).unwrap()
    };
    assert!(ask("").await.starts_with("HTTP/1.1 407"));
    assert!(
        ask("Proxy-Authorization: Basic eDp5\r\n")
            .await
            .starts_with("HTTP/1.1 407")
    );
    let Credentials { user, password } = &inside.credentials;
    let right = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let right = format!("Proxy-Authorization: Basic {right}\r\n");
    assert!(ask(&right).await.starts_with("HTTP/1.1 200"));

    let mut raw = TcpStream::connect(forward_port).await.unwrap();
    assert!(rest(&mut raw).await.is_empty(), "a forward just closes");
    stranger.kill().await.unwrap();
}

#[tokio::test]
async fn a_forward_joins_our_own_process_with_its_one_destination() {
    let inside = inside().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap();
    let task = tokio::spawn(forward(
        inside.dialer.clone(),
        Access::of_this_program(),
        listener,
        Host::address(inside.address.ip()),
        inside.address.port(),
    ));
    let mut client = TcpStream::connect(port).await.unwrap();
    // More than all buffers on the way hold.
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let (mut read, mut write) = client.split();
    let ((), received) = tokio::join!(
        async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        },
        async {
            let mut received = Vec::new();
            read.read_to_end(&mut received).await.unwrap();
            received
        }
    );
    assert!(received.strip_suffix(b" goodbye") == Some(&sent[..]));
    task.abort();
}

#[tokio::test]
async fn who_says_nothing_takes_no_place_from_others() {
    let inside = inside().await;
    let mut silent = Vec::new();
    for _ in 0..ENTERING {
        silent.push(inside.client().await);
    }
    // One more than may enter: turned away at once instead of waiting.
    let mut one_more = loop {
        let mut candidate = inside.client().await;
        let mut byte = [0];
        let turned_away = timeout(Duration::from_millis(200), candidate.read(&mut byte)).await;
        if matches!(turned_away, Ok(Ok(0) | Err(_))) {
            break candidate;
        }
        silent.push(candidate);
    };
    let _ = one_more.shutdown().await;
    // Once they are gone there is place again.
    drop(silent);
    loop {
        let mut client = inside.client().await;
        if client.write_all(&[5, 1, 0]).await.is_err() {
            continue;
        }
        let mut answer = [0; 2];
        if client.read_exact(&mut answer).await.is_ok() {
            assert_eq!(answer, [5, 0]);
            break;
        }
    }
}
