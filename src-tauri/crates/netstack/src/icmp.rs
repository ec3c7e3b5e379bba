//! Echoes, and what routers tell about packets that did not arrive.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use smoltcp::wire::IpProtocol;
use tokio::sync::oneshot;

use crate::packet;
use crate::stack::Shared;

/// Length of the header of every message we know (RFC 792, RFC 4443).
const HEADER: usize = 8;

/// Why there is no round-trip time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PingError {
    #[error("the tunnel has no address of that family")]
    NoAddress,
    #[error("the size is below the headers or above the largest packet")]
    Size,
    #[error("too many echoes wait for their answer")]
    Busy,
    #[error("no answer in time")]
    TimedOut,
}

/// Echoes that wait for their answer, by identifier.
#[derive(Default)]
pub struct Echoes(Mutex<HashMap<u16, (IpAddr, oneshot::Sender<usize>)>>);

/// More than this many at once are refused.
const WAITING_MAX: usize = 1024;

impl Echoes {
    /// An answer of `size` bytes came from `source`.
    fn answered(&self, identifier: u16, source: IpAddr, size: usize) {
        let mut waiting = self.0.lock();
        if waiting
            .get(&identifier)
            .is_some_and(|(asked, _)| *asked == source)
            && let Some((_, answer)) = waiting.remove(&identifier)
        {
            // Nobody waits any more: fine.
            let _ = answer.send(size);
        }
    }
}

/// What a router said about one of our TCP segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    pub about: Quoted,
    pub kind: ComplaintKind,
}

/// The segment that the router quotes (RFC 792, RFC 4443 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// First sequence number of the segment: proves that the router saw it (RFC 5927 §4.1).
    pub sequence: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComplaintKind {
    Unreachable,
    /// Largest packet in bytes that would have passed.
    TooBig(usize),
}

/// Handles an ICMP message. A complaint about one of our segments is given back.
pub fn input(shared: &Shared, ip: &packet::Ip, bytes: &[u8]) -> Option<Complaint> {
    let message = bytes.get(ip.payload.clone())?;
    if message.len() < HEADER {
        return None;
    }
    let intact = match ip.protocol {
        IpProtocol::Icmp => packet::plain_checksum(message) == 0,
        _ => packet::checksum(ip.source, ip.destination, IpProtocol::Icmpv6, message) == 0,
    };
    if !intact {
        return None;
    }
    let word = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let kind = match (ip.protocol, message[0], message[1]) {
        (IpProtocol::Icmp, 0, _) | (IpProtocol::Icmpv6, 129, _) => {
            shared.echoes.answered(word(4), ip.source, ip.payload.end);
            return None;
        }
        (IpProtocol::Icmp, 3, 4) => ComplaintKind::TooBig(word(6).into()),
        (IpProtocol::Icmpv6, 2, _) => {
            let size = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
            ComplaintKind::TooBig(usize::try_from(size).ok()?)
        }
        (IpProtocol::Icmp, 3, _) | (IpProtocol::Icmpv6, 1, _) => ComplaintKind::Unreachable,
        _ => return None,
    };
    Some(Complaint {
        about: quoted(&message[HEADER..])?,
        kind,
    })
}

/// Reads the beginning of a packet; its end may be missing, so lengths are not to be trusted.
fn quoted(bytes: &[u8]) -> Option<Quoted> {
    let (source, destination, protocol, start) = match bytes.first()? >> 4 {
        4 => {
            let header = bytes.get(..20)?;
            let v4 = |at: usize| -> IpAddr {
                [header[at], header[at + 1], header[at + 2], header[at + 3]].into()
            };
            let length = usize::from(header[0] & 15) * 4;
            (v4(12), v4(16), header[9], length)
        }
        6 => {
            let header = bytes.get(..40)?;
            let v6 = |at: usize| -> Option<IpAddr> {
                Some(<[u8; 16]>::try_from(&header[at..at + 16]).ok()?.into())
            };
            (v6(8)?, v6(24)?, header[6], 40)
        }
        _ => return None,
    };
    let tcp = bytes.get(start..start + 8)?;
    (IpProtocol::from(protocol) == IpProtocol::Tcp).then(|| Quoted {
        from: SocketAddr::new(source, u16::from_be_bytes([tcp[0], tcp[1]])),
        to: SocketAddr::new(destination, u16::from_be_bytes([tcp[2], tcp[3]])),
        sequence: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
    })
}

/// Sends an echo request in an IP packet of `size` bytes and waits for the equal answer.
pub async fn ping(
    shared: &Arc<Shared>,
    to: IpAddr,
    size: usize,
    patience: Duration,
) -> Result<Duration, PingError> {
    let from = shared.source_for(to).ok_or(PingError::NoAddress)?;
    let payload = size
        .checked_sub(packet::header_len(to))
        .filter(|payload| *payload >= HEADER)
        .ok_or(PingError::Size)?;
    let (protocol, kind) = match to {
        IpAddr::V4(_) => (IpProtocol::Icmp, 8),
        IpAddr::V6(_) => (IpProtocol::Icmpv6, 128),
    };
    let mut packet = packet::new(from, to, protocol, payload).ok_or(PingError::Size)?;

    let (answer, answered) = oneshot::channel();
    let waiting = Waiting::enter(shared, to, answer)?;
    let message = &mut packet[size - payload..];
    message[0] = kind;
    message[4..6].copy_from_slice(&waiting.identifier.to_be_bytes());
    let checksum = match to {
        IpAddr::V4(_) => packet::plain_checksum(message),
        IpAddr::V6(_) => packet::checksum(from, to, protocol, message),
    };
    message[2..4].copy_from_slice(&checksum.to_ne_bytes());

    let sent = Instant::now();
    shared.outbox.push_or_drop(packet);
    match tokio::time::timeout(patience, answered).await {
        Ok(Ok(got)) if got == size => Ok(sent.elapsed()),
        _ => Err(PingError::TimedOut),
    }
}

/// The largest of `sizes` (IP packets in bytes) that came back from `to`. All are asked at once,
/// each twice, so that one lost packet does not shrink the tunnel.
pub async fn probe_mtu(shared: &Arc<Shared>, to: IpAddr, sizes: &[usize]) -> Option<usize> {
    const PATIENCE: Duration = Duration::from_secs(1);
    let mut echoes = tokio::task::JoinSet::new();
    for &size in sizes {
        for _ in 0..2 {
            let shared = Arc::clone(shared);
            echoes.spawn(async move { ping(&shared, to, size, PATIENCE).await.ok().map(|_| size) });
        }
    }
    let largest = sizes.iter().copied().max();
    let mut best = None;
    while let Some(size) = echoes.join_next().await {
        best = best.max(size.ok().flatten());
        if best == largest {
            break;
        }
    }
    best
}

/// A place among the echoes that ends with whoever waits.
struct Waiting<'a> {
    echoes: &'a Echoes,
    identifier: u16,
}

impl<'a> Waiting<'a> {
    fn enter(
        shared: &'a Shared,
        to: IpAddr,
        answer: oneshot::Sender<usize>,
    ) -> Result<Self, PingError> {
        let mut waiting = shared.echoes.0.lock();
        if waiting.len() >= WAITING_MAX {
            return Err(PingError::Busy);
        }
        let mut identifier: u16 = rand::random();
        while waiting.contains_key(&identifier) {
            identifier = identifier.wrapping_add(1);
        }
        waiting.insert(identifier, (to, answer));
        Ok(Self {
            echoes: &shared.echoes,
            identifier,
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.echoes.0.lock().remove(&self.identifier);
    }
}
