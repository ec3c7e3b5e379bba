//! Windows: the Credential Manager, open for as long as the person's Windows session.

use windows_native_keyring_store::Store;

use super::VaultError;
use super::keyring::{Lock, Platform};

/// `CRED_MAX_CREDENTIAL_BLOB_SIZE` is 5 × 512 bytes.
const LARGEST_BLOB: usize = 2560;

pub fn connect() -> Result<Platform, VaultError> {
    let store = Store::new().map_err(|_| VaultError::Missing)?;
    Ok(Platform {
        store,
        lock: Box::new(OpenWithSession),
        limit: LARGEST_BLOB,
    })
}

struct OpenWithSession;

impl Lock for OpenWithSession {
    fn locked(&self) -> Result<bool, VaultError> {
        Ok(false)
    }

    fn unlock(&self) -> Result<(), VaultError> {
        Ok(())
    }
}
