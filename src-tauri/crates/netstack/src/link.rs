//! The side of the stack that a tunnel drives.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use smoltcp::wire::IpProtocol;
use tokio::time::Instant;

use crate::icmp::{self, Complaint, ComplaintKind};
use crate::packet::{self, Ip};
use crate::stack::{Counters, Shared};
use crate::udp;

/// Packets to send come out, packets received go in. Clones are the same link, so that one task
/// may send and another receive.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
}

impl Link {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Waits for IP packets to send and appends at most `most` of them to `into`. Gives how many;
    /// zero only after [`crate::Netstack::close`]. Safe to cancel: packets are moved at once or not
    /// at all. While nobody calls this the stack holds at most [`crate::Config::outbox`] packets
    /// and its connections wait.
    pub async fn next_batch(&self, into: &mut Vec<BytesMut>, most: usize) -> usize {
        let before = into.len();
        let count = self.shared.outbox.next_batch(into, most.max(1)).await;
        let counters = &self.shared.counters;
        Counters::add(&counters.packets_out, count);
        Counters::add(
            &counters.bytes_out,
            into[before..].iter().map(BytesMut::len).sum(),
        );
        count
    }

    /// Takes one IP packet from the tunnel, whatever it holds. Never waits. TCP packets are kept
    /// until the connection's task had its turn: hand over an own buffer of about the packet's
    /// size, not a small part of a large one.
    pub fn input(&self, packet: BytesMut) {
        let shared = &self.shared;
        Counters::add(&shared.counters.packets_in, 1);
        Counters::add(&shared.counters.bytes_in, packet.len());
        shared
            .counters
            .last_in
            .store(shared.milliseconds(), Ordering::Relaxed);
        if self.accept(packet).is_none() {
            Counters::add(&shared.counters.refused, 1);
        }
    }

    /// Largest IP packet in bytes that comes out of [`Link::next_batch`] from now on.
    pub fn mtu(&self) -> usize {
        self.shared.mtu()
    }

    fn accept(&self, packet: BytesMut) -> Option<()> {
        let shared = &self.shared;
        let ip = packet::parse(&packet)?;
        // What is not for us must not be able to touch a connection of ours.
        if shared.source_for(ip.destination) != Some(ip.destination) {
            return None;
        }
        match ip.protocol {
            IpProtocol::Tcp => self.accept_tcp(ip, packet),
            IpProtocol::Udp => {
                let (port, from, datagram) = udp::parse(&ip, &packet.freeze())?;
                shared.udp.owner(port)?.try_send((from, datagram)).ok()
            }
            IpProtocol::Icmp | IpProtocol::Icmpv6 => {
                if let Some(complaint) = icmp::input(shared, &ip, &packet) {
                    self.complain(&complaint);
                }
                Some(())
            }
            _ => None,
        }
    }

    fn accept_tcp(&self, ip: Ip, packet: BytesMut) -> Option<()> {
        let start = ip.payload.start;
        let port = packet.get(start + 2..start + 4)?;
        let port = u16::from_be_bytes([port[0], port[1]]);
        let flow = self.shared.tcp.owner(port)?;
        flow.received(ip, packet).then_some(())
    }

    fn complain(&self, complaint: &Complaint) {
        let shared = &self.shared;
        let about = &complaint.about;
        let Some(flow) = shared.tcp.owner(about.from.port()) else {
            return;
        };
        if shared.source_for(about.from.ip()) != Some(about.from.ip()) {
            return;
        }
        if !flow.complained(shared, complaint) {
            return;
        }
        if let ComplaintKind::TooBig(size) = complaint.kind {
            shared.paths.narrowed(about.to.ip(), size, Instant::now());
        }
    }
}
