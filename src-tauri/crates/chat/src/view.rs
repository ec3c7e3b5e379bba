//! What the rest of the program sees of a conversation: plain values, ready to be drawn.
//!
//! Every time is in milliseconds since the Unix epoch, every size in bytes. Nothing here is HTML, and every
//! name has passed [`crate::text::names`]: a view may show these values as they are.

// Lines live in lists; a box around the larger ones would cost more than the space it saves.
#![allow(clippy::large_enum_variant)]

use problem::Problem;
use serde::{Deserialize, Serialize};
use specta::Type;

/// How the exchange with the server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Sync {
    /// Nothing has come back from the server yet, or since the network changed; what is shown comes from this device.
    Starting,
    /// The last request was answered, and the next one is waiting at the server.
    Live,
    /// The server cannot be reached.
    Offline,
    /// The server answers, but not with what is needed.
    Error,
}

/// Whether old messages can be read on a new device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Recovery {
    Unknown,
    /// No recovery key was made and kept yet.
    NotSetUp,
    /// This device cannot read old messages until the recovery key is typed.
    Needed,
    Ready,
}

/// The state of the whole of chat.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ChatStatus {
    pub sync: Sync,
    #[specta(type = u32)]
    pub since: f64,
    #[specta(type = Option<u32>)]
    pub retry_at: Option<f64>,
    pub problem: Option<Problem>,
    pub unread: u32,
    pub mentions: u32,
    pub invitations: u32,
    /// The list of rooms holds all that the server has: before that, nothing can be said of what is not in it.
    pub all_rooms: bool,
    pub recovery: Recovery,
    pub verified: bool,
    /// Messages waiting to leave.
    pub queued: u32,
    /// A damaged local copy was set aside and is being fetched again.
    pub store_reset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum LastKind {
    Text,
    Image,
    File,
    Encrypted,
    Redacted,
    Other,
}

/// The line under a room's name.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct LastMessage {
    pub mine: bool,
    pub sender: Option<String>,
    pub kind: LastKind,
    pub text: String,
    #[specta(type = u32)]
    pub at: f64,
    pub sending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum RoomKind {
    Channel,
    Direct,
}

/// One line of the room list.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a mark of its own on the line"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    pub id: String,
    /// Empty while the name is not known yet: the view draws a skeleton.
    pub name: String,
    pub kind: RoomKind,
    pub avatar: Option<String>,
    /// In a direct conversation, the other person's id.
    pub person: Option<String>,
    pub topic: Option<String>,
    pub last: Option<LastMessage>,
    #[specta(type = u32)]
    pub at: f64,
    pub unread: u32,
    pub mentions: u32,
    /// Marked as unread by hand.
    pub marked: bool,
    pub favourite: bool,
    pub muted: bool,
    /// `None` while it is not known.
    pub encrypted: Option<bool>,
    pub members: u32,
    pub invited: bool,
    pub inviter: Option<String>,
}

/// One change of a list. The list on the other side becomes equal to ours by applying them in order.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(tag = "op", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ListDiff<T> {
    Append { values: Vec<T> },
    Clear,
    PushFront { value: T },
    PushBack { value: T },
    PopFront,
    PopBack,
    Insert { index: u32, value: T },
    Set { index: u32, value: T },
    Remove { index: u32 },
    Truncate { length: u32 },
    Reset { values: Vec<T> },
}

/// Rich text, already reduced to what may be shown.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(tag = "tag", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Node {
    Text {
        text: String,
    },
    Break,
    Element {
        name: ElementName,
        children: Vec<Node>,
    },
    /// `href` is http, https or mailto.
    Link {
        href: String,
        children: Vec<Node>,
    },
    Mention {
        user_id: String,
        name: String,
        me: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum ElementName {
    P,
    Strong,
    Em,
    Del,
    U,
    Code,
    Pre,
    Blockquote,
    Ul,
    Ol,
    Li,
    /// A heading of any level.
    H,
}

#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Author {
    pub id: String,
    pub name: String,
    pub avatar: Option<String>,
    /// Somebody else in the room has the same name: show the id too.
    pub ambiguous: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum UndecryptableReason {
    KeyMissing,
    BeforeJoining,
    DeviceNotVerified,
    Other,
}

#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Body {
    Text {
        nodes: Vec<Node>,
        emote: bool,
        notice: bool,
        truncated: bool,
    },
    Image {
        name: String,
        mime: String,
        #[specta(type = Option<u32>)]
        size: Option<f64>,
        width: Option<u32>,
        height: Option<u32>,
        /// Address for `<img>`; empty when `too_large`.
        src: String,
        /// Token to save or open the original.
        media: String,
        caption: Option<Vec<Node>>,
        too_large: bool,
    },
    File {
        name: String,
        mime: String,
        #[specta(type = Option<u32>)]
        size: Option<f64>,
        media: String,
        caption: Option<Vec<Node>>,
    },
    Redacted,
    Undecryptable {
        reason: UndecryptableReason,
    },
    Unsupported {
        name: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(
    tag = "state",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Sending {
    /// The server acknowledged it.
    Sent,
    Sending {
        #[specta(type = Option<u32>)]
        sent_bytes: Option<f64>,
        #[specta(type = Option<u32>)]
        total_bytes: Option<f64>,
    },
    /// Kept on this device; leaves by itself.
    Waiting,
    Failed {
        problem: Problem,
        can_retry: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    pub event_id: String,
    pub author: Option<Author>,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum RoomNoticeType {
    Joined,
    Left,
    Invited,
    Removed,
    Named,
    Topic,
    Avatar,
    Encryption,
    Created,
    Profile,
    Other,
}

#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct RoomNotice {
    #[serde(rename = "type")]
    pub kind: RoomNoticeType,
    pub target: Option<String>,
    pub value: Option<String>,
}

/// One line of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Item {
    Day {
        id: String,
        #[specta(type = u32)]
        at: f64,
    },
    NewMarker {
        id: String,
    },
    Start {
        id: String,
    },
    Message {
        id: String,
        event_id: Option<String>,
        author: Author,
        mine: bool,
        #[specta(type = u32)]
        at: f64,
        body: Body,
        sending: Sending,
        edited: bool,
        reply: Option<Reply>,
        /// Others whose last read message is this one, at most twenty of them.
        read_by: Vec<Author>,
        read_by_count: u32,
        mentions_me: bool,
        /// Sent in clear after the room was encrypted.
        clear: bool,
    },
    Notice {
        id: String,
        #[specta(type = u32)]
        at: f64,
        author: Author,
        notice: RoomNotice,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    pub id: String,
    pub name: String,
    pub avatar: Option<String>,
    pub function: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    pub id: String,
    pub name: Option<String>,
    pub current: bool,
    pub verified: bool,
    #[specta(type = Option<u32>)]
    pub last_seen: Option<f64>,
    pub last_ip: Option<String>,
}

/// What a person wrote, before it is a message.
#[derive(Clone, Debug, PartialEq, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Draft {
    /// Markdown.
    pub text: String,
    pub reply_to: Option<String>,
    pub mentions: Vec<String>,
}

/// Who is writing in the open room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Typing {
    pub room: String,
    pub people: Vec<String>,
}

/// A new message somebody should be told about.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub room_id: String,
    pub room_name: String,
    pub event_id: String,
    pub sender: String,
    pub avatar: Option<String>,
    /// Empty when it could not be read on this device.
    pub text: String,
    pub mention: bool,
    pub direct: bool,
}

/// Milliseconds since the Unix epoch, now.
pub(crate) fn now() -> f64 {
    milliseconds(matrix_sdk::ruma::MilliSecondsSinceUnixEpoch::now())
}

/// A Matrix time as a number of JavaScript's.
pub(crate) fn milliseconds(at: matrix_sdk::ruma::MilliSecondsSinceUnixEpoch) -> f64 {
    f64::from(at.0)
}
