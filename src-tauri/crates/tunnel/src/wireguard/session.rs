//! The protocol's state with one gateway, without input or output: packets in, datagrams out, and
//! the other way round.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use gotatun::noise::index_table::IndexTable;
use gotatun::noise::rate_limiter::RateLimiter;
use gotatun::noise::{Tunn, TunnResult};
use gotatun::packet::{Packet, WgKind};
use gotatun::tun::MtuWatcher;
use gotatun::x25519::{PublicKey, StaticSecret};
use ipnet::IpNet;

use super::WireGuardConfig;

/// Handshakes per second that are answered without a cookie. One gateway needs one.
const HANDSHAKES_PER_SECOND: u64 = 10;

pub(super) struct Session {
    tunn: Tunn,
    limiter: Arc<RateLimiter>,
    networks: Vec<IpNet>,
}

impl Session {
    pub(super) fn new(config: &WireGuardConfig) -> Self {
        let private = StaticSecret::from(*config.private_key.bytes());
        let public = PublicKey::from(&private);
        let limiter = Arc::new(RateLimiter::new(&public, HANDSHAKES_PER_SECOND));
        Self {
            tunn: Tunn::new(
                private,
                PublicKey::from(*config.gateway_key.bytes()),
                config.preshared_key.as_ref().map(|key| *key.bytes()),
                config.keepalive,
                IndexTable::from_os_rng(),
                limiter.clone(),
            ),
            limiter,
            networks: config.networks.clone(),
        }
    }

    /// Asks for a new session now, whether or not one lives or is being asked for. The old one
    /// goes on until the new one is there.
    pub(super) fn begin_handshake(&mut self, datagrams: &mut Vec<BytesMut>) {
        if let Some(initiation) = self.tunn.format_handshake_initiation(true) {
            push(WgKind::from(initiation), datagrams);
        }
    }

    /// Encrypts what may go to the gateway; the rest is dropped (cryptokey routing, `WireGuard`
    /// paper §2).
    pub(super) fn outgoing(
        &mut self,
        mtu: usize,
        packets: &mut Vec<BytesMut>,
        datagrams: &mut Vec<BytesMut>,
    ) {
        let mut mtu = watcher(mtu);
        for packet in packets.drain(..) {
            if !destination(&packet).is_some_and(|to| self.routes(to)) {
                continue;
            }
            let packet = Packet::from_bytes(packet);
            if let Some(datagram) = self.tunn.handle_outgoing_packet(packet, Some(&mut mtu)) {
                push(datagram, datagrams);
            }
        }
    }

    /// Decrypts what came. Answers how many datagrams were authentic, and whether a session was
    /// made.
    pub(super) fn incoming(
        &mut self,
        mtu: usize,
        datagrams: &mut Vec<BytesMut>,
        replies: &mut Vec<BytesMut>,
        packets: &mut Vec<BytesMut>,
    ) -> (usize, bool) {
        let (mut authentic, mut made) = (0, false);
        for datagram in datagrams.drain(..) {
            // The limiter counts by source address; there is only one gateway.
            let from = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
            let kind = match self
                .limiter
                .verify_packet(from, Packet::from_bytes(datagram))
            {
                Ok(kind) => kind,
                Err(TunnResult::WriteToNetwork(cookie)) => {
                    push(cookie, replies);
                    continue;
                }
                Err(_) => continue,
            };
            let handshake = matches!(kind, WgKind::HandshakeResp(_) | WgKind::HandshakeInit(_));
            match self.tunn.handle_incoming_packet(kind) {
                TunnResult::Done => authentic += 1,
                TunnResult::Err(_) => {}
                TunnResult::WriteToNetwork(reply) => {
                    authentic += 1;
                    made |= handshake;
                    push(reply, replies);
                    let mut mtu = watcher(mtu);
                    for waiting in self.tunn.get_queued_packets(&mut mtu) {
                        push(waiting, replies);
                    }
                }
                TunnResult::WriteToTunnel(mut packet) => {
                    authentic += 1;
                    let packet = std::mem::take(packet.buf_mut());
                    if source(&packet).is_some_and(|from| self.routes(from)) {
                        packets.push(packet);
                    }
                }
            }
        }
        (authentic, made)
    }

    /// Rekeys, repeats handshakes and sends keep-alives when they are due.
    pub(super) fn tick(&mut self, datagrams: &mut Vec<BytesMut>) {
        // An expired handshake is begun again by the next packet or kick.
        if let Ok(Some(due)) = self.tunn.update_timers() {
            push(due, datagrams);
        }
    }

    pub(super) fn age(&self) -> Option<Duration> {
        self.tunn.time_since_last_handshake()
    }

    fn routes(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

fn push(kind: WgKind, datagrams: &mut Vec<BytesMut>) {
    let mut packet: Packet = kind.into();
    datagrams.push(std::mem::take(packet.buf_mut()));
}

fn watcher(mtu: usize) -> MtuWatcher {
    MtuWatcher::new(u16::try_from(mtu).unwrap_or(u16::MAX))
}

fn source(packet: &[u8]) -> Option<IpAddr> {
    address(packet, 12, 8)
}

fn destination(packet: &[u8]) -> Option<IpAddr> {
    address(packet, 16, 24)
}

/// The address at its place in the header (RFC 791 §3.1, RFC 8200 §3).
fn address(packet: &[u8], at_v4: usize, at_v6: usize) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => {
            let octets: [u8; 4] = packet.get(at_v4..at_v4 + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        }
        6 => {
            let octets: [u8; 16] = packet.get(at_v6..at_v6 + 16)?.try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}
