//! Changes of a room that are told in a line: who came, what it is called now.

use matrix_sdk::ruma::UserId;
use matrix_sdk::ruma::events::StateEventContentChange;
use matrix_sdk_ui::timeline::{
    AnyOtherStateEventContentChange, MemberProfileChange, MembershipChange, OtherState,
    RoomMembershipChange, TimelineItemContent,
};

use crate::text::{self, names};
use crate::view::{RoomNotice, RoomNoticeType};

const VALUE: usize = 240;

/// The notice an event is told by; `None` for messages.
pub(crate) fn of(content: &TimelineItemContent) -> Option<RoomNotice> {
    match content {
        TimelineItemContent::MembershipChange(change) => Some(membership(change)),
        TimelineItemContent::ProfileChange(change) => Some(profile(change)),
        TimelineItemContent::OtherState(state) => Some(other(state)),
        TimelineItemContent::FailedToParseState { .. } => Some(RoomNotice {
            kind: RoomNoticeType::Other,
            target: None,
            value: None,
        }),
        TimelineItemContent::MsgLike(_)
        | TimelineItemContent::FailedToParseMessageLike { .. }
        | TimelineItemContent::CallInvite
        | TimelineItemContent::RtcNotification { .. } => None,
    }
}

fn membership(change: &RoomMembershipChange) -> RoomNotice {
    use MembershipChange as Change;
    let kind = match change.change() {
        Some(Change::Joined | Change::InvitationAccepted | Change::KnockAccepted) => {
            RoomNoticeType::Joined
        }
        Some(Change::Left | Change::InvitationRejected | Change::KnockRetracted) => {
            RoomNoticeType::Left
        }
        Some(Change::Invited) => RoomNoticeType::Invited,
        Some(
            Change::Kicked
            | Change::Banned
            | Change::KickedAndBanned
            | Change::InvitationRevoked
            | Change::KnockDenied,
        ) => RoomNoticeType::Removed,
        _ => RoomNoticeType::Other,
    };
    RoomNotice {
        kind,
        target: Some(person(change.display_name().as_deref(), change.user_id())),
        value: None,
    }
}

fn profile(change: &MemberProfileChange) -> RoomNotice {
    let renamed = change.displayname_change();
    let before = renamed.and_then(|names| names.old.as_deref());
    RoomNotice {
        kind: RoomNoticeType::Profile,
        target: Some(person(before, change.user_id())),
        value: renamed
            .and_then(|names| names.new.as_deref())
            .map(names::name)
            .filter(|name| !name.is_empty()),
    }
}

fn other(state: &OtherState) -> RoomNotice {
    use AnyOtherStateEventContentChange as State;
    let (kind, value) = match state.content() {
        State::RoomName(StateEventContentChange::Original { content, .. }) => {
            (RoomNoticeType::Named, Some(names::name(&content.name)))
        }
        State::RoomName(_) => (RoomNoticeType::Named, None),
        State::RoomTopic(StateEventContentChange::Original { content, .. }) => (
            RoomNoticeType::Topic,
            Some(text::one_line(&content.topic, VALUE)),
        ),
        State::RoomTopic(_) => (RoomNoticeType::Topic, None),
        State::RoomAvatar(_) => (RoomNoticeType::Avatar, None),
        State::RoomEncryption(_) => (RoomNoticeType::Encryption, None),
        State::RoomCreate(_) => (RoomNoticeType::Created, None),
        _ => (RoomNoticeType::Other, None),
    };
    RoomNotice {
        kind,
        target: None,
        value: value.filter(|value| !value.is_empty()),
    }
}

fn person(name: Option<&str>, id: &UserId) -> String {
    names::person(name, id.as_str())
}
