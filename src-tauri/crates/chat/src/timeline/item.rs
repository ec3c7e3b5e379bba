//! From the SDK's timeline item to what is drawn.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use matrix_sdk::Room as SdkRoom;
use matrix_sdk::ruma::events::room::encryption::RoomEncryptionEventContent;
use matrix_sdk::ruma::events::room::message::{FormattedBody, MessageFormat, MessageType};
use matrix_sdk::ruma::events::room::{ImageInfo, MediaSource};
use matrix_sdk::ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, UInt, UserId};
use matrix_sdk_base::crypto::types::events::UtdCause;
use matrix_sdk_ui::timeline::{
    EncryptedMessage, EventSendState, EventTimelineItem, InReplyToDetails, MsgLikeKind, Profile,
    TimelineDetails, TimelineEventShieldState, TimelineEventShieldStateCode, TimelineItem,
    TimelineItemContent, TimelineItemKind, VirtualTimelineItem,
};

use super::notice;
use crate::chat::Shared;
use crate::error::ChatError;
use crate::media::{Attachment, MAX_PIXELS};
use crate::rooms::{Known, preview};
use crate::text::{self, Reader, Rich, html, names};
use crate::view::{Author, Body, Item, Node, Reply, Sending, UndecryptableReason, milliseconds};
use problem::Problem;

/// Readers named under a message.
const READERS: usize = 20;
/// Largest picture that is fetched to be shown without a thumbnail of its own, in bytes.
const MAX_SHOWN: u64 = 30 * 1024 * 1024;

/// Maps the items of one room.
pub(crate) struct Mapper {
    room: SdkRoom,
    /// When the room became encrypted.
    encrypted_since: Option<MilliSecondsSinceUnixEpoch>,
    members: HashMap<OwnedUserId, Author>,
    /// A failure keeps its log id while it is shown.
    problems: HashMap<String, Problem>,
    asked: HashSet<OwnedEventId>,
}

impl Mapper {
    pub(crate) async fn new(_shared: &Arc<Shared>, room: &SdkRoom) -> Self {
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

    async fn author(
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

    async fn body(&mut self, shared: &Shared, event: &EventTimelineItem) -> Body {
        let TimelineItemContent::MsgLike(content) = event.content() else {
            return Body::Unsupported {
                name: event.content().event_type_str().unwrap_or_default(),
            };
        };
        match &content.kind {
            MsgLikeKind::Message(message) => {
                if let Some(mentions) = message.mentions() {
                    for person in mentions.user_ids.iter().take(READERS) {
                        self.author(shared, person, &TimelineDetails::Unavailable)
                            .await;
                    }
                }
                self.message(shared, message.msgtype(), content.in_reply_to.is_some())
            }
            MsgLikeKind::Sticker(sticker) => {
                let content = sticker.content();
                let source: MediaSource = content.source.clone().into();
                self.image(shared, &content.body, &source, Some(&content.info), None)
            }
            MsgLikeKind::Redacted => Body::Redacted,
            MsgLikeKind::UnableToDecrypt(encrypted) => Body::Undecryptable {
                reason: reason(encrypted),
            },
            MsgLikeKind::Poll(_) => Body::Unsupported {
                name: "poll".to_owned(),
            },
            MsgLikeKind::LiveLocation(_) => Body::Unsupported {
                name: "location".to_owned(),
            },
            MsgLikeKind::Other(other) => Body::Unsupported {
                name: other.event_type().to_string(),
            },
        }
    }

    fn message(&self, shared: &Shared, message: &MessageType, reply: bool) -> Body {
        match message {
            MessageType::Text(content) => self.text(
                shared,
                &content.body,
                content.formatted.as_ref(),
                reply,
                false,
                false,
            ),
            MessageType::Notice(content) => self.text(
                shared,
                &content.body,
                content.formatted.as_ref(),
                reply,
                false,
                true,
            ),
            MessageType::Emote(content) => self.text(
                shared,
                &content.body,
                content.formatted.as_ref(),
                reply,
                true,
                false,
            ),
            MessageType::Image(content) => {
                let caption = content
                    .caption()
                    .map(|body| self.rich(shared, body, content.formatted_caption()).nodes);
                self.image(
                    shared,
                    content.filename(),
                    &content.source,
                    content.info.as_deref(),
                    caption,
                )
            }
            MessageType::File(content) => {
                let info = content.info.as_deref();
                let caption = content
                    .caption()
                    .map(|body| self.rich(shared, body, content.formatted_caption()).nodes);
                let (mime, size) = (
                    info.and_then(|info| info.mimetype.clone()),
                    info.and_then(|info| info.size),
                );
                file(
                    shared,
                    content.filename(),
                    &content.source,
                    mime,
                    size,
                    caption,
                )
            }
            MessageType::Audio(content) => {
                let info = content.info.as_deref();
                let (mime, size) = (
                    info.and_then(|info| info.mimetype.clone()),
                    info.and_then(|info| info.size),
                );
                file(
                    shared,
                    content.filename(),
                    &content.source,
                    mime,
                    size,
                    None,
                )
            }
            MessageType::Video(content) => {
                let info = content.info.as_deref();
                let (mime, size) = (
                    info.and_then(|info| info.mimetype.clone()),
                    info.and_then(|info| info.size),
                );
                file(
                    shared,
                    content.filename(),
                    &content.source,
                    mime,
                    size,
                    None,
                )
            }
            MessageType::ServerNotice(content) => {
                self.text(shared, &content.body, None, false, false, true)
            }
            other => Body::Unsupported {
                name: text::one_line(other.msgtype(), 60),
            },
        }
    }

    fn text(
        &self,
        shared: &Shared,
        body: &str,
        formatted: Option<&FormattedBody>,
        reply: bool,
        emote: bool,
        notice: bool,
    ) -> Body {
        let body = if reply {
            preview::without_quote(body)
        } else {
            body
        };
        let Rich { nodes, truncated } = self.rich(shared, body, formatted);
        Body::Text {
            nodes,
            emote,
            notice,
            truncated,
        }
    }

    fn rich(&self, shared: &Shared, body: &str, formatted: Option<&FormattedBody>) -> Rich {
        let name_of = |id: &str| {
            let id = <&UserId>::try_from(id).ok()?;
            let member = self.members.get(id).map(|member| member.name.clone());
            member.or_else(|| shared.rooms.people.get(id).map(|known| known.name))
        };
        match formatted.filter(|formatted| formatted.format == MessageFormat::Html) {
            Some(formatted) => {
                let rich = html::rich(
                    &formatted.body,
                    Reader {
                        user_id: shared.own.as_str(),
                        name_of: &name_of,
                    },
                );
                // Markup without any text would be an empty bubble.
                if rich.nodes.is_empty() {
                    text::plain(body)
                } else {
                    rich
                }
            }
            None => text::plain(body),
        }
    }

    fn image(
        &self,
        shared: &Shared,
        name: &str,
        source: &MediaSource,
        info: Option<&ImageInfo>,
        caption: Option<Vec<Node>>,
    ) -> Body {
        let width = info.and_then(|info| pixels(info.width));
        let height = info.and_then(|info| pixels(info.height));
        let size = info.and_then(|info| info.size);
        let thumbnail = info.and_then(|info| info.thumbnail_source.clone());
        let area = u64::from(width.unwrap_or(0)) * u64::from(height.unwrap_or(0));
        let huge = area > MAX_PIXELS || size.is_some_and(|size| u64::from(size) > MAX_SHOWN);
        let mime = info
            .and_then(|info| info.mimetype.clone())
            .unwrap_or_else(|| "image/*".to_owned());
        let too_large = huge && thumbnail.is_none();
        let media = shared.media.attachment(Attachment {
            source: source.clone(),
            thumbnail,
        });
        Body::Image {
            name: names::file_name(name),
            mime: text::one_line(&mime, 80),
            size: size.map(f64::from),
            width,
            height,
            src: if too_large {
                String::new()
            } else {
                shared.media.address(&media)
            },
            media,
            caption,
            too_large,
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
                preview::of_message(message.msgtype(), event.content.in_reply_to().is_some()).text
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

fn file(
    shared: &Shared,
    name: &str,
    source: &MediaSource,
    mime: Option<String>,
    size: Option<UInt>,
    caption: Option<Vec<Node>>,
) -> Body {
    Body::File {
        name: names::file_name(name),
        mime: text::one_line(
            &mime.unwrap_or_else(|| "application/octet-stream".to_owned()),
            80,
        ),
        size: size.map(f64::from),
        media: shared.media.attachment(Attachment {
            source: source.clone(),
            thumbnail: None,
        }),
        caption,
    }
}

fn pixels(length: Option<UInt>) -> Option<u32> {
    length.and_then(|length| u32::try_from(length).ok())
}

fn reason(encrypted: &EncryptedMessage) -> UndecryptableReason {
    match encrypted {
        EncryptedMessage::MegolmV1AesSha2 { cause, .. } => match cause {
            UtdCause::Unknown | UtdCause::HistoricalMessageAndBackupIsDisabled => {
                UndecryptableReason::KeyMissing
            }
            UtdCause::SentBeforeWeJoined => UndecryptableReason::BeforeJoining,
            UtdCause::VerificationViolation
            | UtdCause::UnsignedDevice
            | UtdCause::UnknownDevice
            | UtdCause::HistoricalMessageAndDeviceIsUnverified
            | UtdCause::WithheldForUnverifiedOrInsecureDevice => {
                UndecryptableReason::DeviceNotVerified
            }
            UtdCause::WithheldBySender => UndecryptableReason::Other,
        },
        EncryptedMessage::OlmV1Curve25519AesSha2 { .. } | EncryptedMessage::Unknown => {
            UndecryptableReason::Other
        }
    }
}
