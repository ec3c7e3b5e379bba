//! Which account this device holds. The file names only the organisation: everything about the
//! person is in the keyring or in the encrypted store.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Name of the chat session in the keyring.
pub const CHAT_SESSION: &str = "chat.session";

/// Account name of the store's key in the keyring.
pub const STORE: &str = "chat";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Host, with a port when it is not 443.
    pub organisation: String,
}

impl Account {
    /// `None` when nobody signed in, or when the file cannot be read: signing in again is safe.
    pub fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(file).ok()?).ok()
    }

    pub fn write(&self, file: &Path) -> std::io::Result<()> {
        let written = file.with_extension("json.new");
        std::fs::write(&written, serde_json::to_vec(self)?)?;
        std::fs::rename(written, file)
    }

    pub fn forget(file: &Path) -> bool {
        match std::fs::remove_file(file) {
            Ok(()) => true,
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }
}
