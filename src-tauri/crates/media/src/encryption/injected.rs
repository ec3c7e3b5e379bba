//! Frames that the server itself sends in place of a participant's, for example when a track is muted: they cannot
//! be sealed, so they end with a trailer that the server told at the join, and only known contents are believed.

use sha2::{Digest, Sha256};

/// SHA-256 of the black 8×8 VP8 key frame and of the Opus silence that livekit-server sends
/// (livekit-client `src/e2ee/worker/sifPayload.ts`).
const BLACK_VP8: [u8; 32] = [
    0xef, 0x01, 0x61, 0x65, 0x3d, 0x8b, 0x2b, 0x23, 0xaa, 0xd4, 0x66, 0x24, 0xb4, 0x20, 0xaf, 0x1d,
    0x03, 0xce, 0x48, 0x95, 0x0e, 0x9f, 0xc8, 0x57, 0x18, 0x02, 0x8f, 0x91, 0xb5, 0x0f, 0x92, 0x19,
];
const SILENCE_OPUS: [u8; 32] = [
    0xaa, 0xd8, 0xd3, 0x1f, 0xc5, 0x6b, 0x28, 0x02, 0xca, 0x50, 0x0e, 0x58, 0xc2, 0xfb, 0x9d, 0x0b,
    0x29, 0xad, 0x71, 0xbb, 0x7c, 0xb5, 0x2c, 0xd6, 0x53, 0x02, 0x51, 0xea, 0xde, 0x18, 0x89, 0x88,
];

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Injected<'a> {
    /// Nothing of the server: to be opened with a key.
    No,
    /// The server's black picture or silence.
    Known(&'a [u8]),
    /// It claims to come from the server and is nothing that a server sends.
    Forged,
}

/// `trailer` is `JoinResponse.sif_trailer`; an empty one means that this server injects nothing.
pub(crate) fn recognise<'a>(frame: &'a [u8], trailer: &[u8]) -> Injected<'a> {
    if trailer.is_empty() {
        return Injected::No;
    }
    let Some(content) = frame.strip_suffix(trailer) else {
        return Injected::No;
    };
    let digest: [u8; 32] = Sha256::digest(content).into();
    if digest == BLACK_VP8 || digest == SILENCE_OPUS {
        Injected::Known(content)
    } else {
        Injected::Forged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence() -> Vec<u8> {
        let mut frame = vec![0xf8, 0xff, 0xfe];
        frame.resize(80, 0);
        frame
    }

    #[test]
    fn the_servers_silence_is_believed_and_anything_else_with_its_trailer_is_not() {
        let trailer = b"trailer of this room";
        let injected = [silence(), trailer.to_vec()].concat();
        assert_eq!(recognise(&injected, trailer), Injected::Known(&silence()));
        let forged = [b"a voice".to_vec(), trailer.to_vec()].concat();
        assert_eq!(recognise(&forged, trailer), Injected::Forged);
    }

    #[test]
    fn a_frame_without_the_trailer_needs_a_key() {
        assert_eq!(recognise(&silence(), b"trailer"), Injected::No);
        assert_eq!(recognise(&silence(), b""), Injected::No);
    }
}
