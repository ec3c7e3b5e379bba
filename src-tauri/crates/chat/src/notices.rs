//! New messages a person should be told about, as their push rules say.

use std::sync::{Arc, Weak};
use std::time::Duration;

use matrix_sdk::Room as SdkRoom;
use matrix_sdk::deserialized_responses::RawAnySyncOrStrippedTimelineEvent;
use matrix_sdk::ruma::events::{AnySyncMessageLikeEvent, AnySyncTimelineEvent};
use matrix_sdk::ruma::push::Action;
use matrix_sdk::ruma::{MilliSecondsSinceUnixEpoch, UserId};

use crate::chat::Shared;
use crate::rooms::preview;
use crate::text::names;
use crate::view::Notice;

/// The key of a message may come a moment after the message.
const KEY_MAY_COME: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Clocks of server and device may differ by so much, in milliseconds.
const CLOCKS: f64 = 60_000.0;

/// Listens from now on. Messages from before the start are not news.
pub(crate) async fn listen(shared: &Arc<Shared>) {
    let started = f64::from(MilliSecondsSinceUnixEpoch::now().0) - CLOCKS;
    let weak: Weak<Shared> = Arc::downgrade(shared);
    shared
        .client
        .register_notification_handler(move |notification, room, _| {
            let weak = weak.clone();
            async move {
                let Some(shared) = weak.upgrade() else { return };
                let RawAnySyncOrStrippedTimelineEvent::Sync(raw) = notification.event else {
                    return;
                };
                let Ok(event) = raw.deserialize() else { return };
                let old = f64::from(event.origin_server_ts().0) < started;
                if old
                    || event.sender() == shared.own
                    || !matches!(event, AnySyncTimelineEvent::MessageLike(_))
                {
                    return;
                }
                let mention = notification.actions.iter().any(Action::is_highlight);
                let task = tell(Arc::downgrade(&shared), room, event, mention);
                shared.spawn(task);
            }
        })
        .await;
}

async fn tell(shared: Weak<Shared>, room: SdkRoom, event: AnySyncTimelineEvent, mention: bool) {
    let people = shared.clone();
    let names = move |id: &str| {
        let known = people
            .upgrade()?
            .rooms
            .people
            .get(<&UserId>::try_from(id).ok()?)?;
        Some(known.name)
    };
    let mut preview = preview::of_event(&event, &names);
    if matches!(
        &event,
        AnySyncTimelineEvent::MessageLike(AnySyncMessageLikeEvent::RoomEncrypted(_))
    ) {
        let read = async {
            loop {
                tokio::time::sleep(LOOK_AGAIN).await;
                let again = room.load_or_fetch_event(event.event_id(), None).await.ok();
                let again = again
                    .filter(|event| !event.kind.is_utd())
                    .and_then(|event| event.raw().deserialize().ok());
                if let Some(event) = again {
                    return preview::of_event(&event, &names);
                }
            }
        };
        preview = tokio::time::timeout(KEY_MAY_COME, read)
            .await
            .unwrap_or(preview);
    }
    let Some(shared) = shared.upgrade() else {
        return;
    };
    let sender = event.sender();
    let member = room.get_member_no_sync(sender).await.ok().flatten();
    let view = crate::rooms::quick_view(&shared, &room);
    let notice = Notice {
        room_id: view.id,
        room_name: view.name,
        event_id: event.event_id().to_string(),
        sender: names::person(
            member.as_ref().and_then(|member| member.display_name()),
            sender.as_str(),
        ),
        avatar: member
            .as_ref()
            .and_then(|member| member.avatar_url())
            .map(|avatar| shared.media.avatar(avatar)),
        text: preview.map(|preview| preview.text).unwrap_or_default(),
        mention,
        direct: view.person.is_some(),
    };
    // Nobody listening is not a failure.
    let _ = shared.notices.send(notice);
}
