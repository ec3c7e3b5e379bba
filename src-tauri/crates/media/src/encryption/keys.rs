//! From the material that participants share to the key that seals frames.

use aes_gcm::{Aes128Gcm, Key, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// livekit-client `src/e2ee/constants.ts`.
const SALT: &[u8] = b"LKFrameEncryptionKey";
const INFO: [u8; 128] = [0; 128];
const ROUNDS: u32 = 100_000;
const KEY_BYTES: usize = 16;
const RATCHETED_BYTES: usize = 32;

/// What participants share, before a key is derived from it.
#[derive(Clone)]
pub enum Material {
    /// Random bytes, 16 from Element Call.
    Raw(Zeroizing<Vec<u8>>),
    /// Words that people typed. Deriving the key takes tens of milliseconds of CPU.
    PassPhrase(Zeroizing<String>),
}

impl Material {
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Raw(Zeroizing::new(bytes.into()))
    }

    pub fn pass_phrase(words: impl Into<String>) -> Self {
        Self::PassPhrase(Zeroizing::new(words.into()))
    }

    /// The next material, by which all sides move on without a message. A pass phrase has none: `LiveKit` ratchets
    /// only what HKDF derived.
    pub(crate) fn ratcheted(&self) -> Option<Self> {
        let Self::Raw(bytes) = self else { return None };
        let mut next = Zeroizing::new(vec![0; RATCHETED_BYTES]);
        Hkdf::<Sha256>::new(Some(SALT), bytes)
            .expand(&INFO, &mut next)
            .ok()?;
        Some(Self::Raw(next))
    }

    pub(crate) fn cipher(&self) -> Aes128Gcm {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        match self {
            Self::Raw(bytes) => {
                // Fails only for more than 255 blocks of output; ours is one.
                let _ = Hkdf::<Sha256>::new(Some(SALT), bytes).expand(&INFO, &mut *key);
            }
            Self::PassPhrase(words) => {
                pbkdf2::pbkdf2_hmac::<Sha256>(words.as_bytes(), SALT, ROUNDS, &mut *key);
            }
        }
        Aes128Gcm::new(Key::<Aes128Gcm>::from_slice(&*key))
    }
}

/// Keys are never written anywhere, logs included.
impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Raw(_) => "Raw(…)",
            Self::PassPhrase(_) => "PassPhrase(…)",
        })
    }
}
