//! One sealed frame and its trailer.

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{Aead, AeadInPlace, Payload};

pub(crate) const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// The length of the nonce, and the key index.
const TRAILER_BYTES: usize = 2;

/// What a frame is: it decides how many of its first bytes stay readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Opus: its first byte says what the packet holds (RFC 6716 §3.1).
    Audio,
    /// VP8: the frame tag and, on key frames, start code and size (RFC 6386 §9.1).
    Vp8 { key_frame: bool },
}

impl Kind {
    /// livekit-client `src/e2ee/constants.ts`, `UNENCRYPTED_BYTES`.
    fn clear_bytes(self) -> usize {
        match self {
            Self::Audio => 1,
            Self::Vp8 { key_frame: true } => 10,
            Self::Vp8 { key_frame: false } => 3,
        }
    }
}

/// A sealed frame taken apart; nothing is proven yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sealed<'a> {
    head: &'a [u8],
    ciphertext: &'a [u8],
    nonce: [u8; NONCE_BYTES],
    pub key_index: u8,
}

impl<'a> Sealed<'a> {
    /// `None`: too short, or with another length of nonce than the only one in use.
    pub fn parse(kind: Kind, frame: &'a [u8]) -> Option<Self> {
        let (rest, trailer) = frame.split_at_checked(frame.len().checked_sub(TRAILER_BYTES)?)?;
        let [nonce_bytes, key_index] = *trailer else {
            return None;
        };
        if usize::from(nonce_bytes) != NONCE_BYTES {
            return None;
        }
        let (rest, nonce) = rest.split_at_checked(rest.len().checked_sub(NONCE_BYTES)?)?;
        let (head, ciphertext) = rest.split_at_checked(kind.clear_bytes())?;
        (ciphertext.len() >= TAG_BYTES).then_some(Self {
            head,
            ciphertext,
            nonce: nonce.try_into().ok()?,
            key_index,
        })
    }

    /// The frame as it was before; `None` when this is not the key or a byte was changed.
    pub fn open(&self, cipher: &Aes128Gcm) -> Option<Vec<u8>> {
        let plain = cipher
            .decrypt(
                &self.nonce.into(),
                Payload {
                    msg: self.ciphertext,
                    aad: self.head,
                },
            )
            .ok()?;
        let mut frame = Vec::with_capacity(self.head.len() + plain.len());
        frame.extend_from_slice(self.head);
        frame.extend_from_slice(&plain);
        Some(frame)
    }
}

/// Seals a frame. `None` only when it is longer than AES-GCM allows (64 GiB).
pub(crate) fn seal(
    cipher: &Aes128Gcm,
    key_index: u8,
    kind: Kind,
    nonce: [u8; NONCE_BYTES],
    frame: &[u8],
) -> Option<Vec<u8>> {
    let (head, plain) = frame.split_at(kind.clear_bytes().min(frame.len()));
    let mut sealed = Vec::with_capacity(frame.len() + TAG_BYTES + NONCE_BYTES + TRAILER_BYTES);
    sealed.extend_from_slice(frame);
    let tag = cipher
        .encrypt_in_place_detached(&nonce.into(), head, sealed.get_mut(head.len()..)?)
        .ok()?;
    debug_assert_eq!(sealed.len(), head.len() + plain.len());
    sealed.extend_from_slice(&tag);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&[12, key_index]);
    Some(sealed)
}

/// The nonce of livekit-client's `FrameCryptor.makeIV`: source, time, and time less a count per source. A receiver
/// takes any; what matters is that a key never meets the same one twice.
pub(crate) fn nonce(ssrc: u32, timestamp: u32, count: u32) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    let (source, times) = nonce.split_at_mut(4);
    source.copy_from_slice(&ssrc.to_be_bytes());
    let (time, difference) = times.split_at_mut(4);
    time.copy_from_slice(&timestamp.to_be_bytes());
    difference.copy_from_slice(&timestamp.wrapping_sub(count % 0xffff).to_be_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use proptest::prelude::*;

    use super::*;
    use crate::encryption::Material;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    }

    fn kind(name: &str) -> Kind {
        match name {
            "audio" => Kind::Audio,
            "key" => Kind::Vp8 { key_frame: true },
            "delta" => Kind::Vp8 { key_frame: false },
            other => panic!("{other}"),
        }
    }

    /// Made with `WebCrypto` as livekit-client does: kind, material, ratchets (also the key index), frame, sealed frame.
    #[test]
    fn frames_are_sealed_and_opened_byte_for_byte_as_browsers_do() {
        let vectors = include_str!("../../tests/corpus/frame_encryption.txt");
        let mut seen = 0;
        for line in vectors.lines() {
            let [name, material, ratchets, plain, sealed] = line.split(' ').collect::<Vec<_>>()[..]
            else {
                panic!("five fields")
            };
            let (plain, wanted) = (bytes(plain), bytes(sealed));
            let ratchets: u8 = ratchets.parse().unwrap();
            let mut material = Material::raw(bytes(material));
            for _ in 0..ratchets {
                material = material.ratcheted().unwrap();
            }
            let cipher = material.cipher();
            let parsed = Sealed::parse(kind(name), &wanted).unwrap();
            assert_eq!(parsed.key_index, ratchets);
            assert_eq!(parsed.open(&cipher).unwrap(), plain);
            let nonce = parsed.nonce;
            assert_eq!(
                seal(&cipher, ratchets, kind(name), nonce, &plain).unwrap(),
                wanted
            );
            seen += 1;
        }
        assert_eq!(seen, 27);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_refused_without_a_panic(frame: Vec<u8>, key_frame: bool) {
            let cipher = Material::raw([7; 16]).cipher();
            for kind in [Kind::Audio, Kind::Vp8 { key_frame }] {
                let opened = Sealed::parse(kind, &frame).and_then(|sealed| sealed.open(&cipher));
                prop_assert_eq!(opened, None);
            }
        }

        #[test]
        fn one_changed_bit_is_noticed(frame in prop::collection::vec(any::<u8>(), 11..200), at: prop::sample::Index) {
            let cipher = Material::raw([7; 16]).cipher();
            let kind = Kind::Vp8 { key_frame: true };
            let mut sealed = seal(&cipher, 0, kind, nonce(1, 2, 3), &frame).unwrap();
            prop_assert_eq!(Sealed::parse(kind, &sealed).unwrap().open(&cipher), Some(frame));
            let place = at.index(sealed.len() - 1);
            sealed[place] ^= 1;
            prop_assert_eq!(Sealed::parse(kind, &sealed).and_then(|s| s.open(&cipher)), None);
        }
    }
}
