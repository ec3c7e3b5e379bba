//! Conversations that are open, and the last few that were.
//!
//! ```text
//! open(room) ─▶ Conversation (new, or warm: at once) ─▶ items + changes
//!                 │ one task: SDK diffs ─▶ `item::Mapper` ─▶ Shown<Item>
//! close(id) ──▶ warm while it is one of the last four, then dropped with its task
//! ```

mod item;
mod notice;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eyeball_im::{Vector, VectorDiff};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use matrix_sdk::Room as SdkRoom;
use matrix_sdk::room::Receipts;
use matrix_sdk::ruma::OwnedRoomId;
use matrix_sdk::ruma::events::{AnySyncTimelineEvent, MessageLikeEventType, StateEventType};
use matrix_sdk_ui::timeline::{
    RoomExt, Timeline, TimelineItem, TimelineReadReceiptTracking, default_event_filter,
};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::chat::Shared;
use crate::error::ChatError;
use crate::list::Shown;
use crate::view::{Item, ListDiff, Room, Typing};

/// Conversations kept ready after they were closed.
const WARM: usize = 4;
/// Messages fetched at once when somebody scrolls up.
const PAGE: u16 = 40;
/// Items that should be there when a room opens, so that a window is full.
const FIRST_PAGE: usize = 30;
/// Rooms up to this size have all their members read when they are opened: names that two people share can be
/// told apart only then.
const MEMBERS_READ: u64 = 400;
/// Longest wait for older messages.
const BACK: Duration = Duration::from_secs(45);
/// Shortest time between two batches of changes.
const BATCH: Duration = Duration::from_millis(16);

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

/// One room's conversation with the task that keeps it current.
pub(crate) struct Conversation {
    pub(crate) room: SdkRoom,
    pub(crate) timeline: Timeline,
    shown: Shown<Item>,
    /// Messages on their way look different when the connection changes.
    refresh: Arc<Notify>,
    back: tokio::sync::Mutex<()>,
    _task: DropGuard,
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

impl Conversation {
    async fn build(shared: &Arc<Shared>, room: &SdkRoom) -> Result<Arc<Self>, ChatError> {
        let timeline = room
            .timeline_builder()
            .track_read_marker_and_receipts(TimelineReadReceiptTracking::AllEvents)
            .event_filter(|event, rules| default_event_filter(event, rules) && is_shown(event))
            .build()
            .await?;
        let end = shared.end.child_token();
        let (values, changes) = timeline.subscribe().await;
        let conversation = Arc::new(Self {
            room: room.clone(),
            timeline,
            shown: Shown::default(),
            refresh: Arc::new(Notify::new()),
            back: tokio::sync::Mutex::new(()),
            _task: end.clone().drop_guard(),
        });
        let mut mapper = item::Mapper::new(shared, room).await;
        let first = conversation
            .mapped(
                shared,
                &mut mapper,
                vec![VectorDiff::Reset {
                    values: values.clone(),
                }],
                &end,
            )
            .await;
        conversation.shown.apply(first);
        let weak = Arc::downgrade(&conversation);
        let (shared_task, room_task) = (shared.clone(), room.clone());
        let (refresh, task_end) = (conversation.refresh.clone(), end.clone());
        shared.tasks.spawn(async move {
            tokio::select! {
                () = task_end.cancelled() => {}
                () = follow(shared_task.clone(), weak.clone(), mapper, values, changes, refresh, task_end.clone()) => {}
                () = typing(shared_task.clone(), room_task) => {}
                () = complete(weak) => {}
            }
        });
        Ok(conversation)
    }

    /// Maps changes of the SDK's list; asks for what replies refer to.
    async fn mapped(
        &self,
        shared: &Arc<Shared>,
        mapper: &mut item::Mapper,
        changes: Vec<VectorDiff<Arc<TimelineItem>>>,
        end: &CancellationToken,
    ) -> Vec<VectorDiff<Item>> {
        let mut mapped = Vec::with_capacity(changes.len());
        for change in changes {
            mapped.push(match change {
                VectorDiff::Append { values } => VectorDiff::Append {
                    values: self.all(shared, mapper, values, end).await,
                },
                VectorDiff::Reset { values } => VectorDiff::Reset {
                    values: self.all(shared, mapper, values, end).await,
                },
                VectorDiff::PushFront { value } => VectorDiff::PushFront {
                    value: self.one(shared, mapper, &value, end).await,
                },
                VectorDiff::PushBack { value } => VectorDiff::PushBack {
                    value: self.one(shared, mapper, &value, end).await,
                },
                VectorDiff::Insert { index, value } => VectorDiff::Insert {
                    index,
                    value: self.one(shared, mapper, &value, end).await,
                },
                VectorDiff::Set { index, value } => VectorDiff::Set {
                    index,
                    value: self.one(shared, mapper, &value, end).await,
                },
                VectorDiff::Clear => VectorDiff::Clear,
                VectorDiff::PopFront => VectorDiff::PopFront,
                VectorDiff::PopBack => VectorDiff::PopBack,
                VectorDiff::Remove { index } => VectorDiff::Remove { index },
                VectorDiff::Truncate { length } => VectorDiff::Truncate { length },
            });
        }
        mapped
    }

    async fn all(
        &self,
        shared: &Arc<Shared>,
        mapper: &mut item::Mapper,
        values: Vector<Arc<TimelineItem>>,
        end: &CancellationToken,
    ) -> Vector<Item> {
        let mut mapped = Vector::new();
        for value in values {
            mapped.push_back(self.one(shared, mapper, &value, end).await);
        }
        mapped
    }

    async fn one(
        &self,
        shared: &Arc<Shared>,
        mapper: &mut item::Mapper,
        value: &TimelineItem,
        end: &CancellationToken,
    ) -> Item {
        let (item, unknown_reply) = mapper.item(shared, value).await;
        if let Some(event_id) = unknown_reply
            && let Some(conversation) = shared.timelines.warm(self.room.room_id())
        {
            let end = end.clone();
            shared.spawn(async move {
                tokio::select! {
                    () = end.cancelled() => {}
                    // The outcome, good or bad, comes back as a change of the item.
                    _ = conversation.timeline.fetch_details_for_event(&event_id) => {}
                }
            });
        }
        item
    }

    async fn back(&self) -> Result<bool, ChatError> {
        let _one = self.back.lock().await;
        match tokio::time::timeout(BACK, self.timeline.paginate_backwards(PAGE)).await {
            Ok(reached_start) => Ok(reached_start?),
            Err(_) => Err(ChatError::Network(network::Failure::Timeout)),
        }
    }
}

/// Applies the SDK's changes as they come.
async fn follow(
    shared: Arc<Shared>,
    conversation: std::sync::Weak<Conversation>,
    mut mapper: item::Mapper,
    mut values: Vector<Arc<TimelineItem>>,
    changes: impl futures_util::Stream<Item = Vec<VectorDiff<Arc<TimelineItem>>>>,
    refresh: Arc<Notify>,
    end: CancellationToken,
) {
    futures_util::pin_mut!(changes);
    loop {
        let batch = tokio::select! {
            batch = changes.next() => match batch {
                Some(mut batch) => {
                    while let Some(Some(more)) = changes.next().now_or_never() {
                        batch.extend(more);
                    }
                    batch
                }
                None => return,
            },
            () = refresh.notified() => values
                .iter()
                .enumerate()
                .filter(|(_, item)| item.as_event().is_some_and(matrix_sdk_ui::timeline::EventTimelineItem::is_local_echo))
                .map(|(index, value)| VectorDiff::Set { index, value: value.clone() })
                .collect(),
        };
        for change in &batch {
            change.clone().apply(&mut values);
        }
        let Some(conversation) = conversation.upgrade() else {
            return;
        };
        let mapped = conversation.mapped(&shared, &mut mapper, batch, &end).await;
        conversation.shown.apply(mapped);
        drop(conversation);
        tokio::time::sleep(BATCH).await;
    }
}

/// Fills the first window and learns who is in the room, then stays quiet.
async fn complete(conversation: std::sync::Weak<Conversation>) {
    if let Some(conversation) = conversation.upgrade() {
        if conversation.shown.with(Vector::len) < FIRST_PAGE {
            let _ = conversation.back().await;
        }
        if !conversation.room.are_members_synced()
            && conversation.room.joined_members_count() <= MEMBERS_READ
        {
            conversation.timeline.fetch_members().await;
        }
    }
    std::future::pending::<()>().await;
}

/// Who writes in this room, while it is the one that was opened last.
async fn typing(shared: Arc<Shared>, room: SdkRoom) {
    let (_guard, mut changes) = room.subscribe_to_typing_notifications();
    loop {
        let people = match changes.recv().await {
            Ok(people) => people,
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => continue,
            Err(tokio::sync::broadcast::error::RecvError::Closed) => break,
        };
        let mut names = Vec::new();
        for person in people.into_iter().take(5) {
            let member = room.get_member_no_sync(&person).await.ok().flatten();
            let name = member.as_ref().and_then(|member| member.display_name());
            names.push(crate::text::names::person(name, person.as_str()));
        }
        shared.typing.send_if_modified(|typing| {
            let here = typing.room == room.room_id().as_str() && typing.people != names;
            if here {
                typing.people = names;
            }
            here
        });
    }
    std::future::pending::<()>().await;
}

/// State that says something to a person; power levels and the like do not.
fn is_shown(event: &AnySyncTimelineEvent) -> bool {
    match event {
        AnySyncTimelineEvent::State(event) => matches!(
            event.event_type(),
            StateEventType::RoomMember
                | StateEventType::RoomName
                | StateEventType::RoomTopic
                | StateEventType::RoomAvatar
                | StateEventType::RoomEncryption
                | StateEventType::RoomCreate
                | StateEventType::RoomTombstone
        ),
        AnySyncTimelineEvent::MessageLike(_) => true,
    }
}
