//! TCP/IP in user space: connections, datagrams, names and echoes over any source of IP packets.
//!
//! A tunnel gives and takes IP packets; everything above that happens here, in this process and
//! without any right: no network interface, no route, no socket of the system is touched. It must
//! not know where packets come from (WireGuard, AnyConnect, a test), which names or addresses are
//! allowed, or what travels inside a connection.
//!
//! ```text
//!   tcp_connect  udp_bind  resolve  ping  probe_mtu            next_batch    input
//!        │          │         │       │       │                     ▲          │
//!  ┌─────▼──────────▼─────────▼───────▼───────▼─────┐  outbox  ┌────┴──────────▼────┐
//!  │                   Netstack                     ├─────────▶│        Link        │── tunnel
//!  │  one Connection per TcpStream, own lock, own   │◀─────────┤  checks, finds the │
//!  │  task; no lock is shared between connections   │  by port │  owner of a packet │
//!  └────────────────────────────────────────────────┘          └────────────────────┘
//! ```
//!
//! ```
//! # async fn example() -> std::io::Result<()> {
//! use netstack::{Config, Netstack};
//! let (stack, link) = Netstack::new(Config {
//!     v4: Some([10, 77, 0, 2].into()),
//!     dns: vec![[10, 50, 0, 53].into()],
//!     ..Config::default()
//! });
//! // One task moves packets between `link` and the tunnel, for as long as the tunnel lives:
//! tokio::spawn(async move {
//!     let mut packets = Vec::new();
//!     while link.next_batch(&mut packets, 256).await > 0 {
//!         for packet in packets.drain(..) { /* encrypt and send */ drop(packet); }
//!     }
//! });
//! let stream = stack.tcp_connect("10.50.0.80:443".parse().unwrap()).await?;
//! # drop(stream); Ok(()) }
//! ```
//!
//! # Invariants
//! - Bytes from outside never panic and never make memory grow without bound: what is malformed,
//!   foreign or too much is counted and dropped.
//! - Nothing blocks: a full outbox holds the connections back until the tunnel took packets.
//! - Names are asked inside the tunnel only; no resolver of the system is ever called.
//! - Logs hold no address, no name and no content.

mod config;
mod icmp;
mod link;
mod outbox;
mod packet;
mod path;
mod ports;
mod resolver;
mod stack;
mod tcp;
mod udp;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use icmp::PingError;
pub use link::Link;
pub use resolver::ResolveError;
pub use stack::{Netstack, Stats};
pub use tcp::{ConnectError, TcpStream};
pub use udp::UdpSocket;
