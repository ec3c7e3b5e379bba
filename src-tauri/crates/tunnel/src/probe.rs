//! The proof that data arrives: a request through the tunnel to a server inside, over TLS with the
//! pinned authority, and the expected answer. The same request without the tunnel tells whether a
//! tunnel is needed at all.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use netstack::{Netstack, ResolveError};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::exchange::exchange;
use crate::policy::{Host, Policy};
use crate::state::{Depth, Doubt, Underneath};

/// Longest whole probe: name, connection, TLS and answer are four round trips and a lost packet.
const WHOLE_DEADLINE: Duration = Duration::from_millis(2500);
/// Longest light probe: a lost packet, and as many round trips as a whole probe on a usual line.
const LIGHT_DEADLINE: Duration = Duration::from_millis(1300);
/// On a slow line a light probe may take so many times what the last answer took, and at most this:
/// with the second between two probes a state is right within three.
const SLOW_LINE: u32 = 8;
const LIGHT_DEADLINE_MAX: Duration = Duration::from_millis(1800);
/// Every so many light probes begin with a connection of their own.
const WHOLE_EVERY: u32 = 24;
/// Longest answer of a resolver inside.
const NAMES_DEADLINE: Duration = Duration::from_millis(1400);
/// Pause before resolvers that failed at once are asked again.
const NAMES_AGAIN: Duration = Duration::from_millis(300);
/// Longest look whether the inside answers without the tunnel.
const OUTSIDE_DEADLINE: Duration = Duration::from_millis(1500);
/// Size of an echo request that shows that packets come back, bytes of the IP packet.
const SMALL_ECHO: usize = 64;

/// What is asked, and what must be answered.
#[derive(Clone)]
pub struct Probe {
    /// Trusts the pinned authority and nobody else.
    pub tls: Arc<rustls::ClientConfig>,
    /// Name or address of a server inside; the certificate must be for it.
    pub host: Host,
    pub port: u16,
    /// Path with its query, from `/`.
    pub path: String,
    /// Text that the answer (status 200) must contain.
    pub expect: String,
    /// Pause between probes while the tunnel is in use; `None`: 1 s, which keeps a wrong "up"
    /// under three seconds.
    pub every: Option<Duration>,
}

/// A request over plain http whose answer is known: whoever answers otherwise is a portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderlayCheck {
    pub host: String,
    pub port: u16,
    pub path: String,
    pub status: u16,
    /// Text that the answer must contain; empty: anything.
    pub expect: String,
}

/// Probes through one network stack, and keeps the connection of the last one.
pub(crate) struct Prober {
    probe: Probe,
    policy: Arc<Policy>,
    stack: Netstack,
    echo: Option<IpAddr>,
    kept: Mutex<Option<TlsStream<netstack::TcpStream>>>,
    lights: AtomicU32,
    /// What the last answer took, milliseconds.
    took: AtomicU32,
}

impl Prober {
    pub(crate) fn new(
        probe: Probe,
        policy: Arc<Policy>,
        stack: Netstack,
        echo: Option<IpAddr>,
    ) -> Self {
        Self {
            probe,
            policy,
            stack,
            echo,
            kept: Mutex::new(None),
            lights: AtomicU32::new(0),
            took: AtomicU32::new(0),
        }
    }

    /// Answers with the time of one round trip through the whole path.
    pub(crate) async fn probe(&self, depth: Depth) -> Result<Duration, Doubt> {
        match depth {
            Depth::Whole => self.whole(Instant::now() + WHOLE_DEADLINE).await,
            Depth::Light => {
                let slow = Duration::from_millis(self.took.load(Relaxed).into()) * SLOW_LINE;
                let deadline = Instant::now() + slow.clamp(LIGHT_DEADLINE, LIGHT_DEADLINE_MAX);
                let lights = self.lights.fetch_add(1, Relaxed);
                let kept = self.kept.lock().await.take();
                let Some(kept) =
                    kept.filter(|_| !lights.wrapping_add(1).is_multiple_of(WHOLE_EVERY))
                else {
                    return self.whole(deadline).await;
                };
                let (asked, names) = tokio::join!(
                    timeout_at(deadline, self.ask(kept)),
                    timeout_at(deadline, self.names())
                );
                match asked {
                    Ok(Ok(round_trip)) => match names {
                        Ok(Ok(_)) => Ok(round_trip),
                        Ok(Err(doubt)) => Err(doubt),
                        Err(_) => Err(Doubt::NamesDead),
                    },
                    Ok(Err(Doubt::NoAnswer)) => {
                        // The server ended the connection: that is its right.
                        self.whole(deadline).await
                    }
                    Ok(Err(doubt)) => Err(doubt),
                    Err(_) => Err(Doubt::NoAnswer),
                }
            }
        }
    }

    async fn whole(&self, deadline: Instant) -> Result<Duration, Doubt> {
        *self.kept.lock().await = None;
        // The echo tells dead resolvers from a dead tunnel. It is waited for only then.
        let (names, echo) = (self.names(), self.echo());
        tokio::pin!(names, echo);
        let mut echoed = None;
        let names = loop {
            tokio::select! {
                names = timeout_at(deadline, &mut names) => {
                    break names.unwrap_or(Err(Doubt::NamesDead));
                }
                answered = &mut echo, if echoed.is_none() => echoed = Some(answered),
            }
        };
        let addresses = match names {
            Err(Doubt::NamesDead) => {
                let alive = match echoed {
                    Some(alive) => alive,
                    None => echo.await,
                };
                return Err(if alive {
                    Doubt::NamesDead
                } else {
                    Doubt::NoAnswer
                });
            }
            names => names?,
        };
        let attempt = async {
            let mut last = Doubt::NoAnswer;
            for address in addresses {
                match self
                    .connect(SocketAddr::new(address, self.probe.port))
                    .await
                {
                    Ok(stream) => return self.ask(stream).await,
                    Err(doubt) => last = doubt,
                }
            }
            Err(last)
        };
        timeout_at(deadline, attempt)
            .await
            .unwrap_or(Err(Doubt::NoAnswer))
    }

    /// Addresses of the probe's server that are inside.
    async fn names(&self) -> Result<Vec<IpAddr>, Doubt> {
        let addresses = match &self.probe.host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => timeout(NAMES_DEADLINE, self.ask_resolvers(name))
                .await
                .unwrap_or(Err(Doubt::NamesDead))?,
        };
        let inside: Vec<IpAddr> = addresses
            .into_iter()
            .filter(|address| self.policy.is_inside(*address))
            .collect();
        if inside.is_empty() {
            Err(Doubt::NamesLie)
        } else {
            Ok(inside)
        }
    }

    /// Past the cache: it is the resolvers that are looked at. One that is being restarted refuses
    /// at once and answers a moment later, so it is asked twice.
    async fn ask_resolvers(&self, name: &str) -> Result<Vec<IpAddr>, Doubt> {
        let mut again = true;
        loop {
            match self.stack.resolve_fresh(name).await {
                Ok(addresses) => return Ok(addresses),
                Err(ResolveError::NoSuchName | ResolveError::NoAddress | ResolveError::BadName) => {
                    return Err(Doubt::NamesLie);
                }
                Err(_) if again => {
                    again = false;
                    tokio::time::sleep(NAMES_AGAIN).await;
                }
                Err(_) => return Err(Doubt::NamesDead),
            }
        }
    }

    /// Did anything come back? Without somebody to ask, what came in meanwhile answers.
    async fn echo(&self) -> bool {
        let before = self.stack.stats().packets_in;
        let answered = match self.echo {
            Some(echo) => self
                .stack
                .ping(echo, SMALL_ECHO, NAMES_DEADLINE)
                .await
                .is_ok(),
            None => false,
        };
        answered || self.stack.stats().packets_in > before
    }

    async fn connect(&self, to: SocketAddr) -> Result<TlsStream<netstack::TcpStream>, Doubt> {
        let stream = self
            .stack
            .tcp_connect(to)
            .await
            .map_err(|error| match error {
                // Somebody refused: packets do come back.
                netstack::ConnectError::Refused => Doubt::WrongAnswer,
                _ => Doubt::NoAnswer,
            })?;
        secure(&self.probe, stream).await
    }

    async fn ask(&self, mut stream: TlsStream<netstack::TcpStream>) -> Result<Duration, Doubt> {
        let asked = Instant::now();
        let reusable = is_expected(&self.probe, &mut stream).await?;
        let round_trip = asked.elapsed();
        let took = u32::try_from(round_trip.as_millis()).unwrap_or(u32::MAX);
        self.took.store(took, Relaxed);
        if reusable {
            *self.kept.lock().await = Some(stream);
        }
        Ok(round_trip)
    }
}

/// Does the inside answer through the system, without the tunnel? The system's resolver is asked
/// for a name inside; its answer must be inside.
pub(crate) async fn answers_without_tunnel(probe: &Probe, policy: &Policy) -> bool {
    let attempt = async {
        let addresses = match &probe.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => tokio::net::lookup_host((format!("{name}."), 0))
                .await
                .ok()?
                .map(|address| address.ip())
                .collect(),
        };
        for address in addresses {
            if !policy.is_inside(address) {
                continue;
            }
            let to = SocketAddr::new(address, probe.port);
            if let Ok(stream) = TcpStream::connect(to).await
                && let Ok(mut stream) = secure(probe, stream).await
                && is_expected(probe, &mut stream).await.is_ok()
            {
                return Some(());
            }
        }
        None
    };
    matches!(timeout(OUTSIDE_DEADLINE, attempt).await, Ok(Some(())))
}

/// What does the underlay do with a request of known answer?
pub(crate) async fn look_underneath(check: &UnderlayCheck) -> Underneath {
    let attempt = async {
        let mut stream = TcpStream::connect((check.host.as_str(), check.port)).await?;
        exchange(
            &mut stream,
            &authority(&check.host, check.port, 80),
            &check.path,
        )
        .await
    };
    match timeout(OUTSIDE_DEADLINE, attempt).await {
        Ok(Ok(answer)) => {
            if answer.status == check.status && contains(&answer.body, &check.expect) {
                Underneath::Clear
            } else {
                Underneath::Captive
            }
        }
        // Something that answers but speaks no HTTP is not the one that was asked.
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Underneath::Captive,
        Ok(Err(_)) | Err(_) => Underneath::Unknown,
    }
}

async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    probe: &Probe,
    stream: S,
) -> Result<TlsStream<S>, Doubt> {
    let name = match &probe.host {
        Host::Address(address) => ServerName::from(*address),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| Doubt::WrongAnswer)?,
    };
    TlsConnector::from(probe.tls.clone())
        .connect(name, stream)
        .await
        .map_err(|error| doubt(&error))
}

/// Asks, and answers whether the connection can be used again.
async fn is_expected(
    probe: &Probe,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Result<bool, Doubt> {
    let authority = authority(&probe.host.to_string(), probe.port, 443);
    let answer = exchange(stream, &authority, &probe.path)
        .await
        .map_err(|error| doubt(&error))?;
    if answer.status == 200 && contains(&answer.body, &probe.expect) {
        Ok(answer.reusable)
    } else {
        Err(Doubt::WrongAnswer)
    }
}

fn doubt(error: &io::Error) -> Doubt {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => Doubt::Impostor,
        Some(_) => Doubt::WrongAnswer,
        None if error.kind() == io::ErrorKind::InvalidData => Doubt::WrongAnswer,
        None => Doubt::NoAnswer,
    }
}

fn authority(host: &str, port: u16, usual: u16) -> String {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    if port == usual {
        host
    } else {
        format!("{host}:{port}")
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    text.is_empty()
        || body
            .windows(text.len())
            .any(|window| window == text.as_bytes())
}
