//! What can go wrong, as far as a caller can tell the cases apart.

use std::error::Error as StdError;
use std::time::Duration;

use matrix_sdk::HttpError;
use matrix_sdk::ruma::api::error::{ErrorKind, RetryAfter};
use network::Failure;
use problem::{Problem, Retry};

/// Every failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    #[error("nobody is signed in to chat")]
    NotSignedIn,
    #[error("the name or the password is wrong")]
    WrongPassword,
    /// The single-use token of the browser trip was not accepted.
    #[error("the sign-in token was refused")]
    TokenRefused,
    /// The server no longer knows this device.
    #[error("the session was revoked")]
    Revoked,
    #[error("network: {0}")]
    Network(Failure),
    #[error("the room is not known")]
    RoomUnknown,
    #[error("not allowed")]
    Forbidden,
    #[error("too many requests")]
    RateLimited { after: Option<Duration> },
    #[error("larger than the server takes")]
    TooLarge { max: u64 },
    #[error("a file cannot be read")]
    FileUnreadable { name: String },
    #[error("the media is not available")]
    MediaUnavailable,
    #[error("the recovery key does not fit")]
    RecoveryWrongKey,
    /// The part of the store that holds the keys is damaged. It was set aside.
    #[error("the local store is damaged")]
    StoreCorrupt,
    #[error("another program uses the local store")]
    StoreLocked,
    #[error("the disk is full")]
    DiskFull,
    #[error("the message cannot be sent")]
    SendFailed,
    #[error("chat was closed")]
    Closed,
    /// Something without a better name; the text is for the log and never personal.
    #[error("{0}")]
    Other(&'static str),
}

impl ChatError {
    pub fn retry(&self) -> Retry {
        match self {
            Self::Network(failure) => failure.retry(),
            Self::RateLimited { after } => Retry::after(after.unwrap_or(Duration::from_secs(10))),
            Self::SendFailed => Retry::after_seconds(5),
            Self::NotSignedIn
            | Self::WrongPassword
            | Self::TokenRefused
            | Self::Revoked
            | Self::FileUnreadable { .. }
            | Self::RecoveryWrongKey
            | Self::StoreCorrupt
            | Self::StoreLocked
            | Self::DiskFull => Retry::NeedsUser,
            Self::MediaUnavailable => Retry::Network,
            Self::RoomUnknown
            | Self::Forbidden
            | Self::TooLarge { .. }
            | Self::Closed
            | Self::Other(_) => Retry::Permanent,
        }
    }

    /// Makes the problem for the screen. Call it once for each failure: it writes to the log.
    pub fn problem(&self) -> Problem {
        let retry = self.retry();
        match self {
            Self::NotSignedIn | Self::Closed => Problem::new("chat.notSignedIn", retry),
            Self::WrongPassword => Problem::new("signIn.wrongPassword", retry),
            Self::TokenRefused => Problem::new("signIn.refused", retry),
            Self::Revoked => Problem::new("signIn.revoked", retry),
            Self::Network(failure) => failure.problem(),
            Self::RoomUnknown => Problem::new("chat.roomUnknown", retry),
            Self::Forbidden => Problem::new("chat.forbidden", retry),
            Self::RateLimited { .. } => Problem::new("chat.rateLimited", retry),
            Self::TooLarge { max } => Problem::new("chat.tooLarge", retry).with("max", max),
            Self::FileUnreadable { name } => {
                Problem::new("chat.fileUnreadable", retry).with("name", name)
            }
            Self::MediaUnavailable => Problem::new("chat.mediaUnavailable", retry),
            Self::RecoveryWrongKey => Problem::new("chat.recoveryWrongKey", retry),
            Self::StoreCorrupt => Problem::new("chat.storeCorrupt", retry),
            Self::StoreLocked => Problem::new("chat.storeLocked", retry),
            Self::DiskFull => Problem::new("chat.diskFull", retry),
            Self::SendFailed => Problem::new("chat.sendFailed", retry),
            Self::Other(what) => Problem::internal(what),
        }
    }

    /// Reads an error of the SDK, whatever layer it comes from.
    pub(crate) fn of(error: &(dyn StdError + 'static), otherwise: Self) -> Self {
        if let Some(found) = chain(error).find_map(Self::of_one) {
            return found;
        }
        match Failure::of_any(error) {
            Some(failure) => Self::Network(failure),
            None => otherwise,
        }
    }

    fn of_one(error: &(dyn StdError + 'static)) -> Option<Self> {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return Self::of_http(error);
        }
        match crate::store::Damage::of(error)? {
            crate::store::Damage::DiskFull => Some(Self::DiskFull),
            crate::store::Damage::Corrupt => Some(Self::StoreCorrupt),
        }
    }

    fn of_http(error: &HttpError) -> Option<Self> {
        let server = match error {
            HttpError::Cached(inner) => return Self::of_http(inner),
            HttpError::Reqwest(inner) => return Some(Self::Network(Failure::of(inner))),
            other => other.as_client_api_error()?,
        };
        Some(match server.error_kind() {
            Some(ErrorKind::LimitExceeded(limit)) => Self::RateLimited {
                after: limit.retry_after.as_ref().and_then(|after| match after {
                    RetryAfter::Delay(pause) => Some(*pause),
                    RetryAfter::DateTime(_) => None,
                }),
            },
            Some(ErrorKind::UnknownToken { .. } | ErrorKind::MissingToken) => Self::Revoked,
            Some(ErrorKind::Forbidden) => Self::Forbidden,
            Some(ErrorKind::TooLarge) => Self::TooLarge { max: 0 },
            _ => Self::Network(Failure::of_status(server.status_code)?),
        })
    }
}

impl From<ChatError> for Problem {
    fn from(error: ChatError) -> Self {
        error.problem()
    }
}

impl From<&ChatError> for Problem {
    fn from(error: &ChatError) -> Self {
        error.problem()
    }
}

impl From<matrix_sdk::Error> for ChatError {
    fn from(error: matrix_sdk::Error) -> Self {
        Self::of(&error, Self::Other("the chat library failed"))
    }
}

impl From<HttpError> for ChatError {
    fn from(error: HttpError) -> Self {
        Self::of_http(&error).unwrap_or(Self::Other(
            "the chat server gave an answer that was not expected",
        ))
    }
}

impl From<matrix_sdk::StoreError> for ChatError {
    fn from(error: matrix_sdk::StoreError) -> Self {
        Self::of(&error, Self::Other("the local store failed"))
    }
}

impl From<matrix_sdk_ui::timeline::Error> for ChatError {
    fn from(error: matrix_sdk_ui::timeline::Error) -> Self {
        Self::of(&error, Self::Other("the conversation could not be read"))
    }
}

/// An error and what caused it. The length is bounded: a source that points at itself ends too.
pub(crate) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| under(*error)).take(32)
}

/// The next error down. The SDK's transparent wrappers skip what they wrap when asked for their source.
fn under<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    use matrix_sdk::ClientBuildError;
    use matrix_sdk::encryption::recovery::RecoveryError;
    use matrix_sdk::encryption::secret_storage::SecretStorageError;
    use matrix_sdk::event_cache::EventCacheError;
    use matrix_sdk::room::reply::ReplyError;
    use matrix_sdk::send_queue::{RoomSendQueueError, RoomSendQueueStorageError};
    use matrix_sdk_ui::{encryption_sync_service, room_list_service, sync_service, timeline};

    // One `if let` for each pattern: most of the kinds have a single wrapper in them.
    macro_rules! look_into {
        ($($kind:ty { $($pattern:pat => $inner:expr),+ $(,)? })+) => {
            $($(if let Some($pattern) = error.downcast_ref::<$kind>() {
                return Some($inner);
            })+)+
        };
    }
    look_into! {
        matrix_sdk::Error {
            matrix_sdk::Error::Http(inner) => inner.as_ref(),
            matrix_sdk::Error::StateStore(inner) => inner.as_ref(),
            matrix_sdk::Error::CryptoStoreError(inner) => inner.as_ref(),
            matrix_sdk::Error::EventCacheStore(inner) => inner.as_ref(),
            matrix_sdk::Error::MediaStore(inner) => inner.as_ref(),
            matrix_sdk::Error::EventCache(inner) => inner.as_ref(),
            matrix_sdk::Error::Io(inner) => inner,
            matrix_sdk::Error::UnknownError(inner) => inner.as_ref(),
        }
        matrix_sdk::StoreError { matrix_sdk::StoreError::Backend(inner) => inner.as_ref() }
        ClientBuildError { ClientBuildError::Http(inner) => inner }
        sync_service::Error {
            sync_service::Error::RoomList(inner) => inner,
            sync_service::Error::EncryptionSync(inner) => inner,
        }
        room_list_service::Error { room_list_service::Error::SlidingSync(inner) => inner }
        encryption_sync_service::Error {
            encryption_sync_service::Error::SlidingSync(inner) => inner,
            encryption_sync_service::Error::LockError(inner) => inner,
            encryption_sync_service::Error::ClientError(inner) => inner,
        }
        timeline::Error {
            timeline::Error::EventCacheError(inner) => inner,
            timeline::Error::PaginationError(inner) => inner,
            timeline::Error::SendQueueError(inner) => inner,
            timeline::Error::ReplyError(inner) => inner,
        }
        timeline::PaginationError { timeline::PaginationError::EventCache(inner) => inner }
        EventCacheError { EventCacheError::PaginationError(inner) => inner.as_ref() }
        RoomSendQueueError { RoomSendQueueError::StorageError(inner) => inner }
        RoomSendQueueStorageError { RoomSendQueueStorageError::StateStoreError(inner) => inner }
        ReplyError { ReplyError::Fetch(inner) => inner.as_ref() }
        RecoveryError {
            RecoveryError::Sdk(inner) => inner,
            RecoveryError::SecretStorage(inner) => inner,
        }
        SecretStorageError { SecretStorageError::Sdk(inner) => inner }
    }
    error.source()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_full_disk_is_found_under_the_wrappers_of_the_sdk() {
        let disk = std::io::Error::other("database or disk is full");
        let error = matrix_sdk::Error::StateStore(Box::new(matrix_sdk::StoreError::Backend(
            Box::new(disk),
        )));
        assert!(matches!(ChatError::from(error), ChatError::DiskFull));
    }

    #[test]
    fn a_damaged_database_is_not_called_a_network_failure() {
        let damage = std::io::Error::other("database disk image is malformed");
        let error = matrix_sdk::Error::StateStore(Box::new(matrix_sdk::StoreError::Backend(
            Box::new(damage),
        )));
        assert!(matches!(ChatError::from(error), ChatError::StoreCorrupt));
    }

    #[test]
    fn every_failure_has_a_code_of_the_contract() {
        for (error, code) in [
            (ChatError::TooLarge { max: 7 }, "chat.tooLarge"),
            (ChatError::WrongPassword, "signIn.wrongPassword"),
            (ChatError::Network(Failure::Offline), "network.offline"),
            (ChatError::Other("x"), "internal"),
        ] {
            assert_eq!(error.problem().code, code);
        }
    }
}
