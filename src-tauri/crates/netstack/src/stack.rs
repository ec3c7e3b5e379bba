//! The side of the stack that applications see.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Config, MTU_MAX, MTU_MIN};
use crate::icmp::{self, Echoes, PingError};
use crate::link::Link;
use crate::outbox::Outbox;
use crate::path::Paths;
use crate::ports::{Order, Ports};
use crate::resolver::{ResolveError, Resolver};
use crate::tcp::{self, ConnectError, Flow, TcpStream, Time};
use crate::udp::{self, UdpSocket};

/// Connections, datagrams, names and echoes of one tunnel. Cheap to clone; all clones are the same
/// stack.
#[derive(Clone)]
pub struct Netstack {
    shared: Arc<Shared>,
    resolver: Arc<Resolver>,
}

impl Netstack {
    /// The stack, and the side of it that the tunnel drives.
    pub fn new(config: Config) -> (Self, Link) {
        let resolver_config = config.clone();
        let shared = Arc::new(Shared {
            mtu: AtomicUsize::new(config.mtu.clamp(MTU_MIN, MTU_MAX)),
            tcp: Ports::new(Order::Ascending),
            udp: Ports::new(Order::Random),
            echoes: Echoes::default(),
            outbox: Outbox::new(config.outbox),
            paths: Paths::default(),
            counters: Counters::default(),
            epoch: Instant::now(),
            closed: AtomicBool::new(false),
            config,
        });
        let link = Link::new(Arc::clone(&shared));
        let resolver = Arc::new(Resolver::new(&resolver_config, &shared));
        (Self { shared, resolver }, link)
    }

    /// Opens a connection. It has no deadline of its own short of the two minutes after which TCP
    /// gives up (RFC 9293 §3.8.3): dropping the future ends the attempt.
    pub async fn tcp_connect(&self, to: SocketAddr) -> Result<TcpStream, ConnectError> {
        tcp::connect(&self.shared, to).await
    }

    /// A local port for datagrams of both families.
    pub fn udp_bind(&self) -> io::Result<UdpSocket> {
        UdpSocket::bind(&self.shared)
    }

    /// The addresses of a name, asked inside the tunnel, of the families that the tunnel has; an
    /// address as text is given back as it is. Never empty.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.resolver.resolve(name, false).await
    }

    /// Like [`Netstack::resolve`], but never from memory: shows whether the resolvers answer now.
    pub async fn resolve_fresh(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.resolver.resolve(name, true).await
    }

    /// Sends an ICMP echo in an IP packet of `size` bytes; gives the round-trip time.
    pub async fn ping(
        &self,
        to: IpAddr,
        size: usize,
        patience: Duration,
    ) -> Result<Duration, PingError> {
        icmp::ping(&self.shared, to, size, patience).await
    }

    /// The largest of `sizes` (IP packets, in bytes) that makes the way to `to` and back; `None`
    /// when nothing came back within a second. All sizes are tried at once.
    pub async fn probe_mtu(&self, to: IpAddr, sizes: &[usize]) -> Option<usize> {
        icmp::probe_mtu(&self.shared, to, sizes).await
    }

    /// Largest IP packet in bytes.
    pub fn mtu(&self) -> usize {
        self.shared.mtu()
    }

    /// Largest IP packet in bytes to one destination, where a router said that it is less.
    pub fn mtu_to(&self, destination: IpAddr) -> usize {
        self.shared.mtu_to(destination)
    }

    /// Changes the largest packet, between 576 and 65,535 bytes. Open connections cut what they
    /// send from now on; what they receive is bound by the size that stood in their first packet.
    pub fn set_mtu(&self, mtu: usize) {
        let mtu = mtu.clamp(MTU_MIN, MTU_MAX);
        if self.shared.mtu.swap(mtu, Ordering::Relaxed) != mtu {
            for flow in self.shared.tcp.all() {
                flow.mtu_changed(&self.shared);
            }
        }
    }

    /// Repeats now whatever waits for an answer, instead of when its timer ends (up to a minute):
    /// for the moment in which the tunnel is back or the machine woke up.
    pub fn nudge(&self) {
        for flow in self.shared.tcp.all() {
            flow.nudge(&self.shared);
        }
    }

    /// Waits until every connection is closed on both sides and has rested (RFC 9293 §3.6.1).
    pub async fn until_idle(&self) {
        self.shared.tcp.until_empty().await;
    }

    /// What went through, up to now.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Ends the stack: every connection is aborted, every wait ends, [`Link::next_batch`] gives
    /// zero. Nothing can be opened afterwards.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        for flow in self.shared.tcp.all() {
            flow.abort(&self.shared);
        }
        self.shared.outbox.close();
    }
}

/// Counts since the stack was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
    /// Packets from the tunnel that were malformed, damaged, fragmented or for nobody.
    pub refused: u64,
    /// TCP segments that were sent again.
    pub retransmitted: u64,
    /// Packets that wait for the tunnel to take them.
    pub waiting: usize,
    /// Connections that are open, opening or closing.
    pub connections: usize,
    /// How long ago the last packet came in.
    pub silent_for: Option<Duration>,
}

/// What all parts of one stack share.
pub struct Shared {
    pub config: Config,
    mtu: AtomicUsize,
    pub tcp: Ports<Arc<Flow>>,
    pub udp: Ports<udp::Inbox>,
    pub echoes: Echoes,
    pub outbox: Outbox,
    pub paths: Paths,
    pub counters: Counters,
    /// Where this stack's clocks begin.
    pub epoch: Instant,
    closed: AtomicBool,
}

#[derive(Default)]
pub struct Counters {
    pub packets_in: AtomicU64,
    pub bytes_in: AtomicU64,
    pub packets_out: AtomicU64,
    pub bytes_out: AtomicU64,
    pub refused: AtomicU64,
    pub retransmitted: AtomicU64,
    /// Milliseconds since the epoch, plus one; zero is never.
    pub last_in: AtomicU64,
}

impl Counters {
    pub fn add(counter: &AtomicU64, amount: usize) {
        counter.fetch_add(u64::try_from(amount).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Shared {
    pub fn mtu(&self) -> usize {
        self.mtu.load(Ordering::Relaxed)
    }

    /// Largest IP packet in bytes to one destination.
    pub fn mtu_to(&self, destination: IpAddr) -> usize {
        self.paths.mtu(destination, self.mtu(), Instant::now())
    }

    /// The clock of connections.
    pub fn now(&self) -> Time {
        Time::from_epoch(self.epoch.elapsed())
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Our address of the family of `destination`.
    pub fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        match destination {
            IpAddr::V4(_) => self.config.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.config.v6.map(IpAddr::V6),
        }
    }

    /// Milliseconds since the epoch, plus one.
    pub fn milliseconds(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let last_in = read(&self.counters.last_in);
        Stats {
            packets_in: read(&self.counters.packets_in),
            bytes_in: read(&self.counters.bytes_in),
            packets_out: read(&self.counters.packets_out),
            bytes_out: read(&self.counters.bytes_out),
            refused: read(&self.counters.refused),
            retransmitted: read(&self.counters.retransmitted),
            waiting: self.outbox.waiting(),
            connections: self.tcp.len(),
            silent_for: (last_in > 0)
                .then(|| Duration::from_millis(self.milliseconds().saturating_sub(last_in))),
        }
    }
}
