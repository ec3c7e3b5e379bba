//! A line of the room list from what is in memory: no request, no database.

use matrix_sdk::latest_events::LatestEventValue;
use matrix_sdk::notification_settings::RoomNotificationMode;
use matrix_sdk::ruma::events::direct::OwnedDirectUserIdentifier;
use matrix_sdk::ruma::{OwnedUserId, UserId};
use matrix_sdk::{EncryptionState, Room as SdkRoom, RoomDisplayName, RoomState};

use super::preview;
use crate::chat::Shared;
use crate::text::{self, names};
use crate::view::{LastMessage, Room, RoomKind, milliseconds};

/// Longest topic that is shown.
const TOPIC: usize = 240;
/// Names in the title of a room that has none of its own.
const NAMES_IN_TITLE: usize = 3;

pub(crate) fn view(shared: &Shared, room: &SdkRoom) -> Room {
    let person = direct_person(room);
    let invited = room.state() == RoomState::Invited;
    let name = name(shared, room, person.as_ref());
    let latest = room.latest_event();
    let at = latest.timestamp().map_or(0.0, milliseconds);
    let avatar = room
        .avatar_url()
        .or_else(|| {
            let heroes = room.heroes();
            match (heroes.as_slice(), &person) {
                ([hero], Some(_)) => hero.avatar_url.clone(),
                _ => None,
            }
        })
        .map(|avatar| shared.media.avatar(&avatar));
    Room {
        id: room.room_id().to_string(),
        name,
        kind: if person.is_some() {
            RoomKind::Direct
        } else {
            RoomKind::Channel
        },
        avatar,
        person: person.map(|person| person.to_string()),
        topic: room
            .topic()
            .map(|topic| text::one_line(&topic, TOPIC))
            .filter(|topic| !topic.is_empty()),
        last: last(shared, room, &latest),
        at,
        unread: number(room.num_unread_messages()),
        mentions: number(room.num_unread_mentions()),
        marked: room.is_marked_unread(),
        favourite: room.is_favourite(),
        muted: room.cached_user_defined_notification_mode() == Some(RoomNotificationMode::Mute),
        encrypted: match room.encryption_state() {
            EncryptionState::Unknown => None,
            state => Some(state.is_encrypted()),
        },
        members: number(room.joined_members_count()),
        invited,
        inviter: inviter(&latest)
            .filter(|_| invited)
            .map(|inviter| known_name(shared, &inviter).unwrap_or_default()),
    }
}

/// Whether something is missing that the database may know.
pub(crate) fn lacks(shared: &Shared, room: &SdkRoom) -> bool {
    can_be_named(room) || has_nothing_last(room) || !people_of(shared, room).is_empty()
}

/// Whether no last message is known. The SDK works it out after the exchange with the server, and afterwards only for
/// rooms that the server tells something about: closed in between, the room would stay without one until somebody
/// writes there.
pub(crate) fn has_nothing_last(room: &SdkRoom) -> bool {
    room.state() == RoomState::Joined && matches!(room.latest_event(), LatestEventValue::None)
}

/// Whether the name is worth computing. The list holds a room before the SDK has written down what came with it, and
/// that of an invitation too: computed then, the name is "empty" or that of whoever invites, and it stays.
pub(crate) fn can_be_named(room: &SdkRoom) -> bool {
    room.cached_display_name().is_none() && room.is_state_partially_or_fully_synced()
}

/// People whose names the line needs and that are not known yet.
pub(crate) fn people_of(shared: &Shared, room: &SdkRoom) -> Vec<OwnedUserId> {
    let latest = room.latest_event();
    sender(&latest)
        .into_iter()
        .chain(inviter(&latest))
        .chain(preview::mentioned(&latest))
        .filter(|person| shared.rooms.people.get(person).is_none())
        .collect()
}

/// The other person of a direct conversation.
pub(crate) fn direct_person(room: &SdkRoom) -> Option<OwnedUserId> {
    let mut targets = room
        .direct_targets()
        .into_iter()
        .filter_map(OwnedDirectUserIdentifier::into_user_id);
    let person = targets.next()?;
    targets.next().is_none().then_some(person)
}

fn name(shared: &Shared, room: &SdkRoom, person: Option<&OwnedUserId>) -> String {
    // What the room calls itself comes first, and at once: the computed name follows a moment later.
    let own = room.name().map(|name| names::name(&name));
    if let Some(own) = own.filter(|own| !own.is_empty()) {
        return own;
    }
    let Some(known) = room.cached_display_name() else {
        return String::new();
    };
    let shown = match known {
        RoomDisplayName::Named(name)
        | RoomDisplayName::Aliased(name)
        | RoomDisplayName::EmptyWas(name) => names::name(&name),
        // The SDK's own wording of several names is English.
        RoomDisplayName::Calculated(name) => {
            let heroes: Vec<String> = room
                .heroes()
                .iter()
                .map(|hero| names::person(hero.display_name.as_deref(), hero.user_id.as_str()))
                .collect();
            match heroes.len() {
                0 if room.joined_members_count() > 2 => String::new(),
                0 => names::name(&name),
                count if count > NAMES_IN_TITLE => {
                    format!("{}…", heroes[..NAMES_IN_TITLE].join(", "))
                }
                _ => heroes.join(", "),
            }
        }
        RoomDisplayName::Empty => String::new(),
    };
    if !shown.is_empty() {
        return shown;
    }
    match person {
        Some(person) => {
            known_name(shared, person).unwrap_or_else(|| names::person(None, person.as_str()))
        }
        None => "—".to_owned(),
    }
}

fn known_name(shared: &Shared, person: &UserId) -> Option<String> {
    shared.rooms.people.get(person).map(|known| known.name)
}

fn sender(latest: &LatestEventValue) -> Option<OwnedUserId> {
    match latest {
        LatestEventValue::Remote(event) => event.sender(),
        _ => None,
    }
}

fn inviter(latest: &LatestEventValue) -> Option<OwnedUserId> {
    match latest {
        LatestEventValue::RemoteInvite { inviter, .. } => inviter.clone(),
        _ => None,
    }
}

fn last(shared: &Shared, room: &SdkRoom, latest: &LatestEventValue) -> Option<LastMessage> {
    let names = |id: &str| known_name(shared, <&UserId>::try_from(id).ok()?);
    let preview = preview::of(latest, &names)?;
    let sender = sender(latest);
    let mine = latest.is_local() || sender.as_ref().is_some_and(|sender| *sender == shared.own);
    let hero = |id: &OwnedUserId| {
        room.heroes()
            .iter()
            .find(|hero| hero.user_id == *id)
            .and_then(|hero| {
                hero.display_name
                    .as_deref()
                    .map(|name| names::person(Some(name), id.as_str()))
            })
    };
    Some(LastMessage {
        mine,
        sender: sender
            .filter(|_| !mine)
            .and_then(|sender| known_name(shared, &sender).or_else(|| hero(&sender))),
        kind: preview.kind,
        text: preview.text,
        at: latest.timestamp().map_or(0.0, milliseconds),
        sending: latest.is_unsent(),
    })
}

fn number(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
