//! CSTP's framing inside TLS: `S T F 01`, length (16 bit), kind, 0, then the packet.
//!
//! Source: draft-mavrogiannopoulos-openconnect-04 §2.3. ocserv takes exactly one packet per TLS record and ends the
//! session when two share one; a reader has to live with any cut.

use bytes::{Buf, BytesMut};

/// Bytes in front of every packet.
pub const HEADER: usize = 8;

const MAGIC: [u8; 4] = *b"STF\x01";

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An IP packet.
    Packet,
    /// "Are you there?" The payload comes back in the answer.
    DpdRequest,
    /// "I am."
    DpdAnswer,
    /// The sender ends the session.
    Disconnect,
    /// Keeps middle boxes awake; no answer.
    Keepalive,
    /// The gateway ends the session for good.
    Terminate,
    /// A kind that we did not ask for (compressed packets) or do not know.
    Other(u8),
}

impl Kind {
    const fn from_wire(byte: u8) -> Self {
        match byte {
            0 => Self::Packet,
            3 => Self::DpdRequest,
            4 => Self::DpdAnswer,
            5 => Self::Disconnect,
            7 => Self::Keepalive,
            9 => Self::Terminate,
            other => Self::Other(other),
        }
    }

    const fn to_wire(self) -> u8 {
        match self {
            Self::Packet => 0,
            Self::DpdRequest => 3,
            Self::DpdAnswer => 4,
            Self::Disconnect => 5,
            Self::Keepalive => 7,
            Self::Terminate => 9,
            Self::Other(byte) => byte,
        }
    }
}

/// A packet as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    pub payload: BytesMut,
}

/// The stream does not hold CSTP (any more); there is no way to find the next packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream holds no CSTP packet at this place")]
pub struct FramingLost;

/// Replaces `record` by one packet. A payload of more than 65,535 bytes does not fit: then `record` is left empty.
pub fn encode(kind: Kind, payload: &[u8], record: &mut Vec<u8>) {
    record.clear();
    let Ok(length) = u16::try_from(payload.len()) else {
        return;
    };
    record.extend_from_slice(&MAGIC);
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(&[kind.to_wire(), 0]);
    record.extend_from_slice(payload);
}

/// Takes the first packet out of `received`, if all of it is there. Holds back at most one packet: 64 KiB.
pub fn decode(received: &mut BytesMut) -> Result<Option<Frame>, FramingLost> {
    let seen = received.len().min(MAGIC.len());
    if received[..seen] != MAGIC[..seen] {
        return Err(FramingLost);
    }
    let Some(&[_, _, _, _, high, low, kind, _]) = received.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if received.len() < HEADER + length {
        return Ok(None);
    }
    received.advance(HEADER);
    Ok(Some(Frame {
        kind: Kind::from_wire(kind),
        payload: received.split_to(length),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        any::<u8>().prop_map(Kind::from_wire)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_wherever_the_stream_is_cut(
            frames in prop::collection::vec((kinds(), prop::collection::vec(any::<u8>(), 0..3000)), 0..8),
            cut in 1_usize..700,
        ) {
            let mut stream = Vec::new();
            let mut record = Vec::new();
            for (kind, payload) in &frames {
                encode(*kind, payload, &mut record);
                stream.extend_from_slice(&record);
            }
            let mut received = BytesMut::new();
            let mut read = Vec::new();
            for part in stream.chunks(cut) {
                received.extend_from_slice(part);
                while let Some(frame) = decode(&mut received).unwrap() {
                    read.push((frame.kind, frame.payload.to_vec()));
                }
            }
            prop_assert_eq!(read, frames);
            prop_assert!(received.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_never_make_a_packet_larger_than_they_are(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            valid_start in any::<bool>(),
        ) {
            let mut received = BytesMut::new();
            if valid_start {
                received.extend_from_slice(&MAGIC);
            }
            received.extend_from_slice(&bytes);
            let total = received.len();
            while let Ok(Some(frame)) = decode(&mut received) {
                prop_assert!(frame.payload.len() <= total);
            }
        }
    }

    #[test]
    fn a_stream_of_something_else_is_noticed_at_its_first_byte() {
        assert_eq!(decode(&mut BytesMut::from(&b"H"[..])), Err(FramingLost));
        assert_eq!(decode(&mut BytesMut::from(&b"ST"[..])), Ok(None));
    }

    #[test]
    fn a_payload_that_does_not_fit_is_not_written() {
        let mut record = vec![1];
        encode(Kind::Packet, &vec![0; 65_536], &mut record);
        assert!(record.is_empty());
    }
}
