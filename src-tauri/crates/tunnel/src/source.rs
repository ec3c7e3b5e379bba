//! What carries packets between the user-space network stack and the organisation's gateway.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use netstack::Link;
use tokio::sync::watch;
use tokio::time::Instant;

/// A way to the organisation's network: WireGuard, AnyConnect, or whatever else moves IP packets.
///
/// The state machine opens it, runs it, and opens it again when it ended. It believes nothing of
/// what a source says about itself: only a probe through the data path makes a tunnel "up".
pub trait PacketSource: Send + Sync + 'static {
    /// Opens a session, or opens it again, and says which addresses it has inside. `WireGuard`
    /// answers from its configuration at once; AnyConnect connects here and keeps its cookie for
    /// the next time. Has no deadline of its own (the caller has one) and can be cancelled.
    fn open(&self) -> BoxFuture<'_, Result<Inside, Ended>>;

    /// Moves packets between `link` and the gateway until the session ends. Called once after
    /// each [`open`](Self::open); dropping the future ends it. When the next `open` gives the same
    /// [`Inside`], the same network stack goes on with its live connections.
    fn run(&self, link: Link) -> BoxFuture<'_, Ended>;

    /// Something is wrong or has changed: make sure that the session lives, or replace it.
    /// Must not block.
    fn kick(&self, kick: Kick);

    /// How the session is, as far as the source can tell.
    fn health(&self) -> Health;

    /// Number of sessions made so far. Changes at the moment in which one was made.
    fn sessions(&self) -> watch::Receiver<u64>;

    /// Where the gateway is, as resolved last; empty when not known yet. The source address that
    /// the system takes towards it shows whether there is a route, and when it changed.
    fn gateways(&self) -> Vec<SocketAddr>;
}

/// Why a source is asked to begin again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kick {
    /// The network changed or the device woke up: begin with the preferred way to the gateway.
    Fresh,
    /// Nothing comes back: begin again, by the next way if there is one.
    Silent,
}

/// What a session has inside the organisation's network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// Our IPv4 address, if the session has one.
    pub v4: Option<Ipv4Addr>,
    /// Our IPv6 address, if the session has one.
    pub v6: Option<Ipv6Addr>,
    /// Resolvers inside, in order.
    pub dns: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// Largest IP packet that the session may carry, in bytes. Probing finds the real size below.
    pub mtu: u16,
    /// An address that answers echo requests inside; without one the size is not probed.
    pub echo: Option<IpAddr>,
    /// Networks that the gateway says it reaches; empty when it does not say.
    pub networks: Vec<IpNet>,
}

/// What a source knows about its session. None of it proves that data arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Time since the session was made or renewed; `None` without a session.
    pub session_age: Option<Duration>,
    /// Packets given to the gateway.
    pub sent: u64,
    /// Packets that came from the gateway.
    pub received: u64,
    /// When the last packet with data was given to the gateway.
    pub last_sent: Option<Instant>,
    /// When the last authenticated packet came, with data or without.
    pub last_received: Option<Instant>,
    /// Name of the way in use: `udp`, `websocket`, `tls`.
    pub way: &'static str,
}

/// Why a source stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The gateway can't be reached at all: no route, no name, connection refused.
    #[error("the gateway cannot be reached")]
    Unreachable,
    /// The gateway ended the session or closed the connection.
    #[error("the gateway ended the session")]
    Closed,
    /// The gateway answered no, and waiting does not change its mind.
    #[error("the gateway refused: {0}")]
    Refused(Refusal),
    /// Somebody else answered in the gateway's name: an unknown certificate.
    #[error("the certificate is not the gateway's")]
    WrongCertificate,
    /// The answer is no valid one; the text is ours and names the place.
    #[error("the gateway's answer makes no sense: {0}")]
    Protocol(&'static str),
    /// The connection failed.
    #[error("the connection failed: {0:?}")]
    Io(io::ErrorKind),
}

/// What the person has to do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The session's ticket is over: sign in again.
    SignInAgain,
    /// Name, password or code were wrong.
    WrongCredentials,
    /// This person or device may not connect.
    NotAllowed,
    /// Too many sessions of the same person.
    TooManySessions,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignInAgain => "sign in again",
            Self::WrongCredentials => "wrong name, password or code",
            Self::NotAllowed => "not allowed",
            Self::TooManySessions => "too many sessions",
        })
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable => Self::Unreachable,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed,
            kind => Self::Io(kind),
        }
    }
}
