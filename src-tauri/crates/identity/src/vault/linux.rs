//! Linux: the Secret Service on the session bus (GNOME Keyring, KDE Wallet, `KeePassXC`).
//!
//! The store finds nothing in a locked collection and its own search unlocks with a prompt, so the lock is looked at
//! beside it, on the default collection, where everything of ours is.

use keyring_core::Error;
use secret_service::EncryptionType;
use secret_service::blocking::SecretService;
use zbus_secret_service_keyring_store::Store;

use super::VaultError;
use super::keyring::{Lock, Platform};

/// Name of the collection that is made for a person who has none.
const FIRST_COLLECTION: &str = "Login";

pub fn connect() -> Result<Platform, VaultError> {
    // Whatever stands in the way (no bus, no service on it), there is no keyring to talk to.
    let service = SecretService::connect(EncryptionType::Dh).map_err(|error| {
        tracing::warn!(kind = kind(&error), "no secret service");
        VaultError::Missing
    })?;
    let store = Store::new().map_err(|error| match error {
        Error::NoStorageAccess(_) => VaultError::Locked,
        _ => VaultError::Missing,
    })?;
    Ok(Platform {
        store,
        lock: Box::new(DefaultCollection { service }),
        limit: usize::MAX,
    })
}

struct DefaultCollection {
    service: SecretService<'static>,
}

impl Lock for DefaultCollection {
    fn locked(&self) -> Result<bool, VaultError> {
        match self.service.get_default_collection() {
            Ok(collection) => collection.is_locked().map_err(|error| explain(&error)),
            // A person without any collection (first login, or a daemon that was started without a password). It
            // cannot be told from a collection that is not loaded yet, so it counts as locked.
            Err(secret_service::Error::NoResult) => Ok(true),
            Err(error) => Err(explain(&error)),
        }
    }

    fn unlock(&self) -> Result<(), VaultError> {
        match self.service.get_default_collection() {
            Ok(collection) => {
                if collection.is_locked().map_err(|error| explain(&error))? {
                    collection.unlock().map_err(|error| explain(&error))?;
                }
                Ok(())
            }
            Err(secret_service::Error::NoResult) => {
                self.service
                    .create_collection(FIRST_COLLECTION, "default")
                    .map_err(|error| explain(&error))?;
                Ok(())
            }
            Err(error) => Err(explain(&error)),
        }
    }
}

fn explain(error: &secret_service::Error) -> VaultError {
    match error {
        secret_service::Error::Locked
        | secret_service::Error::NoResult
        | secret_service::Error::Prompt
        | secret_service::Error::PromptDisconnected => VaultError::Locked,
        secret_service::Error::Unavailable => VaultError::Missing,
        error => {
            tracing::warn!(kind = kind(error), "the secret service failed");
            VaultError::Failed("the secret service failed")
        }
    }
}

/// What may stand in a log: never the message, which can hold paths.
fn kind(error: &secret_service::Error) -> &'static str {
    match error {
        secret_service::Error::Crypto(_) => "crypto",
        secret_service::Error::Zbus(_) | secret_service::Error::ZbusFdo(_) => "bus",
        secret_service::Error::Zvariant(_) => "format",
        secret_service::Error::Locked => "locked",
        secret_service::Error::NoResult => "no result",
        secret_service::Error::Prompt | secret_service::Error::PromptDisconnected => "prompt",
        secret_service::Error::Unavailable => "unavailable",
        _ => "other",
    }
}
