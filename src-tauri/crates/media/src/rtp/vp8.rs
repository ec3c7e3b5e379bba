//! VP8 in RTP (RFC 7741): the payload descriptor, read and written.

use bytes::{BufMut, Bytes, BytesMut};

/// Payload per packet without RTP header, extensions, SRTP tag and tunnels: fits 1 200 bytes of UDP.
const PAYLOAD_LIMIT: usize = 1120;

/// What a receiver needs of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// It is the first of its frame.
    pub starts: bool,
    pub picture: Option<PictureId>,
    pub data: Bytes,
}

/// The number of a picture, in seven or fifteen bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PictureId {
    number: u16,
    highest: u16,
}

impl PictureId {
    /// Nothing was between the two.
    pub fn follows(self, before: Self) -> bool {
        let next = before.number.wrapping_add(1) & self.highest;
        self.highest == before.highest && self.number == next
    }
}

/// RFC 7741 §4.2. `None` for a descriptor that is cut off.
pub(crate) fn unpack(payload: &Bytes) -> Option<Part> {
    let first = *payload.first()?;
    let starts = first & 0x10 != 0 && first.trailing_zeros() >= 3;
    let mut length = 1;
    let mut picture = None;
    if first & 0x80 != 0 {
        let extension = *payload.get(length)?;
        length += 1;
        if extension & 0x80 != 0 {
            let high = *payload.get(length)?;
            let (number, highest) = if high & 0x80 != 0 {
                let low = *payload.get(length + 1)?;
                length += 2;
                (u16::from_be_bytes([high & 0x7f, low]), 0x7fff)
            } else {
                length += 1;
                (u16::from(high), 0x7f)
            };
            picture = Some(PictureId { number, highest });
        }
        length += usize::from(extension & 0x40 != 0) + usize::from(extension & 0x30 != 0);
    }
    (length <= payload.len()).then(|| Part {
        starts,
        picture,
        data: payload.slice(length..),
    })
}

/// RFC 6386 §9.1: the lowest bit of the frame tag is zero on key frames.
pub(crate) fn is_key_frame(frame: &[u8]) -> bool {
    frame.first().is_some_and(|tag| tag & 1 == 0)
}

/// Width and height that a key frame tells (RFC 6386 §9.1).
pub(crate) fn size(frame: &[u8]) -> Option<(u32, u32)> {
    if !is_key_frame(frame) || frame.get(3..6)? != [0x9d, 0x01, 0x2a] {
        return None;
    }
    let side = |at: usize| {
        let bytes = [*frame.get(at)?, *frame.get(at + 1)?];
        Some(u32::from(u16::from_le_bytes(bytes) & 0x3fff))
    };
    Some((side(6)?, side(8)?))
}

/// Cuts frames of one layer into payloads. Servers that switch layers renumber pictures, and need both numbers for it.
#[derive(Debug)]
pub(crate) struct Packetiser {
    picture_id: u16,
    /// TL0PICIDX: every frame is on the base layer, as there is no temporal scaling.
    base_layer_index: u8,
}

impl Packetiser {
    pub fn new(first_picture_id: u16) -> Self {
        Self {
            picture_id: first_picture_id & 0x7fff,
            base_layer_index: 0,
        }
    }

    /// Payloads of about the same size; the last one gets the marker bit. An empty frame has none.
    pub fn pack(&mut self, frame: &[u8]) -> Vec<Bytes> {
        let packets = frame.len().div_ceil(PAYLOAD_LIMIT).max(1);
        let size = frame.len().div_ceil(packets).max(1);
        let [high, low] = self.picture_id.to_be_bytes();
        let payloads = frame
            .chunks(size)
            .enumerate()
            .map(|(at, part)| {
                let mut payload = BytesMut::with_capacity(part.len() + 6);
                // X, and S on the first; I, L and T; the picture id in fifteen bits; TL0PICIDX; TID 0 with Y.
                payload.put_u8(if at == 0 { 0x90 } else { 0x80 });
                payload.put_slice(&[0xe0, 0x80 | high, low, self.base_layer_index, 0x20]);
                payload.put_slice(part);
                payload.freeze()
            })
            .collect();
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.base_layer_index = self.base_layer_index.wrapping_add(1);
        payloads
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_descriptors_of_the_rfc_are_read() {
        // RFC 7741 §4.6.1: no extension; then picture id of seven bits; then everything.
        let read = |payload: &'static [u8]| {
            let part = unpack(&Bytes::from_static(payload)).unwrap();
            let picture = part.picture.map(|picture| picture.number);
            (part.starts, picture, part.data.to_vec())
        };
        assert_eq!(read(&[0x10, 1, 2]), (true, None, vec![1, 2]));
        assert_eq!(read(&[0x90, 0x80, 0x11, 7]), (true, Some(0x11), vec![7]));
        let whole = read(&[0x80, 0xf0, 0x92, 0x34, 5, 0x20, 7]);
        assert_eq!(whole, (false, Some(0x1234), vec![7]));
        assert_eq!(unpack(&Bytes::from_static(&[0x90, 0x80])), None);
        assert_eq!(unpack(&Bytes::new()), None);
    }

    #[test]
    fn a_picture_follows_the_one_before_it_also_where_numbers_wrap() {
        let id = |number, highest| PictureId { number, highest };
        assert!(id(8, 0x7f).follows(id(7, 0x7f)));
        assert!(id(0, 0x7f).follows(id(0x7f, 0x7f)));
        assert!(id(0, 0x7fff).follows(id(0x7fff, 0x7fff)));
        assert!(!id(9, 0x7f).follows(id(7, 0x7f)));
        assert!(!id(8, 0x7fff).follows(id(7, 0x7f)));
    }

    #[test]
    fn the_size_is_read_from_a_key_frame_alone() {
        let key = [0x10, 2, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1];
        assert_eq!(size(&key), Some((640, 360)));
        assert_eq!(size(&key[..9]), None);
        assert_eq!(size(&[0x11, 2, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1]), None);
    }

    proptest! {
        #[test]
        fn a_descriptor_never_reaches_beyond_its_packet(payload: Vec<u8>) {
            let payload = Bytes::from(payload);
            if let Some(part) = unpack(&payload) {
                prop_assert!(payload.ends_with(&part.data));
            }
            size(&payload);
        }

        #[test]
        fn what_was_cut_comes_together(frame in prop::collection::vec(any::<u8>(), 1..9000), id: u16) {
            let payloads = Packetiser::new(id).pack(&frame);
            let mut whole = Vec::new();
            for (at, payload) in payloads.iter().enumerate() {
                prop_assert!(payload.len() <= PAYLOAD_LIMIT + 6);
                let part = unpack(payload).unwrap();
                prop_assert_eq!(part.starts, at == 0);
                whole.extend_from_slice(&part.data);
            }
            prop_assert_eq!(whole, frame);
        }
    }
}
