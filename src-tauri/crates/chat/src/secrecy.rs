//! No message leaves in clear because its room was still being made.
//!
//! A homeserver tells of a room while it makes it: an exchange in that moment brings the room without its encryption
//! event, and as that event was asked for, its absence counts as "not encrypted" (MSC4186, `required_state`). Until
//! the next answer the SDK would send in clear. So a room that is said not to be encrypted is asked about once, before
//! the first message goes there.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use matrix_sdk::config::RequestConfig;
use matrix_sdk::ruma::OwnedRoomId;
use matrix_sdk::ruma::api::client::state::get_state_event_for_key::v3 as get_state;
use matrix_sdk::ruma::api::error::ErrorKind;
use matrix_sdk::ruma::events::StateEventType;
use matrix_sdk::{EncryptionState, Room as SdkRoom};
use network::Failure;

use crate::chat::Shared;
use crate::error::ChatError;

/// Longest wait for the exchange to bring the encryption of a room.
const PATIENCE: Duration = Duration::from_secs(15);

/// Rooms of which the server said that they are not encrypted.
#[derive(Debug, Default)]
pub(crate) struct Open(Mutex<HashSet<OwnedRoomId>>);

impl Shared {
    /// Waits until a message to this room would be encrypted, if it has to be.
    ///
    /// # Errors
    /// The room is encrypted, and the exchange did not tell so in time: nothing may be sent yet.
    pub(crate) async fn secrecy_known(&self, room: &SdkRoom) -> Result<(), ChatError> {
        let known = || self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a room about which nothing is known the SDK asks by itself. Without the server nothing can be new.
        let doubtful = matches!(room.encryption_state(), EncryptionState::NotEncrypted)
            && self.is_live()
            && !known().contains(room.room_id());
        if !doubtful {
            return Ok(());
        }
        let id = room.room_id().to_owned();
        let request =
            get_state::Request::new(id.clone(), StateEventType::RoomEncryption, String::new());
        let config = RequestConfig::short_retry();
        match self.client.send(request).with_request_config(config).await {
            Ok(_) => encrypted(room).await,
            Err(error) if error.client_api_error_kind() == Some(&ErrorKind::NotFound) => {
                known().insert(id);
                Ok(())
            }
            Err(error) => match error.into() {
                // The message waits in the queue until the exchange goes on, and with it comes what was missing.
                ChatError::Network(_) => Ok(()),
                refused => Err(refused),
            },
        }
    }
}

/// Waits until the SDK knows that the room is encrypted.
pub(crate) async fn encrypted(room: &SdkRoom) -> Result<(), ChatError> {
    let mut changes = room.subscribe_info();
    let told = async {
        while !room.encryption_state().is_encrypted() {
            if changes.next().await.is_none() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .map_err(|_| ChatError::Network(Failure::Timeout))
}
