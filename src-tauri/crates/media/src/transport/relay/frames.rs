//! Where one message ends and the next begins in a stream to a relay (RFC 8656 §3.1 and §12.5). No sockets.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// RFC 8489 §5.
const STUN_HEADER: usize = 20;
const CHANNEL_HEADER: usize = 4;

/// The stream is none of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what the relay sends is neither STUN nor channel data")]
pub(super) struct NoFrame;

/// What arrived of a stream, and is not a whole message yet: at most one of 64 KiB, and what came with it.
#[derive(Debug, Default)]
pub(super) struct Frames {
    arrived: BytesMut,
}

impl Frames {
    /// Where what arrives next is to be written.
    pub fn room(&mut self) -> &mut BytesMut {
        self.arrived.reserve(4096);
        &mut self.arrived
    }

    /// The next whole message, as it would have come over UDP.
    pub fn next(&mut self) -> Result<Option<Bytes>, NoFrame> {
        let Some((length, padded)) = lengths(&self.arrived)? else {
            return Ok(None);
        };
        if self.arrived.len() < padded {
            return Ok(None);
        }
        let message = self.arrived.split_to(length).freeze();
        self.arrived.advance(padded - length);
        Ok(Some(message))
    }
}

/// Writes a message that would have gone over UDP. Anything else is left out: it would spoil all that follows.
pub(super) fn write(message: &[u8], stream: &mut BytesMut) {
    let Ok(Some((length, padded))) = lengths(message) else {
        return;
    };
    if message.len() == length || message.len() == padded {
        stream.put_slice(message);
        // RFC 8656 §12.5: over streams channel data is a multiple of four bytes long.
        stream.put_bytes(0, padded - message.len());
    }
}

/// Of the message that begins here: its length, and the same with padding.
fn lengths(message: &[u8]) -> Result<Option<(usize, usize)>, NoFrame> {
    let Some([first, _, high, low]) = message.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    // RFC 8656 §12: the first two bits tell them apart.
    match first >> 6 {
        0 => Ok(Some((STUN_HEADER + length, STUN_HEADER + length))),
        1 => {
            let length = CHANNEL_HEADER + length;
            Ok(Some((length, length.next_multiple_of(4))))
        }
        _ => Err(NoFrame),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn channel(payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&[0x40, 1], &length[..], payload].concat()
    }

    fn stun(payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&[0, 1], &length[..], &[7; 16], payload].concat()
    }

    fn read(frames: &mut Frames) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| frames.next().unwrap().map(|message| message.to_vec())).collect()
    }

    #[test]
    fn channel_data_is_padded_on_the_stream_and_bare_without_it() {
        let mut stream = BytesMut::new();
        write(&channel(&[1, 2, 3, 4, 5]), &mut stream);
        assert_eq!(stream.as_ref(), [0x40, 1, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0]);
        let mut frames = Frames::default();
        frames.room().put_slice(&stream);
        assert_eq!(read(&mut frames), [channel(&[1, 2, 3, 4, 5])]);
    }

    #[test]
    fn what_is_no_message_spoils_nothing_and_ends_the_stream_it_comes_from() {
        let mut stream = BytesMut::new();
        write(&[0x80; 40], &mut stream);
        write(&[0x40, 1, 0, 9, 1], &mut stream);
        assert!(stream.is_empty());
        let mut frames = Frames::default();
        frames.room().put_slice(b"\xff\xff\xff\xff");
        assert_eq!(frames.next(), Err(NoFrame));
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_the_stream_is_cut(
            messages in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..8),
            cuts in prop::collection::vec(1_usize..200, 1..20),
        ) {
            let messages: Vec<_> = messages
                .iter()
                .map(|(is_channel, payload)| if *is_channel { channel(payload) } else { stun(payload) })
                .collect();
            let mut stream = BytesMut::new();
            for message in &messages {
                write(message, &mut stream);
            }
            let mut frames = Frames::default();
            let mut arrived = Vec::new();
            let mut cuts = cuts.iter().cycle();
            while !stream.is_empty() {
                let length = stream.len().min(*cuts.next().unwrap());
                frames.room().put_slice(&stream.split_to(length));
                arrived.extend(read(&mut frames));
            }
            prop_assert_eq!(arrived, messages);
        }

        #[test]
        fn any_stream_is_read_without_a_panic(bytes: Vec<u8>) {
            let mut frames = Frames::default();
            frames.room().put_slice(&bytes);
            while let Ok(Some(_)) = frames.next() {}
            let mut stream = BytesMut::new();
            write(&bytes, &mut stream);
            prop_assert!(stream.len() <= bytes.len() + 3);
        }
    }
}
