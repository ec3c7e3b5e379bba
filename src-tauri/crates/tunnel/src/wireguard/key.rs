//! Keys as `wg genkey` and `wg pubkey` write them: 32 bytes in base 64.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A `WireGuard` key. Wiped from memory when dropped, never shown.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; 32]);

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a key is written in base 64, 44 characters with `=` at the end")]
    NotBase64,
    #[error("a key has 32 bytes, this one has {0}")]
    Length(usize),
    #[error("this key is all zeros")]
    Zero,
}

impl Key {
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh private key from the system's randomness.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The public key that belongs to this private key.
    #[must_use]
    pub fn public(&self) -> Self {
        let secret = gotatun::x25519::StaticSecret::from(self.0);
        Self(gotatun::x25519::PublicKey::from(&secret).to_bytes())
    }

    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As it is written in configurations. For private keys this is a secret.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut bytes = STANDARD.decode(text).map_err(|_| KeyError::NotBase64)?;
        let length = bytes.len();
        let key = <[u8; 32]>::try_from(bytes.as_slice());
        bytes.zeroize();
        match key {
            Ok(key) if key == [0; 32] => Err(KeyError::Zero),
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(KeyError::Length(length)),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}
