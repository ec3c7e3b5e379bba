//! The network between a client and the gateway, with its faults: each client has a line of its own.
//!
//! A line passes UDP to the gateway's `WireGuard`, and TCP to its WebSocket relay and its AnyConnect server. It can lose,
//! delay, reorder, double and swallow datagrams, hold TCP, and turn into a captive portal. Told what to do in JSON
//! lines on its input, one answer each; see [`Order`].

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UdpSocket;
use tokio::sync::{Mutex, RwLock, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::names::Names;
use super::portal::{Portal, passing};

/// `WireGuard`'s first message has this size and begins with this byte (its paper, §5.4.2).
const INITIATION: (u8, usize) = (1, 148);
/// Bytes of IPv4 and UDP in front of a datagram.
const HEADERS: usize = 28;
/// How much later a datagram comes that is overtaken.
const OVERTAKEN: Duration = Duration::from_millis(8);
/// Datagrams of the gateway that are kept for replaying.
const KEPT: usize = 32;
/// What a socket holds while we are busy, bytes. The system's own 208 KiB overflow at every burst: that would be a
/// line that loses, whatever was ordered.
const SOCKET: usize = 4 << 20;
/// Datagrams on their way in one direction.
const ON_THE_WAY: usize = 16_384;

/// What a line does to what it carries.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(default)]
pub struct Faults {
    /// Parts of a thousand that get lost, each way.
    pub loss: u32,
    /// Parts of a thousand that come twice.
    pub duplicate: u32,
    /// Parts of a thousand that others overtake.
    pub reorder: u32,
    /// One way, in milliseconds.
    pub delay: u64,
    /// Larger IP packets vanish without a word; bytes.
    pub largest: usize,
    /// Whether datagrams pass at all.
    pub udp: bool,
    pub tcp: Tcp,
}

/// What happens to TCP.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Tcp {
    Passes,
    /// Nothing moves any more, and nothing is said.
    Hangs,
    /// Somebody else answers, whoever was called.
    Portal,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            loss: 0,
            duplicate: 0,
            reorder: 0,
            delay: 0,
            largest: 65_535,
            udp: true,
            tcp: Tcp::Passes,
        }
    }
}

impl Faults {
    /// No datagram passes.
    pub fn no_udp() -> Self {
        Self {
            udp: false,
            ..Self::default()
        }
    }

    /// No way at all.
    pub fn cut() -> Self {
        Self {
            tcp: Tcp::Hangs,
            ..Self::no_udp()
        }
    }

    /// A captive portal.
    pub fn portal() -> Self {
        Self {
            tcp: Tcp::Portal,
            ..Self::no_udp()
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// A new line to these: answered with its ports.
    Open {
        udp: SocketAddr,
        websocket: SocketAddr,
        anyconnect: SocketAddr,
    },
    Faults {
        line: usize,
        faults: Faults,
    },
    /// Sends the client's last handshake and the gateway's last datagrams once more, from elsewhere.
    Replay {
        line: usize,
    },
    /// How much a line carried, and which names were asked for outside.
    Report {
        line: usize,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ports {
    pub line: usize,
    pub udp: u16,
    pub websocket: u16,
    pub anyconnect: u16,
    /// A page without TLS that says `open`, unless somebody else answers.
    pub page: u16,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    pub up: u64,
    pub down: u64,
    /// Asked of the resolver outside, by anybody.
    pub names: Vec<String>,
    pub replayed: usize,
}

struct Line {
    faults: watch::Sender<Faults>,
    up: AtomicU64,
    down: AtomicU64,
    outer: UdpSocket,
    to: SocketAddr,
    clients: RwLock<HashMap<SocketAddr, Arc<UdpSocket>>>,
    kept: Mutex<Kept>,
    /// What is delayed, one queue for each direction: a line does not exchange places unless it was ordered to.
    late: [mpsc::Sender<Late>; 2],
}

/// A datagram on its way.
struct Late {
    due: Instant,
    datagram: Vec<u8>,
    target: Target,
}

#[derive(Default)]
struct Kept {
    initiation: Option<Vec<u8>>,
    client: Option<SocketAddr>,
    answers: std::collections::VecDeque<Vec<u8>>,
}

/// Serves orders until the input ends.
pub async fn run(address: IpAddr, certificate: &str, key: &str) -> Result<()> {
    let portal = Arc::new(Portal::new(certificate, key)?);
    let names = Names::serve(address).await?;
    portal.serve_outside((address, 80).into()).await?;
    let mut lines: Vec<Arc<Line>> = Vec::new();
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let mut output = tokio::io::stdout();
    while let Some(text) = orders.next_line().await? {
        let order: Order = serde_json::from_str(&text).context("an order")?;
        let line = |at: usize| lines.get(at).cloned().context("there is no such line");
        let answer = match order {
            Order::Open {
                udp,
                websocket,
                anyconnect,
            } => {
                let outer = bind((address, 0).into()).await?;
                let faults = watch::Sender::new(Faults::default());
                let tcp = |to| passing(address, Some(to), faults.subscribe(), portal.clone());
                let ports = Ports {
                    line: lines.len(),
                    udp: outer.local_addr()?.port(),
                    websocket: tcp(websocket).await?,
                    anyconnect: tcp(anyconnect).await?,
                    page: passing(address, None, faults.subscribe(), portal.clone()).await?,
                };
                lines.push(Line::open(outer, udp, faults));
                serde_json::to_string(&ports)?
            }
            Order::Faults { line: at, faults } => {
                line(at)?.faults.send_replace(faults);
                "{}".to_owned()
            }
            Order::Replay { line: at } => {
                let replayed = line(at)?.replay().await?;
                serde_json::to_string(&Report {
                    replayed,
                    ..Report::default()
                })?
            }
            Order::Report { line: at } => {
                let line = line(at)?;
                serde_json::to_string(&Report {
                    up: line.up.load(Ordering::Relaxed),
                    down: line.down.load(Ordering::Relaxed),
                    names: names.asked(),
                    replayed: 0,
                })?
            }
        };
        output.write_all(format!("{answer}\n").as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}

impl Line {
    fn open(outer: UdpSocket, to: SocketAddr, faults: watch::Sender<Faults>) -> Arc<Self> {
        let (up, upwards) = mpsc::channel(ON_THE_WAY);
        let (down, downwards) = mpsc::channel(ON_THE_WAY);
        let line = Arc::new(Self {
            late: [up, down],
            faults,
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            outer,
            to,
            clients: RwLock::default(),
            kept: Mutex::default(),
        });
        tokio::spawn(line.clone().upwards());
        for way in [upwards, downwards] {
            tokio::spawn(line.clone().deliver(way));
        }
        line
    }

    async fn deliver(self: Arc<Self>, mut way: mpsc::Receiver<Late>) {
        while let Some(late) = way.recv().await {
            sleep_until(late.due).await;
            self.send(&late.datagram, &late.target).await;
        }
    }

    async fn upwards(self: Arc<Self>) {
        let mut buffer = vec![0; 65_536];
        loop {
            let Ok((size, from)) = self.outer.recv_from(&mut buffer).await else {
                continue;
            };
            let datagram = &buffer[..size];
            if (datagram.first().copied(), size) == (Some(INITIATION.0), INITIATION.1) {
                let mut kept = self.kept.lock().await;
                kept.initiation = Some(datagram.to_vec());
                kept.client = Some(from);
            }
            let Ok(inner) = self.inner(from).await else {
                continue;
            };
            let target = Target::Gateway(inner);
            if self.pass(datagram, target).await {
                self.up.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The socket that stands for this client towards the gateway.
    async fn inner(self: &Arc<Self>, client: SocketAddr) -> Result<Arc<UdpSocket>> {
        if let Some(known) = self.clients.read().await.get(&client) {
            return Ok(known.clone());
        }
        let inner = Arc::new(bind(([127, 0, 0, 1], 0).into()).await?);
        inner.connect(self.to).await?;
        self.clients.write().await.insert(client, inner.clone());
        let (line, socket) = (self.clone(), inner.clone());
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                // A gateway that is not there (ICMP) is no end.
                let Ok(size) = socket.recv(&mut buffer).await else {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                };
                let mut kept = line.kept.lock().await;
                kept.answers.truncate(KEPT - 1);
                kept.answers.push_front(buffer[..size].to_vec());
                drop(kept);
                if line.pass(&buffer[..size], Target::Client(client)).await {
                    line.down.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(inner)
    }

    /// True if it passes at all.
    async fn pass(self: &Arc<Self>, datagram: &[u8], target: Target) -> bool {
        let faults = self.faults.borrow().clone();
        let happens = |share: u32| share > 0 && rand::random_range(0..1000) < share;
        if !faults.udp || datagram.len() + HEADERS > faults.largest || happens(faults.loss) {
            return false;
        }
        let copies = 1 + usize::from(happens(faults.duplicate));
        let mut wait = Duration::from_millis(faults.delay);
        let overtaken = happens(faults.reorder);
        if overtaken {
            wait += OVERTAKEN;
        }
        for _ in 0..copies {
            if wait.is_zero() {
                self.send(datagram, &target).await;
                continue;
            }
            let late = Late {
                due: Instant::now() + wait,
                datagram: datagram.to_vec(),
                target: target.clone(),
            };
            if overtaken {
                let line = self.clone();
                tokio::spawn(async move {
                    sleep_until(late.due).await;
                    line.send(&late.datagram, &late.target).await;
                });
            } else {
                // A full queue loses, as any router's.
                let _ = self.late[target.direction()].try_send(late);
            }
        }
        true
    }

    /// What cannot be sent is lost, as anywhere.
    async fn send(&self, datagram: &[u8], target: &Target) {
        let _ = match target {
            Target::Gateway(socket) => socket.send(datagram).await,
            Target::Client(client) => self.outer.send_to(datagram, *client).await,
        };
    }

    async fn replay(&self) -> Result<usize> {
        let kept = self.kept.lock().await;
        let elsewhere = UdpSocket::bind("127.0.0.1:0").await?;
        let mut count = 0;
        if let Some(initiation) = &kept.initiation {
            elsewhere.send_to(initiation, self.to).await?;
            count += 1;
        }
        if let Some(client) = kept.client {
            for answer in kept.answers.iter().rev() {
                self.outer.send_to(answer, client).await?;
                count += 1;
            }
        }
        Ok(count)
    }
}

#[derive(Clone)]
enum Target {
    Gateway(Arc<UdpSocket>),
    Client(SocketAddr),
}

impl Target {
    const fn direction(&self) -> usize {
        match self {
            Self::Gateway(_) => 0,
            Self::Client(_) => 1,
        }
    }
}

async fn bind(to: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(to).await?;
    // The system may allow less.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(SOCKET);
    Ok(socket)
}
