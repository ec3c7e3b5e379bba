//! Keys: this device trusted by the person's others, and a way back to old messages.
//!
//! ```text
//! first device:  sign-in ─▶ cross-signing + key backup (by the SDK) ─▶ recovery NotSetUp
//!                recovery_create ─▶ key shown ─▶ recovery_confirm ─▶ Ready
//! next device:   sign-in ─▶ Needed ─▶ recover(key) ─▶ Ready, old messages readable
//! ```
//!
//! A key that was made but not confirmed to be kept does not count: the state says `NotSetUp` until then.

use std::sync::Arc;

use futures_util::StreamExt;
use matrix_sdk::encryption::VerificationState;
use matrix_sdk::encryption::recovery::{RecoveryError, RecoveryState};
use matrix_sdk::encryption::secret_storage::SecretStorageError;
use matrix_sdk::ruma::MilliSecondsSinceUnixEpoch;

use crate::chat::Shared;
use crate::error::ChatError;
use crate::text::names;
use crate::view::{Device, Recovery, milliseconds};

/// Remembers over a restart that a key was shown but not confirmed.
const UNCONFIRMED: &[u8] = b"cordee.recovery.unconfirmed";

impl Shared {
    /// Makes a recovery key. It is shown once and kept nowhere on this device.
    pub(crate) async fn recovery_create(&self) -> Result<String, ChatError> {
        let shared = self;
        shared.live()?;
        let encryption = shared.client.encryption();
        encryption.wait_for_e2ee_initialization_tasks().await;
        let recovery = encryption.recovery();
        if !encryption
            .cross_signing_status()
            .await
            .is_some_and(|status| status.is_complete())
        {
            if recovery.state() == RecoveryState::Incomplete {
                // Another device has the keys: the person has to type the key there is.
                return Err(ChatError::Forbidden);
            }
            encryption
                .bootstrap_cross_signing_if_needed(None)
                .await
                .map_err(ChatError::from)?;
        }
        shared.mark_unconfirmed(true).await?;
        let key = if recovery.state() == RecoveryState::Enabled {
            recovery.reset_key().await
        } else {
            recovery.enable().await
        };
        match key {
            Ok(key) => {
                shared.show_recovery().await;
                Ok(key)
            }
            Err(error) => {
                shared.mark_unconfirmed(false).await?;
                Err(failure(&error))
            }
        }
    }

    /// The person says that the key is kept.
    pub(crate) async fn recovery_confirm(&self) -> Result<(), ChatError> {
        self.live()?;
        self.mark_unconfirmed(false).await?;
        self.show_recovery().await;
        Ok(())
    }

    /// Makes old messages readable on this device and lets the others trust it.
    pub(crate) async fn recover(&self, key: &str) -> Result<(), ChatError> {
        self.live()?;
        let key = key.trim();
        if key.is_empty() || key.len() > 1_024 {
            return Err(ChatError::RecoveryWrongKey);
        }
        let encryption = self.client.encryption();
        encryption.wait_for_e2ee_initialization_tasks().await;
        encryption
            .recovery()
            .recover(key)
            .await
            .map_err(|error| failure(&error))?;
        self.mark_unconfirmed(false).await?;
        self.show_recovery().await;
        Ok(())
    }

    /// The key was lost: makes a new one. Where no device has the keys any more, old messages stay unreadable,
    /// and a server that wants a proof of who asks refuses (`Forbidden`).
    pub(crate) async fn recovery_reset(&self) -> Result<String, ChatError> {
        self.live()?;
        let encryption = self.client.encryption();
        encryption.wait_for_e2ee_initialization_tasks().await;
        let complete = encryption
            .cross_signing_status()
            .await
            .is_some_and(|status| status.is_complete());
        if !complete
            && let Some(proof) = encryption
                .recovery()
                .reset_identity()
                .await
                .map_err(|error| failure(&error))?
        {
            proof.cancel().await;
            return Err(ChatError::Forbidden);
        }
        self.recovery_create().await
    }

    /// The devices this person is signed in on, this one first.
    pub(crate) async fn devices(&self) -> Result<Vec<Device>, ChatError> {
        self.live()?;
        let client = &self.client;
        let known = client.devices().await?.devices;
        let trusted = client.encryption().get_user_devices(&self.own).await.ok();
        let mut devices: Vec<Device> = known
            .into_iter()
            .map(|device| Device {
                current: client
                    .device_id()
                    .is_some_and(|current| *current == device.device_id),
                verified: trusted
                    .as_ref()
                    .and_then(|trusted| trusted.get(&device.device_id))
                    .is_some_and(|device| device.is_cross_signed_by_owner()),
                name: device
                    .display_name
                    .as_deref()
                    .map(names::name)
                    .filter(|name| !name.is_empty()),
                last_seen: device
                    .last_seen_ts
                    .map(|at: MilliSecondsSinceUnixEpoch| milliseconds(at)),
                last_ip: device.last_seen_ip,
                id: device.device_id.to_string(),
            })
            .collect();
        devices.sort_by(|a, b| {
            b.current.cmp(&a.current).then(
                b.last_seen
                    .unwrap_or(0.0)
                    .total_cmp(&a.last_seen.unwrap_or(0.0)),
            )
        });
        Ok(devices)
    }
}

/// Shows what is known of keys, and every change.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let encryption = shared.client.encryption();
    let mut verification = encryption.verification_state();
    let mut recovery = Box::pin(encryption.recovery().state_stream());
    show_verified(&shared, verification.get());
    shared.show_recovery().await;
    loop {
        tokio::select! {
            state = verification.next() => match state {
                Some(state) => show_verified(&shared, state),
                None => return,
            },
            state = recovery.next() => match state {
                Some(_) => shared.show_recovery().await,
                None => return,
            },
        }
    }
}

fn show_verified(shared: &Shared, state: VerificationState) {
    let verified = state == VerificationState::Verified;
    shared
        .status
        .send_if_modified(|status| std::mem::replace(&mut status.verified, verified) != verified);
}

impl Shared {
    async fn show_recovery(&self) {
        // One after the other: whoever looked first must not speak last.
        let _turn = self.recovery_turn.lock().await;
        let unconfirmed = self
            .client
            .state_store()
            .get_custom_value(UNCONFIRMED)
            .await
            .ok()
            .flatten()
            .is_some();
        let recovery = match self.client.encryption().recovery().state() {
            RecoveryState::Unknown => Recovery::Unknown,
            RecoveryState::Disabled => Recovery::NotSetUp,
            RecoveryState::Incomplete if !self.holds_all_secrets().await => Recovery::Needed,
            RecoveryState::Incomplete | RecoveryState::Enabled if unconfirmed => Recovery::NotSetUp,
            RecoveryState::Incomplete | RecoveryState::Enabled => Recovery::Ready,
        };
        self.status.send_if_modified(|status| {
            std::mem::replace(&mut status.recovery, recovery) != recovery
        });
    }

    /// The SDK's own word for it (`RecoveryState`, 0.18) can be wrong for ever: several of its tasks work it out at once,
    /// and the one that looked first may be the last to note what it saw.
    async fn holds_all_secrets(&self) -> bool {
        let encryption = self.client.encryption();
        let keys = encryption.cross_signing_status().await;
        keys.is_some_and(|keys| keys.is_complete()) && encryption.backups().are_enabled().await
    }

    async fn mark_unconfirmed(&self, unconfirmed: bool) -> Result<(), ChatError> {
        let store = self.client.state_store();
        if unconfirmed {
            store.set_custom_value(UNCONFIRMED, vec![1]).await?;
        } else {
            store.remove_custom_value(UNCONFIRMED).await?;
        }
        Ok(())
    }
}

fn failure(error: &RecoveryError) -> ChatError {
    match error {
        RecoveryError::SecretStorage(
            SecretStorageError::SecretStorageKey(_)
            | SecretStorageError::Decryption(_)
            | SecretStorageError::ImportError { .. },
        ) => ChatError::RecoveryWrongKey,
        RecoveryError::BackupExistsOnServer => ChatError::Forbidden,
        error => ChatError::of(error, ChatError::Other("the keys could not be recovered")),
    }
}
