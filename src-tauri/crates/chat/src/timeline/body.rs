//! What a message says: text, picture, file, or why it cannot be read.

use matrix_sdk::ruma::UInt;
use matrix_sdk::ruma::events::room::message::{FormattedBody, MessageFormat, MessageType};
use matrix_sdk::ruma::events::room::{ImageInfo, MediaSource};
use matrix_sdk_base::crypto::types::events::UtdCause;
use matrix_sdk_ui::timeline::{
    EncryptedMessage, EventTimelineItem, MsgLikeKind, TimelineDetails, TimelineItemContent,
};

use super::item::{Mapper, READERS};
use crate::chat::Shared;
use crate::media::{Attachment, MAX_PIXELS};
use crate::rooms::preview;
use crate::text::{self, Reader, Rich, html, names};
use crate::view::{Body, Node, UndecryptableReason};

/// Largest picture that is fetched to be shown without a thumbnail of its own, in bytes.
const MAX_SHOWN: u64 = 30 * 1024 * 1024;

impl Mapper {
    pub(super) async fn body(&mut self, shared: &Shared, event: &EventTimelineItem) -> Body {
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
                image(shared, &content.body, &source, Some(&content.info), None)
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
            MessageType::Text(content) => {
                let rich = self.words(shared, &content.body, content.formatted.as_ref(), reply);
                said(rich, false, false)
            }
            MessageType::Notice(content) => {
                let rich = self.words(shared, &content.body, content.formatted.as_ref(), reply);
                said(rich, false, true)
            }
            MessageType::Emote(content) => {
                let rich = self.words(shared, &content.body, content.formatted.as_ref(), reply);
                said(rich, true, false)
            }
            MessageType::Image(content) => {
                let caption = content
                    .caption()
                    .map(|body| self.rich(shared, body, content.formatted_caption()).nodes);
                image(
                    shared,
                    content.filename(),
                    &content.source,
                    content.info.as_deref(),
                    caption,
                )
            }
            MessageType::File(content) => {
                let caption = content
                    .caption()
                    .map(|body| self.rich(shared, body, content.formatted_caption()).nodes);
                let info = content.info.as_deref();
                let kind = info.map(|info| (info.mimetype.as_deref(), info.size));
                file(shared, content.filename(), &content.source, kind, caption)
            }
            MessageType::Audio(content) => {
                let info = content.info.as_deref();
                let kind = info.map(|info| (info.mimetype.as_deref(), info.size));
                file(shared, content.filename(), &content.source, kind, None)
            }
            MessageType::Video(content) => {
                let info = content.info.as_deref();
                let kind = info.map(|info| (info.mimetype.as_deref(), info.size));
                file(shared, content.filename(), &content.source, kind, None)
            }
            MessageType::ServerNotice(content) => said(text::plain(&content.body), false, true),
            other => Body::Unsupported {
                name: text::one_line(other.msgtype(), 60),
            },
        }
    }

    /// The words of a message; those of a reply without what it quotes.
    fn words(
        &self,
        shared: &Shared,
        body: &str,
        formatted: Option<&FormattedBody>,
        reply: bool,
    ) -> Rich {
        let body = if reply {
            preview::without_quote(body)
        } else {
            body
        };
        self.rich(shared, body, formatted)
    }

    fn rich(&self, shared: &Shared, body: &str, formatted: Option<&FormattedBody>) -> Rich {
        let name_of = |id: &str| self.name_of(shared, id);
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
}

fn said(Rich { nodes, truncated }: Rich, emote: bool, notice: bool) -> Body {
    Body::Text {
        nodes,
        emote,
        notice,
        truncated,
    }
}

fn image(
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

/// `kind`: what the sender says of it, its media type and its size in bytes.
fn file(
    shared: &Shared,
    name: &str,
    source: &MediaSource,
    kind: Option<(Option<&str>, Option<UInt>)>,
    caption: Option<Vec<Node>>,
) -> Body {
    let (mime, size) = kind.unwrap_or_default();
    Body::File {
        name: names::file_name(name),
        mime: text::one_line(mime.unwrap_or("application/octet-stream"), 80),
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
