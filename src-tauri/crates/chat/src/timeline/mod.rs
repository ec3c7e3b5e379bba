//! Conversations that are open, and the last few that were.
//!
//! ```text
//! open(room) ─▶ Conversation (new, or warm: at once) ─▶ items + changes
//!                 │ one task: SDK diffs ─▶ `item::Mapper` ─▶ `once::Once` ─▶ Shown<Item>
//! close(id) ──▶ warm while it is one of the last four, then dropped with its task
//! ```

mod body;
mod conversation;
mod item;
mod notice;
mod once;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::BoxStream;
use matrix_sdk::Room as SdkRoom;
use matrix_sdk::room::Receipts;
use matrix_sdk::ruma::OwnedRoomId;
use matrix_sdk::ruma::events::MessageLikeEventType;

use crate::chat::Shared;
use crate::error::ChatError;
use crate::view::{Item, ListDiff, Room, Typing};
use conversation::Conversation;

/// Conversations kept ready after they were closed.
const WARM: usize = 4;

/// A conversation as a view needs it.
pub struct OpenTimeline {
    pub id: u32,
    pub room: Room,
    pub can_write: bool,
    pub items: Vec<Item>,
    pub diffs: BoxStream<'static, Vec<ListDiff<Item>>>,
}

impl std::fmt::Debug for OpenTimeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenTimeline")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// All conversations that are open or warm.
#[derive(Default)]
pub(crate) struct Timelines {
    next: AtomicU32,
    state: Mutex<State>,
    /// Opening is done once for each room, however often it is asked for.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Most recently opened first.
    conversations: Vec<Arc<Conversation>>,
    open: HashMap<u32, OwnedRoomId>,
}

impl Shared {
    /// Opens a room's conversation. One that was open a moment ago is there at once.
    pub(crate) async fn open_timeline(
        self: &Arc<Self>,
        room: &str,
    ) -> Result<OpenTimeline, ChatError> {
        let shared = self;
        let room = shared.room(room)?;
        let conversation = shared.timelines.conversation(shared, &room).await?;
        let id = shared.timelines.next.fetch_add(1, Ordering::Relaxed) + 1;
        shared
            .timelines
            .lock()
            .open
            .insert(id, room.room_id().to_owned());
        shared.timelines.follow_closely(shared).await;
        shared.typing.send_replace(Typing {
            room: room.room_id().to_string(),
            people: Vec::new(),
        });
        let (items, diffs) = conversation.shown.subscribe();
        let power = room.power_levels_or_default().await;
        let can_write = room.state() == matrix_sdk::RoomState::Joined
            && power.user_can_send_message(&shared.own, MessageLikeEventType::RoomMessage);
        let view = shared
            .rooms
            .shown
            .with(|rooms| {
                rooms
                    .iter()
                    .find(|shown| shown.id == room.room_id().as_str())
                    .cloned()
            })
            .ok_or(ChatError::RoomUnknown)?;
        Ok(OpenTimeline {
            id,
            room: view,
            can_write,
            items,
            diffs,
        })
    }

    /// Fetches older messages. True when there are none before those that are shown.
    pub(crate) async fn timeline_back(&self, id: u32) -> Result<bool, ChatError> {
        self.live()?;
        let conversation = self.timelines.of(id).ok_or(ChatError::RoomUnknown)?;
        conversation.back().await
    }

    /// The view is gone. The last few conversations stay ready.
    pub(crate) fn timeline_close(&self, id: u32) {
        self.timelines.lock().open.remove(&id);
        self.timelines.trim();
    }

    /// Everything in the room is read: for others (receipt), for one's other devices (marker), and by hand.
    pub(crate) async fn mark_read(&self, room: &str) -> Result<(), ChatError> {
        let room = self.room(room)?;
        if room.is_marked_unread() {
            room.set_unread_flag(false).await?;
        }
        match self.timelines.warm(room.room_id()) {
            Some(conversation) => {
                if let Some(latest) = conversation.timeline.latest_event_id().await {
                    let receipts = Receipts::new()
                        .fully_read_marker(latest.clone())
                        .public_read_receipt(latest);
                    conversation
                        .timeline
                        .send_multiple_receipts(receipts)
                        .await?;
                }
            }
            None => {
                if let Some(latest) = matrix_sdk::BaseRoom::latest_event(&room).event_id() {
                    let receipts = Receipts::new()
                        .fully_read_marker(latest.clone())
                        .public_read_receipt(latest);
                    room.send_multiple_receipts(receipts).await?;
                }
            }
        }
        Ok(())
    }
}

impl Timelines {
    /// The conversation of a room, built when there is none.
    pub(crate) async fn conversation(
        &self,
        shared: &Arc<Shared>,
        room: &SdkRoom,
    ) -> Result<Arc<Conversation>, ChatError> {
        let _one = self.opening.lock().await;
        if let Some(conversation) = self.warm(room.room_id()) {
            let mut state = self.lock();
            state
                .conversations
                .retain(|known| known.room.room_id() != room.room_id());
            state.conversations.insert(0, conversation.clone());
            return Ok(conversation);
        }
        let conversation = Conversation::build(shared, room).await?;
        self.lock().conversations.insert(0, conversation.clone());
        self.trim();
        Ok(conversation)
    }

    pub(crate) fn warm(&self, room: &matrix_sdk::ruma::RoomId) -> Option<Arc<Conversation>> {
        self.lock()
            .conversations
            .iter()
            .find(|known| known.room.room_id() == room)
            .cloned()
    }

    /// Messages on their way are shown anew.
    pub(crate) fn refresh_local(&self) {
        for conversation in &self.lock().conversations {
            conversation.refresh.notify_one();
        }
    }

    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.open.clear();
        state.conversations.clear();
    }

    fn of(&self, id: u32) -> Option<Arc<Conversation>> {
        let state = self.lock();
        let room = state.open.get(&id)?;
        state
            .conversations
            .iter()
            .find(|known| known.room.room_id() == room)
            .cloned()
    }

    /// Drops what is neither open nor among the last few.
    fn trim(&self) {
        let mut state = self.lock();
        let open: Vec<OwnedRoomId> = state.open.values().cloned().collect();
        let mut closed = 0;
        state.conversations.retain(|known| {
            if open.iter().any(|room| room == known.room.room_id()) {
                return true;
            }
            closed += 1;
            closed <= WARM
        });
    }

    /// Asks the server for everything in these rooms, receipts and typing included.
    async fn follow_closely(&self, shared: &Shared) {
        let rooms: Vec<OwnedRoomId> = self
            .lock()
            .conversations
            .iter()
            .take(WARM + 1)
            .map(|known| known.room.room_id().to_owned())
            .collect();
        let rooms: Vec<_> = rooms.iter().map(AsRef::as_ref).collect();
        shared
            .sync
            .room_list_service()
            .subscribe_to_rooms(&rooms)
            .await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
