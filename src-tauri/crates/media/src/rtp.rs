//! What travels in RTP packets, without sockets and clocks: VP8's payload descriptor, frames put together from
//! packets that were lost and reordered, packets kept to be sent again, and the few lines of SDP that say whose they
//! are.

pub(crate) mod assembler;
pub(crate) mod history;
#[cfg(test)]
mod hostile_tests;
pub(crate) mod sdp;
pub(crate) mod sequence;
pub(crate) mod vp8;

use bytes::Bytes;

/// One received packet of a video track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub sequence: u16,
    pub timestamp: u32,
    /// The last packet of its frame.
    pub marker: bool,
    pub payload: Bytes,
}
