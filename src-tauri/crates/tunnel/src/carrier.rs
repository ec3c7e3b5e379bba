//! What carries `WireGuard`'s datagrams to the gateway: UDP, or a WebSocket where UDP is blocked.

mod udp;
pub mod websocket;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::future::BoxFuture;

pub use udp::Udp;

/// A way for datagrams to one gateway.
pub trait Carrier: Send + Sync + 'static {
    /// A fresh channel to the gateway. Always from a fresh local port: the gateway follows, and
    /// the former socket may still be open. Can be cancelled; the caller has the deadline.
    fn open(&self) -> BoxFuture<'_, io::Result<Arc<dyn Channel>>>;

    /// Name of the way, for states and logs: `udp`, `websocket`.
    fn name(&self) -> &'static str;

    /// Where the gateway is, as resolved last.
    fn gateway(&self) -> Option<SocketAddr>;
}

/// An open way: whole datagrams, in order or not, some of them lost.
pub trait Channel: Send + Sync + 'static {
    /// Sends all datagrams and empties `batch`. One that is too large is dropped; that is no error.
    fn send<'a>(&'a self, batch: &'a mut Vec<BytesMut>) -> BoxFuture<'a, io::Result<()>>;

    /// Waits, then appends at least one datagram and at most a few hundred.
    fn receive<'a>(&'a self, into: &'a mut Vec<BytesMut>) -> BoxFuture<'a, io::Result<()>>;
}

/// The address that the system would send from towards `gateway`. Nothing is sent: connecting a
/// UDP socket only looks up the route. An error means that there is none.
pub fn source_towards(gateway: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = match gateway {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(gateway)?;
    Ok(socket.local_addr()?.ip())
}
