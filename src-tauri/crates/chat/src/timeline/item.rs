//! From the SDK's timeline item to what is drawn.

use std::collections::{HashMap, HashSet};

use matrix_sdk::Room as SdkRoom;
use matrix_sdk::ruma::events::room::encryption::RoomEncryptionEventContent;
use matrix_sdk::ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, UserId};
use matrix_sdk_ui::timeline::{
    EventSendState, EventTimelineItem, InReplyToDetails, Profile, TimelineDetails,
    TimelineEventShieldState, TimelineEventShieldStateCode, TimelineItem, TimelineItemKind,
    VirtualTimelineItem,
};
use problem::Problem;

use super::notice;
use crate::chat::Shared;
use crate::error::ChatError;
use crate::rooms::{Known, preview};
use crate::text::names;
use crate::view::{Author, Body, Item, Reply, Sending, milliseconds};

/// Readers named under a message.
pub(super) const READERS: usize = 20;

/// Maps the items of one room.
pub(crate) struct Mapper {
    room: SdkRoom,
    /// When the room became encrypted.
    encrypted_since: Option<MilliSecondsSinceUnixEpoch>,
    pub(super) members: HashMap<OwnedUserId, Author>,
    /// A failure keeps its log id while it is shown.
    problems: HashMap<String, Problem>,
    asked: HashSet<OwnedEventId>,
}

impl Mapper {
    pub(crate) async fn new(room: &SdkRoom) -> Self {
        let encryption = room
            .get_state_event_static::<RoomEncryptionEventContent>()
            .await
            .ok()
            .flatten();
        let encrypted_since = encryption
            .and_then(|event| event.deserialize().ok())
            .and_then(|event| {
                event
                    .as_sync()
                    .map(matrix_sdk::ruma::events::SyncStateEvent::origin_server_ts)
            });
        Self {
            room: room.clone(),
            encrypted_since,
            members: HashMap::new(),
            problems: HashMap::new(),
            asked: HashSet::new(),
        }
    }

    /// The item, and the event whose answer-to is not known yet.
    pub(crate) async fn item(
        &mut self,
        shared: &Shared,
        item: &TimelineItem,
    ) -> (Item, Option<OwnedEventId>) {
        let id = item.unique_id().0.clone();
        match item.kind() {
            TimelineItemKind::Virtual(VirtualTimelineItem::DateDivider(at)) => (
                Item::Day {
                    id,
                    at: milliseconds(*at),
                },
                None,
            ),
            TimelineItemKind::Virtual(VirtualTimelineItem::ReadMarker) => {
                (Item::NewMarker { id }, None)
            }
            TimelineItemKind::Virtual(VirtualTimelineItem::TimelineStart) => {
                (Item::Start { id }, None)
            }
            TimelineItemKind::Event(event) => self.event(shared, id, event).await,
        }
    }

    async fn event(
        &mut self,
        shared: &Shared,
        id: String,
        event: &EventTimelineItem,
    ) -> (Item, Option<OwnedEventId>) {
        let author = self
            .author(shared, event.sender(), event.sender_profile())
            .await;
        let at = milliseconds(event.timestamp());
        if let Some(notice) = notice::of(event.content()) {
            return (
                Item::Notice {
                    id,
                    at,
                    author,
                    notice,
                },
                None,
            );
        }
        let body = self.body(shared, event).await;
        let reply_to = event.content().in_reply_to();
        let unknown = reply_to
            .as_ref()
            .and_then(|reply| self.unknown_reply(event, reply));
        let reply = match &reply_to {
            Some(reply) => Some(self.reply(shared, reply).await),
            None => None,
        };
        let mut read_by = Vec::new();
        let mut read_by_count = 0;
        for reader in event.read_receipts().keys() {
            if *reader == shared.own || reader == event.sender() {
                continue;
            }
            read_by_count += 1;
            if read_by.len() < READERS {
                read_by.push(
                    self.author(shared, reader, &TimelineDetails::Unavailable)
                        .await,
                );
            }
        }
        let message = event.content().as_message();
        let item = Item::Message {
            id: id.clone(),
            event_id: event.event_id().map(ToString::to_string),
            author,
            mine: event.is_own(),
            at,
            clear: self.is_clear(event, &body),
            body,
            sending: self.sending(shared, id, event),
            edited: message.is_some_and(matrix_sdk_ui::timeline::Message::is_edited),
            reply,
            read_by,
            read_by_count,
            mentions_me: !event.is_own()
                && message
                    .and_then(matrix_sdk_ui::timeline::Message::mentions)
                    .is_some_and(|mentions| {
                        mentions.room || mentions.user_ids.contains(&shared.own)
                    }),
        };
        (item, unknown)
    }

    /// In an encrypted room, a readable message that did not come encrypted although it could have.
    fn is_clear(&self, event: &EventTimelineItem, body: &Body) -> bool {
        let readable = matches!(
            body,
            Body::Text { .. } | Body::Image { .. } | Body::File { .. }
        );
        readable
            && matches!(
                event.get_shield(false),
                TimelineEventShieldState::Red {
                    code: TimelineEventShieldStateCode::SentInClear
                }
            )
            && self
                .encrypted_since
                .is_none_or(|since| event.timestamp() > since)
    }

    pub(super) async fn author(
        &mut self,
        shared: &Shared,
        id: &UserId,
        profile: &TimelineDetails<Profile>,
    ) -> Author {
        if let TimelineDetails::Ready(profile) = profile {
            let author = author_of(shared, id, profile);
            self.members.insert(id.to_owned(), author.clone());
            return author;
        }
        if let Some(author) = self.members.get(id) {
            return author.clone();
        }
        match Profile::load(&self.room, id).await {
            Some(profile) => {
                let author = author_of(shared, id, &profile);
                self.members.insert(id.to_owned(), author.clone());
                author
            }
            None => match shared.rooms.people.get(id) {
                Some(known) => Author {
                    id: id.to_string(),
                    name: known.name,
                    avatar: known.avatar,
                    ambiguous: false,
                },
                None => author_of(shared, id, &Profile::default()),
            },
        }
    }

    fn sending(&mut self, shared: &Shared, id: String, event: &EventTimelineItem) -> Sending {
        let state = match event.send_state() {
            None | Some(EventSendState::Sent { .. }) => {
                self.problems.remove(&id);
                return Sending::Sent;
            }
            Some(state) => state,
        };
        match state {
            EventSendState::SendingFailed {
                error,
                is_recoverable: false,
            } => {
                let problem = self.problems.entry(id).or_insert_with(|| {
                    match ChatError::of(error.as_ref(), ChatError::SendFailed) {
                        error @ (ChatError::Forbidden
                        | ChatError::TooLarge { .. }
                        | ChatError::DiskFull
                        | ChatError::RateLimited { .. }) => error.problem(),
                        _ => ChatError::SendFailed.problem(),
                    }
                });
                Sending::Failed {
                    problem: problem.clone(),
                    can_retry: true,
                }
            }
            EventSendState::NotSentYet { progress }
                if shared.is_live() && self.room.send_queue().is_enabled() =>
            {
                let progress = progress.as_ref().map(|progress| progress.progress);
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "sizes of files stay far below 2^52"
                )]
                Sending::Sending {
                    sent_bytes: progress.map(|progress| progress.current as f64),
                    total_bytes: progress.map(|progress| progress.total as f64),
                }
            }
            _ => Sending::Waiting,
        }
    }

    /// What somebody is called in this room.
    pub(super) fn name_of(&self, shared: &Shared, id: &str) -> Option<String> {
        let id = <&UserId>::try_from(id).ok()?;
        let member = self.members.get(id).map(|member| member.name.clone());
        member.or_else(|| shared.rooms.people.get(id).map(|known| known.name))
    }

    /// The event itself when what it answers to has to be fetched; asked once.
    fn unknown_reply(
        &mut self,
        event: &EventTimelineItem,
        reply: &InReplyToDetails,
    ) -> Option<OwnedEventId> {
        let id = event
            .event_id()
            .filter(|_| event.is_remote_event() && reply.event.is_unavailable())?
            .to_owned();
        self.asked.insert(id.clone()).then_some(id)
    }

    async fn reply(&mut self, shared: &Shared, reply: &InReplyToDetails) -> Reply {
        let event_id = reply.event_id.to_string();
        let TimelineDetails::Ready(event) = &reply.event else {
            return Reply {
                event_id,
                author: None,
                text: String::new(),
            };
        };
        let author = self
            .author(shared, &event.sender, &event.sender_profile)
            .await;
        let text = event
            .content
            .as_message()
            .map(|message| {
                let names = |id: &str| self.name_of(shared, id);
                preview::of_message(
                    message.msgtype(),
                    event.content.in_reply_to().is_some(),
                    &names,
                )
                .text
            })
            .unwrap_or_default();
        Reply {
            event_id,
            author: Some(author),
            text,
        }
    }
}

fn author_of(shared: &Shared, id: &UserId, profile: &Profile) -> Author {
    let name = names::person(profile.display_name.as_deref(), id.as_str());
    let avatar = profile
        .avatar_url
        .as_ref()
        .map(|avatar| shared.media.avatar(avatar));
    if profile.display_name.is_some() {
        shared.rooms.people.learn(
            id,
            Known {
                name: name.clone(),
                avatar: avatar.clone(),
            },
        );
    }
    Author {
        id: id.to_string(),
        name,
        avatar,
        ambiguous: profile.display_name_ambiguous,
    }
}
