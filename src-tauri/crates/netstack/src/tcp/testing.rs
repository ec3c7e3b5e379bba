//! What tests need of the protocol's inside.

use std::net::SocketAddr;

use bytes::BytesMut;
use smoltcp::wire::TcpControl;

pub use super::connection::{Connection, Limits, State};
use super::depart::Wire;
use super::rope::Rope;
use super::segment;
pub use super::segment::{Header, Segment, parse};

/// Collects what a connection sends as IP packets.
pub struct Packets {
    ours: SocketAddr,
    theirs: SocketAddr,
    pub made: Vec<BytesMut>,
}

impl Packets {
    pub fn new(ours: SocketAddr, theirs: SocketAddr) -> Self {
        Self {
            ours,
            theirs,
            made: Vec::new(),
        }
    }

    /// A segment without bytes.
    pub fn put(&mut self, header: &Header) {
        self.send(header, &Rope::new(1), 1, 0);
    }
}

impl Wire for Packets {
    fn room(&self) -> usize {
        512 - self.made.len().min(512)
    }

    fn send(&mut self, header: &Header, rope: &Rope, from: u64, payload: usize) {
        let packet = segment::emit(self.ours, self.theirs, header, rope, from, payload);
        self.made.push(packet.expect("one family"));
    }
}

/// The answer of a host on whose port nobody listens (RFC 9293 §3.10.7.1).
pub fn refusal(segment: &Segment) -> Header {
    let length = u32::try_from(segment.sequence_len()).expect("one segment");
    Header::bare(
        TcpControl::Rst,
        segment.header.acknowledgement.unwrap_or(0),
        Some(segment.header.sequence.wrapping_add(length)),
    )
}
