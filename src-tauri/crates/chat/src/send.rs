//! Messages on their way out. Everything goes through the SDK's queue on disk: it is sent once, in order,
//! after a restart and after a time without network too.

use std::time::Duration;

use matrix_sdk::Room as SdkRoom;
use matrix_sdk::room::edit::EditedContent;
use matrix_sdk::room::reply::{EnforceThread, Reply};
use matrix_sdk::ruma::events::room::message::{
    AddMentions, MessageType, Relation, RoomMessageEventContent,
    RoomMessageEventContentWithoutRelation,
};
use matrix_sdk::ruma::events::{Mentions, relation};
use matrix_sdk::ruma::{EventId, OwnedEventId, OwnedUserId, UserId};
use matrix_sdk::send_queue::{RoomSendQueueError, SendHandle};

use crate::chat::Shared;
use crate::error::ChatError;
use crate::view::Draft;

/// A Matrix event may have 65,536 bytes (Client-Server API, "Size limits"). Encrypted it grows by a third and
/// by its envelope, and text inside JSON may be escaped.
const MAX_MESSAGE: usize = 44_000;
/// Longest look for the message that is answered.
const LOOK_UP: Duration = Duration::from_secs(3);

impl Shared {
    /// Puts a message into the queue. When this returns it is safe on disk.
    pub(crate) async fn send(&self, room: &str, draft: &Draft) -> Result<(), ChatError> {
        let room = self.room(room)?;
        self.space.enough()?;
        let content = content(draft)?;
        self.secrecy_known(&room).await?;
        let content = match reply_to(draft)? {
            Some(event_id) => answering(&room, content, event_id).await,
            None => content,
        };
        room.send_queue()
            .send(content.into())
            .await
            .map_err(|error| queue_failure(&error))?;
        self.wake_queue(&room);
        Ok(())
    }

    /// Changes a message of one's own.
    pub(crate) async fn edit(
        &self,
        room: &str,
        event_id: &str,
        text: &str,
    ) -> Result<(), ChatError> {
        let room = self.room(room)?;
        self.space.enough()?;
        let event_id = <&EventId>::try_from(event_id)
            .map_err(|_| ChatError::Other("an event id is malformed"))?;
        let draft = Draft {
            text: text.to_owned(),
            reply_to: None,
            mentions: Vec::new(),
        };
        let content: RoomMessageEventContentWithoutRelation = content(&draft)?.into();
        let edit = room
            .make_edit_event(event_id, EditedContent::RoomMessage(content))
            .await
            .map_err(|error| ChatError::of(&error, ChatError::Forbidden))?;
        self.secrecy_known(&room).await?;
        room.send_queue()
            .send(edit)
            .await
            .map_err(|error| queue_failure(&error))?;
        self.wake_queue(&room);
        Ok(())
    }

    /// Takes a message back.
    pub(crate) async fn redact(&self, room: &str, event_id: &str) -> Result<(), ChatError> {
        let room = self.room(room)?;
        self.space.enough()?;
        let event_id =
            EventId::parse(event_id).map_err(|_| ChatError::Other("an event id is malformed"))?;
        room.send_queue()
            .redact(event_id, None)
            .await
            .map_err(|error| queue_failure(&error))?;
        self.wake_queue(&room);
        Ok(())
    }

    /// Tries a message again that the server refused.
    pub(crate) async fn retry(&self, room: &str, item: &str) -> Result<(), ChatError> {
        let room = self.room(room)?;
        let handle = self.handle(&room, item).await?;
        handle
            .unwedge()
            .await
            .map_err(|error| queue_failure(&error))?;
        self.wake_queue(&room);
        Ok(())
    }

    /// Drops a message that was not sent.
    pub(crate) async fn discard(&self, room: &str, item: &str) -> Result<(), ChatError> {
        let room = self.room(room)?;
        let handle = self.handle(&room, item).await?;
        handle
            .abort()
            .await
            .map_err(|error| ChatError::of(&error, ChatError::SendFailed))?;
        Ok(())
    }

    /// Tells the others in the room that one is writing, or stopped.
    pub(crate) async fn set_typing(&self, room: &str, on: bool) -> Result<(), ChatError> {
        let room = self.room(room)?;
        if self.is_live() {
            room.typing_notice(on).await?;
        }
        Ok(())
    }
}

impl Shared {
    /// A queue that stopped itself starts again with the next message, when the server is there.
    pub(crate) fn wake_queue(&self, room: &SdkRoom) {
        let queue = room.send_queue();
        if self.is_live() && !queue.is_enabled() {
            queue.set_enabled(true);
        }
    }

    async fn handle(&self, room: &SdkRoom, item: &str) -> Result<SendHandle, ChatError> {
        let conversation = self
            .timelines
            .warm(room.room_id())
            .ok_or(ChatError::RoomUnknown)?;
        let items = conversation.timeline.items().await;
        items
            .iter()
            .rev()
            .find(|known| known.unique_id().0 == item)
            .and_then(|known| known.as_event())
            .filter(|event| event.is_local_echo())
            .and_then(matrix_sdk_ui::timeline::EventTimelineItem::local_echo_send_handle)
            .ok_or(ChatError::Other("the message is not waiting any more"))
    }
}

/// Makes a message an answer. What it answers to is looked up, for its writer to be told and for its thread; when
/// that cannot be had in time the answer leaves without.
async fn answering(
    room: &SdkRoom,
    content: RoomMessageEventContent,
    event_id: OwnedEventId,
) -> RoomMessageEventContent {
    let mentions = content.mentions.clone();
    let reply = Reply {
        event_id: event_id.clone(),
        enforce_thread: EnforceThread::MaybeThreaded,
        add_mentions: AddMentions::Yes,
    };
    let made = room.make_reply_event(content.clone().into(), reply);
    if let Ok(Ok(answer)) = tokio::time::timeout(LOOK_UP, made).await {
        return match mentions {
            Some(mentions) => answer.add_mentions(mentions),
            None => answer,
        };
    }
    let mut answer = content;
    answer.relates_to = Some(Relation::Reply(relation::Reply::with_event_id(event_id)));
    answer
}

/// Markdown to a message. Plain text stays plain; markup that would make the message too large is left out.
fn content(draft: &Draft) -> Result<RoomMessageEventContent, ChatError> {
    let text = draft.text.trim_end();
    if text.trim().is_empty() {
        return Err(ChatError::Other("an empty message is not sent"));
    }
    if text.len() > MAX_MESSAGE {
        return Err(ChatError::TooLarge {
            max: MAX_MESSAGE as u64,
        });
    }
    let mut content = RoomMessageEventContent::text_markdown(text);
    if let MessageType::Text(message) = &mut content.msgtype
        && message
            .formatted
            .as_ref()
            .is_some_and(|formatted| formatted.body.len() + text.len() > MAX_MESSAGE)
    {
        message.formatted = None;
    }
    let people: Vec<OwnedUserId> = draft
        .mentions
        .iter()
        .filter_map(|person| UserId::parse(person).ok())
        .collect();
    // Always present: without it old push rules look for names in the text (Client-Server API §11.34).
    content.mentions = Some(Mentions::with_user_ids(people));
    Ok(content)
}

fn reply_to(draft: &Draft) -> Result<Option<OwnedEventId>, ChatError> {
    draft
        .reply_to
        .as_deref()
        .map(|id| EventId::parse(id).map_err(|_| ChatError::Other("an event id is malformed")))
        .transpose()
}

pub(crate) fn queue_failure(error: &RoomSendQueueError) -> ChatError {
    match error {
        RoomSendQueueError::RoomNotJoined => ChatError::Forbidden,
        RoomSendQueueError::RoomDisappeared => ChatError::RoomUnknown,
        error => ChatError::of(error, ChatError::SendFailed),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn draft(text: &str) -> Draft {
        Draft {
            text: text.to_owned(),
            reply_to: None,
            mentions: vec!["@anne:x.example".into(), "nonsense".into()],
        }
    }

    #[test]
    fn markdown_becomes_html_and_plain_text_stays_plain() {
        let content_of = |text: &str| match content(&draft(text)).unwrap().msgtype {
            MessageType::Text(message) => message,
            _ => panic!("a text"),
        };
        assert!(
            content_of("**gras**")
                .formatted
                .unwrap()
                .body
                .contains("<strong>gras</strong>")
        );
        assert!(content_of("rien de spécial").formatted.is_none());
    }

    #[test]
    fn a_message_larger_than_an_event_may_be_is_refused_with_the_limit() {
        assert!(
            matches!(content(&draft(&"a".repeat(1_000_000))), Err(ChatError::TooLarge { max }) if max > 40_000)
        );
    }

    #[test]
    fn markup_that_would_burst_the_event_is_left_out_and_the_text_kept() {
        let text = "*a* ".repeat(8_000);
        let MessageType::Text(message) = content(&draft(&text)).unwrap().msgtype else {
            panic!("a text")
        };
        assert!(message.formatted.is_none() && message.body.len() > 30_000);
    }

    #[test]
    fn mentions_that_are_not_people_are_left_out() {
        assert_eq!(
            content(&draft("x"))
                .unwrap()
                .mentions
                .unwrap()
                .user_ids
                .len(),
            1
        );
    }
}
