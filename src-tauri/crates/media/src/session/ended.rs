//! State: the session is over, and says why.

use livekit_protocol::DisconnectReason;

use super::engine::Engine;
use super::{Ended as Reason, State};

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Ended {
    /// We left.
    Left,
    /// The same identity joined from elsewhere.
    JoinedElsewhere,
    Removed,
    /// The meeting was closed for everybody.
    Closed,
    /// The token does not let us in (any more).
    Refused,
    /// Every attempt to come back failed.
    Unreachable,
    /// The server ended it for another reason.
    ByServer,
}

impl From<DisconnectReason> for Ended {
    fn from(reason: DisconnectReason) -> Self {
        match reason {
            DisconnectReason::ClientInitiated => Self::Left,
            DisconnectReason::DuplicateIdentity => Self::JoinedElsewhere,
            DisconnectReason::ParticipantRemoved | DisconnectReason::UserRejected => Self::Removed,
            DisconnectReason::RoomDeleted | DisconnectReason::RoomClosed => Self::Closed,
            _ => Self::ByServer,
        }
    }
}

/// Ends what hangs on the session and publishes the reason, which is the last thing that it says.
pub(super) fn enter(engine: &mut Engine, reason: Reason) {
    engine.end.cancel();
    engine.current.send_replace(None);
    engine.incoming.set_tracks(std::iter::empty());
    engine.enter(State::Ended(reason));
}
