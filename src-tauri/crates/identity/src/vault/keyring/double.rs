//! A keyring in memory, whose lock and size limit tests can set.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use keyring_core::mock;

use super::{Lock, Platform};
use crate::vault::{Vault, VaultError};

/// What a test does to the keyring behind the vault's back.
#[derive(Clone, Default)]
pub struct Hands {
    pub locked: Arc<AtomicBool>,
    pub missing: Arc<AtomicBool>,
    pub unlockable: Arc<AtomicBool>,
    pub connections: Arc<AtomicUsize>,
    /// The person's answer is awaited here.
    pub question: Arc<Mutex<Option<Receiver<()>>>>,
}

struct SwitchedLock(Hands);

impl Lock for SwitchedLock {
    fn locked(&self) -> Result<bool, VaultError> {
        if self.0.missing.load(Ordering::SeqCst) {
            return Err(VaultError::Failed("gone"));
        }
        Ok(self.0.locked.load(Ordering::SeqCst))
    }

    fn unlock(&self) -> Result<(), VaultError> {
        if let Some(question) = self.0.question.lock().unwrap().take() {
            let _ = question.recv();
        }
        if self.0.unlockable.load(Ordering::SeqCst) {
            self.0.locked.store(false, Ordering::SeqCst);
        }
        Ok(())
    }
}

pub fn vault(limit: usize) -> (Vault, Hands) {
    let hands = Hands::default();
    let store = mock::Store::new().unwrap();
    let seen = hands.clone();
    let connect = Box::new(move || {
        if seen.missing.load(Ordering::SeqCst) {
            return Err(VaultError::Missing);
        }
        seen.connections.fetch_add(1, Ordering::SeqCst);
        let lock = Box::new(SwitchedLock(seen.clone()));
        Ok(Platform {
            store: store.clone(),
            lock,
            limit,
        })
    });
    (Vault::start("app.cordee.test", connect).unwrap(), hands)
}
