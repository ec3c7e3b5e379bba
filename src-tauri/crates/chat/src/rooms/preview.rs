//! A message in one line: under a room's name, in a reply, in a notification.

use matrix_sdk::latest_events::LatestEventValue;
use matrix_sdk::ruma::OwnedUserId;
use matrix_sdk::ruma::events::room::message::{
    FormattedBody, MessageFormat, MessageType, Relation, RoomMessageEventContent,
};
use matrix_sdk::ruma::events::{
    AnyMessageLikeEventContent, AnySyncMessageLikeEvent, AnySyncTimelineEvent,
};

use crate::text::{self, Reader, html, names};
use crate::view::{ElementName, LastKind, Node};

/// Longest line, in letters.
pub(crate) const LINE: usize = 160;
/// People whose names a line can hold.
const MENTIONED: usize = 8;
/// HTML of a preview is read so far, in bytes.
const HTML: usize = 4_096;

/// What somebody is called.
pub(crate) type Names<'a> = &'a dyn Fn(&str) -> Option<String>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Preview {
    pub kind: LastKind,
    pub text: String,
}

impl Preview {
    fn bare(kind: LastKind) -> Self {
        Self {
            kind,
            text: String::new(),
        }
    }
}

/// The latest event of a room.
pub(crate) fn of(latest: &LatestEventValue, names: Names<'_>) -> Option<Preview> {
    match latest {
        LatestEventValue::None | LatestEventValue::RemoteInvite { .. } => None,
        LatestEventValue::Remote(event) => of_event(&event.raw().deserialize().ok()?, names),
        LatestEventValue::LocalIsSending(local)
        | LatestEventValue::LocalHasBeenSent { value: local, .. }
        | LatestEventValue::LocalCannotBeSent(local) => match local.content.deserialize().ok()? {
            AnyMessageLikeEventContent::RoomMessage(content) => Some(of_content(&content, names)),
            _ => Some(Preview::bare(LastKind::Other)),
        },
    }
}

/// People the latest event of a room mentions.
pub(crate) fn mentioned(latest: &LatestEventValue) -> Vec<OwnedUserId> {
    let LatestEventValue::Remote(event) = latest else {
        return Vec::new();
    };
    // Most messages mention nobody; those are not read twice.
    if !event.raw().json().get().contains("matrix.to") {
        return Vec::new();
    }
    match event.raw().deserialize() {
        Ok(AnySyncTimelineEvent::MessageLike(AnySyncMessageLikeEvent::RoomMessage(event))) => event
            .as_original()
            .and_then(|event| event.content.mentions.as_ref())
            .map(|mentions| mentions.user_ids.iter().take(MENTIONED).cloned().collect())
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Any event; `None` for those that are not messages.
pub(crate) fn of_event(event: &AnySyncTimelineEvent, names: Names<'_>) -> Option<Preview> {
    let AnySyncTimelineEvent::MessageLike(event) = event else {
        return None;
    };
    if event.is_redacted() {
        return Some(Preview::bare(LastKind::Redacted));
    }
    Some(match event {
        AnySyncMessageLikeEvent::RoomMessage(event) => {
            of_content(&event.as_original()?.content, names)
        }
        AnySyncMessageLikeEvent::RoomEncrypted(_) => Preview::bare(LastKind::Encrypted),
        AnySyncMessageLikeEvent::Sticker(event) => Preview {
            kind: LastKind::Image,
            text: text::one_line(&event.as_original()?.content.body, LINE),
        },
        _ => Preview::bare(LastKind::Other),
    })
}

fn of_content(content: &RoomMessageEventContent, names: Names<'_>) -> Preview {
    match &content.relates_to {
        Some(Relation::Replacement(replacement)) => {
            of_message(&replacement.new_content.msgtype, false, names)
        }
        relation => of_message(
            &content.msgtype,
            matches!(relation, Some(Relation::Reply(_))),
            names,
        ),
    }
}

/// One message. Old clients repeat what a `reply` answers to at its start.
pub(crate) fn of_message(message: &MessageType, reply: bool, names: Names<'_>) -> Preview {
    let line = |body: &str, formatted: Option<&FormattedBody>| {
        let formatted = formatted.filter(|formatted| formatted.format == MessageFormat::Html);
        match formatted {
            Some(formatted) => flat_html(&formatted.body, names),
            None if reply => text::one_line(without_quote(body), LINE),
            None => text::one_line(body, LINE),
        }
    };
    match message {
        MessageType::Text(content) => Preview {
            kind: LastKind::Text,
            text: line(&content.body, content.formatted.as_ref()),
        },
        MessageType::Notice(content) => Preview {
            kind: LastKind::Text,
            text: line(&content.body, content.formatted.as_ref()),
        },
        MessageType::Emote(content) => Preview {
            kind: LastKind::Text,
            text: line(&content.body, content.formatted.as_ref()),
        },
        MessageType::Image(content) => Preview {
            kind: LastKind::Image,
            text: names::file_name(content.filename()),
        },
        MessageType::File(content) => Preview {
            kind: LastKind::File,
            text: names::file_name(content.filename()),
        },
        MessageType::Video(content) => Preview {
            kind: LastKind::File,
            text: names::file_name(content.filename()),
        },
        MessageType::Audio(content) => Preview {
            kind: LastKind::File,
            text: names::file_name(content.filename()),
        },
        other => Preview {
            kind: LastKind::Other,
            text: text::one_line(other.body(), LINE),
        },
    }
}

fn flat_html(body: &str, names: Names<'_>) -> String {
    let (body, _) = text::cut(body, HTML);
    let mut flat = String::new();
    flatten(
        &html::rich(
            body,
            Reader {
                user_id: "",
                name_of: names,
            },
        )
        .nodes,
        &mut flat,
    );
    text::one_line(&flat, LINE)
}

fn flatten(nodes: &[Node], flat: &mut String) {
    for node in nodes {
        match node {
            Node::Text { text } => flat.push_str(text),
            Node::Break => flat.push(' '),
            Node::Element { name, children } => {
                flatten(children, flat);
                if !matches!(
                    name,
                    ElementName::Strong
                        | ElementName::Em
                        | ElementName::Del
                        | ElementName::U
                        | ElementName::Code
                ) {
                    flat.push(' ');
                }
            }
            Node::Link { children, .. } => flatten(children, flat),
            Node::Mention { name, .. } => {
                flat.push('@');
                flat.push_str(name);
            }
        }
    }
}

/// The body without the lines old clients put before a reply (Client-Server API §11.22.2.1 of older versions).
pub(crate) fn without_quote(body: &str) -> &str {
    if !body.starts_with("> <") {
        return body;
    }
    let mut rest = body;
    while let Some(quoted) = rest
        .strip_prefix("> ")
        .or_else(|| rest.strip_prefix(">\n").map(|_| rest))
    {
        match quoted.find('\n') {
            Some(end) => rest = &quoted[end + 1..],
            None => return body,
        }
    }
    rest.strip_prefix('\n').unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn nobody(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_mention_shows_the_name_and_not_the_id() {
        let text = "[x](https://matrix.to/#/@anne:x.example) bonjour";
        let message = RoomMessageEventContent::text_markdown(text).msgtype;
        let anne = |id: &str| (id == "@anne:x.example").then(|| "Anne Dubois".to_owned());
        assert_eq!(
            of_message(&message, false, &anne).text,
            "@Anne Dubois bonjour"
        );
    }

    #[test]
    fn markup_does_not_show_in_a_preview() {
        let message =
            RoomMessageEventContent::text_markdown("**Urgent** : lit 12\n\n- un\n- deux").msgtype;
        assert_eq!(
            of_message(&message, false, &nobody).text,
            "Urgent : lit 12 un deux"
        );
    }

    #[test]
    fn a_reply_of_an_old_client_shows_without_what_it_answers() {
        assert_eq!(without_quote("> <@anne:x> Bonjour\n> ligne\n\nOui"), "Oui");
        assert_eq!(without_quote("> citation seule"), "> citation seule");
        assert_eq!(
            without_quote("> <@anne:x> sans fin"),
            "> <@anne:x> sans fin"
        );
    }

    #[test]
    fn a_long_message_is_cut_to_one_line() {
        let message = MessageType::text_plain("a\n".repeat(10_000));
        assert!(of_message(&message, false, &nobody).text.chars().count() <= LINE + 1);
    }
}
