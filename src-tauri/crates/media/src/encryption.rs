//! Frame encryption as `LiveKit`'s clients and Element Call do it: each encoded frame is sealed before it is cut into
//! packets, so the server forwards what it cannot read.
//!
//! ```text
//! frame     clear head | AES-128-GCM ciphertext, tag (16) | nonce (12) | 12 | key index
//! key       raw material   HKDF-SHA-256(salt "LKFrameEncryptionKey", info 128 zero bytes) → 16 bytes
//!           pass phrase    PBKDF2-HMAC-SHA-256(the same salt, 100 000 rounds)              → 16 bytes
//! ratchet   material'      HKDF of the material, 32 bytes
//! ```
//!
//! The head stays readable so that servers and packetisers can tell key frames; it is authenticated.

mod frame;
#[cfg(test)]
mod hostile_tests;
mod injected;
mod keys;
mod ring;

pub use keys::Material;
pub use ring::{KeyRing, OpenError};

pub(crate) use frame::{Kind, nonce};
pub(crate) use injected::{Injected, recognise};
