#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use futures_util::future::BoxFuture;
use netstack::Link;
use parking_lot::Mutex;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::policy::Other;
use crate::source::{Ended, Health, Inside, Kick, Refusal};

/// A source that does as it is told, and no packet ever comes out of it.
struct Told {
    opens: AtomicU32,
    kicks: Mutex<Vec<Kick>>,
    answer: Mutex<Option<Ended>>,
    sessions: watch::Sender<u64>,
}

impl Told {
    fn new(answer: Option<Ended>) -> Arc<Self> {
        Arc::new(Self {
            opens: AtomicU32::new(0),
            kicks: Mutex::default(),
            answer: Mutex::new(answer),
            sessions: watch::Sender::new(0),
        })
    }
}

impl PacketSource for Told {
    fn open(&self) -> BoxFuture<'_, Result<Inside, Ended>> {
        self.opens.fetch_add(1, SeqCst);
        let answer = self.answer.lock().clone();
        Box::pin(async move {
            answer.map_or_else(
                || {
                    Ok(Inside {
                        v4: Some([10, 77, 0, 2].into()),
                        v6: None,
                        dns: Vec::new(),
                        search: Vec::new(),
                        mtu: 1420,
                        echo: None,
                        networks: Vec::new(),
                    })
                },
                Err,
            )
        })
    }

    fn run(&self, _: Link) -> BoxFuture<'_, Ended> {
        Box::pin(std::future::pending())
    }

    fn kick(&self, kick: Kick) {
        self.kicks.lock().push(kick);
    }

    fn health(&self) -> Health {
        Health {
            session_age: None,
            sent: 0,
            received: 0,
            last_sent: None,
            last_received: None,
            way: "told",
        }
    }

    fn sessions(&self) -> watch::Receiver<u64> {
        self.sessions.subscribe()
    }

    fn gateways(&self) -> Vec<SocketAddr> {
        vec!["127.0.0.1:9".parse().unwrap()]
    }
}

/// A server on this device, which stands for the inside when the system reaches it by itself.
struct Site {
    address: SocketAddr,
    trusting: Arc<rustls::ClientConfig>,
}

async fn site(body: &'static str) -> Site {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut buffer = [0; 2048];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    let length = body.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Site {
        address,
        trusting: trusting(Some(made.cert.der().clone())),
    }
}

/// Tests make their own TLS configurations; in the product `network` does.
#[allow(clippy::disallowed_methods)]
fn trusting(
    certificate: Option<rustls::pki_types::CertificateDer<'static>>,
) -> Arc<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    if let Some(certificate) = certificate {
        roots.add(certificate).unwrap();
    }
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn settings(source: Arc<Told>, site: Option<&Site>) -> Settings {
    let address = site.map_or_else(|| "10.50.0.80:443".parse().unwrap(), |site| site.address);
    Settings {
        source,
        policy: Policy {
            suffixes: Vec::new(),
            networks: vec![ipnet::IpNet::from(address.ip())],
            ports: Vec::new(),
            other: Other::Refused,
        },
        probe: Probe {
            tls: site.map_or_else(|| trusting(None), |site| site.trusting.clone()),
            host: Host::address(address.ip()),
            port: address.port(),
            path: "/".to_owned(),
            expect: "alive".to_owned(),
            every: None,
        },
        underlay: None,
        coexist: false,
        netstack: Config::default(),
    }
}

async fn becomes(tunnel: &Tunnel, state: State, why: Why) -> Snapshot {
    let mut states = tunnel.states();
    let wanted = states.wait_for(|now| (now.state, now.why) == (state, why));
    let Ok(now) = timeout(Duration::from_secs(20), wanted).await else {
        panic!("{state:?} {why}, but it is {:?}", tunnel.states().borrow());
    };
    now.unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_silent_gateway_is_down_in_time_and_refuses_connections_with_the_reason() {
    let source = Told::new(None);
    let began = Instant::now();
    let tunnel = Tunnel::start(settings(source.clone(), None));
    let now = becomes(&tunnel, State::Down, Why::GatewaySilent).await;
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(now.retry_at.is_some());
    let host = Host::parse("10.50.0.80").unwrap();
    let refused = tunnel.connect(&host, 443).await;
    assert_eq!(
        refused.err(),
        Some(ConnectError::NotConnected(Why::GatewaySilent))
    );
    assert_eq!(
        source.opens.load(SeqCst),
        1,
        "it goes on with the same source"
    );
    assert!(source.kicks.lock().contains(&Kick::Silent));
}

#[tokio::test(start_paused = true)]
async fn a_session_without_an_answer_through_it_is_never_up() {
    let source = Told::new(None);
    let tunnel = Tunnel::start(settings(source.clone(), None));
    becomes(&tunnel, State::Connecting, Why::Starting).await;
    source.sessions.send_modify(|count| *count += 1);
    becomes(&tunnel, State::Verifying, Why::SessionMade).await;
    becomes(&tunnel, State::Degraded, Why::NoAnswerInside).await;
    becomes(&tunnel, State::Down, Why::GatewaySilent).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_waits_until_somebody_signed_in() {
    let source = Told::new(Some(Ended::Refused(Refusal::SignInAgain)));
    let tunnel = Tunnel::start(settings(source.clone(), None));
    becomes(&tunnel, State::Blocked, Why::SignInAgain).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(source.opens.load(SeqCst), 1);
    *source.answer.lock() = None;
    tunnel.retry_now();
    becomes(&tunnel, State::Connecting, Why::Retrying).await;
    assert_eq!(source.opens.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_gateway_is_tried_every_second_and_a_stop_ends_that() {
    let source = Told::new(Some(Ended::Unreachable));
    let tunnel = Tunnel::start(settings(source.clone(), None));
    becomes(&tunnel, State::Down, Why::GatewayUnreachable).await;
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    assert!((5..=8).contains(&source.opens.load(SeqCst)));
    let dialer = tunnel.dialer();
    tunnel.stop().await;
    let opened = source.opens.load(SeqCst);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(source.opens.load(SeqCst), opened);
    let host = Host::parse("10.50.0.80").unwrap();
    assert_eq!(
        dialer.connect(&host, 443).await.err(),
        Some(ConnectError::NotConnected(Why::Stopped))
    );
}

#[tokio::test]
async fn where_the_system_reaches_the_inside_nothing_is_started_and_connections_go_through_it() {
    let site = site("alive and well").await;
    let source = Told::new(None);
    let tunnel = Tunnel::start(Settings {
        coexist: true,
        ..settings(source.clone(), Some(&site))
    });
    becomes(&tunnel, State::Down, Why::InsideAlready).await;
    let host = Host::address(site.address.ip());
    let stream = tunnel.connect(&host, site.address.port()).await.unwrap();
    assert!(!stream.is_inside_tunnel());
}

#[tokio::test]
async fn another_server_at_the_same_address_is_not_the_inside() {
    let (site, other) = (site("alive").await, site("alive").await);
    let wrong_certificate = Site {
        trusting: other.trusting,
        ..site
    };
    let source = Told::new(None);
    let tunnel = Tunnel::start(Settings {
        coexist: true,
        ..settings(source.clone(), Some(&wrong_certificate))
    });
    source.sessions.subscribe();
    becomes(&tunnel, State::Connecting, Why::Starting).await;
    becomes(&tunnel, State::Down, Why::GatewaySilent).await;
    assert_eq!(source.opens.load(SeqCst), 1);
}

#[tokio::test]
async fn a_portal_is_recognised_and_left_by_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (lets_through, gate) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let answer: &[u8] = if *gate.borrow() {
                b"HTTP/1.1 204 No Content\r\n\r\n"
            } else {
                b"HTTP/1.1 302 Found\r\nLocation: http://hotel.test/\r\nContent-Length: 0\r\n\r\n"
            };
            let _ = stream.write_all(answer).await;
        }
    });
    let tunnel = Tunnel::start(Settings {
        underlay: Some(UnderlayCheck {
            host: "127.0.0.1".to_owned(),
            port,
            path: "/alive".to_owned(),
            status: 204,
            expect: String::new(),
        }),
        ..settings(Told::new(None), None)
    });
    let began = Instant::now();
    becomes(&tunnel, State::Blocked, Why::CaptivePortal).await;
    assert!(began.elapsed() < Duration::from_secs(3));
    lets_through.send_replace(true);
    becomes(&tunnel, State::Connecting, Why::NetworkChanged).await;
    becomes(&tunnel, State::Down, Why::GatewaySilentNetworkFine).await;
}
