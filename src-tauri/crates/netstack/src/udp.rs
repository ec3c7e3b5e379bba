//! Datagrams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use smoltcp::wire::IpProtocol;
use tokio::sync::mpsc;

use crate::packet;
use crate::stack::Shared;

/// Datagrams that wait for a reader before further ones are dropped, as any UDP socket does.
const WAITING_MAX: usize = 256;

/// Length of the header (RFC 768).
const HEADER: usize = 8;

/// Where the datagrams for one local port go.
pub type Inbox = mpsc::Sender<(SocketAddr, Bytes)>;

/// One local port. Sending never waits; a datagram that finds the tunnel congested is lost.
pub struct UdpSocket {
    shared: Arc<Shared>,
    port: u16,
    received: mpsc::Receiver<(SocketAddr, Bytes)>,
}

impl UdpSocket {
    /// `AddrInUse` when no port is left.
    pub(crate) fn bind(shared: &Arc<Shared>) -> io::Result<Self> {
        let (inbox, received) = mpsc::channel(WAITING_MAX);
        let port = shared
            .udp
            .claim(|port| (inbox, port))
            .ok_or(io::ErrorKind::AddrInUse)?;
        Ok(Self {
            shared: Arc::clone(shared),
            port,
            received,
        })
    }

    /// The port that answers come to.
    pub fn local_port(&self) -> u16 {
        self.port
    }

    /// Sends one datagram. It is never cut into fragments: larger than the tunnel's MTU is an
    /// error of kind `InvalidInput`; a family without address is `AddrNotAvailable`.
    pub fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        let from = self
            .shared
            .source_for(to.ip())
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        let length = HEADER + datagram.len();
        if packet::header_len(to.ip()) + length > self.shared.mtu() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the datagram is larger than the tunnel's MTU",
            ));
        }
        let bytes = build(SocketAddr::new(from, self.port), to, datagram)
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        self.shared.outbox.push_or_drop(bytes);
        Ok(())
    }

    /// The next datagram, whole. `NotConnected` once the stack is closed.
    pub async fn recv_from(&mut self) -> io::Result<(SocketAddr, Bytes)> {
        self.received
            .recv()
            .await
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Like [`UdpSocket::recv_from`], for code that polls.
    pub fn poll_recv_from(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<(SocketAddr, Bytes)>> {
        self.received
            .poll_recv(context)
            .map(|datagram| datagram.ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.shared.udp.release(self.port);
    }
}

/// Reads a datagram out of what an IP packet carries. `None` when it is malformed or damaged.
pub fn parse(ip: &packet::Ip, packet: &Bytes) -> Option<(u16, SocketAddr, Bytes)> {
    let bytes = packet.get(ip.payload.clone())?;
    let length = usize::from(u16::from_be_bytes([*bytes.get(4)?, *bytes.get(5)?]));
    if length < HEADER || length > bytes.len() {
        return None;
    }
    let bytes = &bytes[..length];
    // Zero means "not computed", which only IPv4 allows (RFC 768, RFC 8200 §8.1).
    let unchecked = bytes[6..8] == [0, 0];
    if unchecked && ip.source.is_ipv6() {
        return None;
    }
    if !unchecked && packet::checksum(ip.source, ip.destination, IpProtocol::Udp, bytes) != 0 {
        return None;
    }
    let from = u16::from_be_bytes([bytes[0], bytes[1]]);
    let to = u16::from_be_bytes([bytes[2], bytes[3]]);
    let start = ip.payload.start;
    Some((
        to,
        SocketAddr::new(ip.source, from),
        packet.slice(start + HEADER..start + length),
    ))
}

/// `None` when the addresses are of different families or the datagram is too long.
pub fn build(from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> Option<BytesMut> {
    let length = HEADER + datagram.len();
    let mut packet = packet::new(from.ip(), to.ip(), IpProtocol::Udp, length)?;
    let bytes = &mut packet[packet::header_len(to.ip())..];
    bytes[0..2].copy_from_slice(&from.port().to_be_bytes());
    bytes[2..4].copy_from_slice(&to.port().to_be_bytes());
    bytes[4..6].copy_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
    bytes[HEADER..].copy_from_slice(datagram);
    let checksum = match packet::checksum(from.ip(), to.ip(), IpProtocol::Udp, bytes) {
        0 => u16::MAX,
        checksum => checksum,
    };
    bytes[6..8].copy_from_slice(&checksum.to_ne_bytes());
    Some(packet)
}
