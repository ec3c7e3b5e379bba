#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(10);

struct Place {
    port: u16,
    tls: Arc<rustls::ClientConfig>,
    udp: UdpSocket,
    relay: tokio::task::JoinHandle<io::Error>,
}

/// A relay on this machine in front of a UDP port that the test reads.
async fn place(limits: RelayLimits) -> Place {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let server = rustls::ServerConfig::builder().with_no_client_auth();
    let server = server
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    // A test has no `network` crate to ask.
    #[allow(clippy::disallowed_methods)]
    let client = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let relay = Relay::new(
        Arc::new(server),
        "/wireguard",
        udp.local_addr().unwrap(),
        limits,
    );
    let relay = tokio::spawn(async move { relay.serve(listener).await });
    Place {
        port,
        tls: Arc::new(client),
        udp,
        relay,
    }
}

impl Place {
    async fn channel(&self, path: &str) -> io::Result<Arc<dyn Channel>> {
        let carrier = WebSocket::new(
            &format!("wss://localhost:{}{path}", self.port),
            self.tls.clone(),
        )?;
        timeout(SOON, carrier.open()).await.unwrap()
    }
}

#[tokio::test]
async fn datagrams_of_every_size_pass_both_ways_one_by_one() {
    let place = place(RelayLimits::default()).await;
    let channel = place.channel("/wireguard").await.unwrap();
    let sizes = [1, 148, 1420, 60_000];
    let mut batch: Vec<_> = sizes.iter().map(|size| BytesMut::zeroed(*size)).collect();
    batch.insert(2, BytesMut::zeroed(LARGEST + 1));
    channel.send(&mut batch).await.unwrap();
    assert!(batch.is_empty());
    let mut buffer = vec![0; LARGEST];
    for size in sizes {
        let (read, from) = timeout(SOON, place.udp.recv_from(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(read, size);
        place.udp.send_to(&buffer[..read], from).await.unwrap();
    }
    let mut back = Vec::new();
    while back.len() < sizes.len() {
        timeout(SOON, channel.receive(&mut back))
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(back.iter().map(BytesMut::len).collect::<Vec<_>>(), sizes);
}

#[tokio::test]
async fn another_path_leads_nowhere() {
    let place = place(RelayLimits::default()).await;
    let error = place.channel("/other").await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_strangers_certificate_is_no_way() {
    let place = place(RelayLimits::default()).await;
    let other = self::place(RelayLimits::default()).await;
    let url = format!("wss://localhost:{}/wireguard", place.port);
    let carrier = WebSocket::new(&url, other.tls).unwrap();
    let error = timeout(SOON, carrier.open()).await.unwrap().err().unwrap();
    assert!(matches!(
        tls::behind(&error),
        Some(rustls::Error::InvalidCertificate(_))
    ));
}

#[tokio::test]
async fn a_client_that_says_nothing_is_sent_away_and_its_channel_says_so() {
    let limits = RelayLimits {
        silence: Duration::from_millis(100),
        ..RelayLimits::default()
    };
    let place = place(limits).await;
    let channel = place.channel("/wireguard").await.unwrap();
    let ended = timeout(SOON, channel.receive(&mut Vec::new()))
        .await
        .unwrap();
    assert!(ended.is_err());
}

#[tokio::test]
async fn a_relay_that_ends_closes_the_channels() {
    let place = place(RelayLimits::default()).await;
    let channel = place.channel("/wireguard").await.unwrap();
    place.relay.abort();
    let ended = timeout(SOON, channel.receive(&mut Vec::new()))
        .await
        .unwrap();
    assert!(ended.is_err());
}

#[test]
fn only_addresses_of_secure_websockets_are_taken() {
    let tls = || {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        #[allow(clippy::disallowed_methods)]
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        Arc::new(config)
    };
    assert!(WebSocket::new("wss://gate.example/wireguard", tls()).is_ok());
    for url in [
        "",
        "ws://gate.example/",
        "https://gate.example/",
        "wss:///x",
        "wss://[::1",
        "gate.example",
    ] {
        assert!(WebSocket::new(url, tls()).is_err(), "{url}");
    }
}
