//! One room's conversation, kept current by one task.

use std::sync::{Arc, Weak};
use std::time::Duration;

use eyeball_im::{Vector, VectorDiff};
use futures_util::{FutureExt, StreamExt};
use matrix_sdk::Room as SdkRoom;
use matrix_sdk::ruma::events::{AnySyncTimelineEvent, StateEventType};
use matrix_sdk_ui::timeline::{
    EventTimelineItem, RoomExt, Timeline, TimelineItem, TimelineReadReceiptTracking,
    default_event_filter,
};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::item::Mapper;
use super::once::Once;
use crate::chat::Shared;
use crate::error::ChatError;
use crate::list::Shown;
use crate::text::names;
use crate::view::{Item, Typing};

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

/// One room's conversation with the task that keeps it current.
pub(crate) struct Conversation {
    pub(crate) room: SdkRoom,
    pub(crate) timeline: Timeline,
    pub(super) shown: Shown<Item>,
    /// Messages on their way look different when the connection changes.
    pub(super) refresh: Arc<Notify>,
    back: tokio::sync::Mutex<()>,
    _task: DropGuard,
}

impl Conversation {
    pub(super) async fn build(
        shared: &Arc<Shared>,
        room: &SdkRoom,
    ) -> Result<Arc<Self>, ChatError> {
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
        let mut mapper = Mapper::new(room).await;
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
        let mut once = Once::default();
        conversation.show(&mut once, first);
        let weak = Arc::downgrade(&conversation);
        let (shared_task, room_task) = (shared.clone(), room.clone());
        let (refresh, task_end) = (conversation.refresh.clone(), end.clone());
        shared.tasks.spawn(async move {
            tokio::select! {
                () = task_end.cancelled() => {}
                () = follow(shared_task.clone(), weak.clone(), (mapper, once), values, changes, refresh, task_end.clone()) => {}
                () = typing(shared_task.clone(), room_task) => {}
                () = complete(weak) => {}
            }
        });
        Ok(conversation)
    }

    /// Maps changes of the SDK's list; asks for what replies refer to.
    async fn mapped(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        mapper: &mut Mapper,
        changes: Vec<VectorDiff<Arc<TimelineItem>>>,
        end: &CancellationToken,
    ) -> Vec<VectorDiff<Item>> {
        let mut shown = Vec::with_capacity(changes.len());
        for change in changes {
            shown.push(match change {
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
        shown
    }

    fn show(&self, once: &mut Once, changes: Vec<VectorDiff<Item>>) {
        let changes = self.shown.with(|shown| once.pass(changes, shown));
        self.shown.apply(changes);
    }

    async fn all(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        mapper: &mut Mapper,
        values: Vector<Arc<TimelineItem>>,
        end: &CancellationToken,
    ) -> Vector<Item> {
        let mut shown = Vector::new();
        for value in values {
            shown.push_back(self.one(shared, mapper, &value, end).await);
        }
        shown
    }

    async fn one(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        mapper: &mut Mapper,
        value: &TimelineItem,
        end: &CancellationToken,
    ) -> Item {
        let (item, unknown_reply) = mapper.item(shared, value).await;
        if let Some(event_id) = unknown_reply {
            let (conversation, end) = (self.clone(), end.clone());
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

    pub(super) async fn back(&self) -> Result<bool, ChatError> {
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
    conversation: Weak<Conversation>,
    (mut mapper, mut once): (Mapper, Once),
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
                .filter(|(_, item)| item.as_event().is_some_and(EventTimelineItem::is_local_echo))
                .map(|(index, value)| VectorDiff::Set { index, value: value.clone() })
                .collect(),
        };
        for change in &batch {
            change.clone().apply(&mut values);
        }
        let Some(conversation) = conversation.upgrade() else {
            return;
        };
        let shown = conversation.mapped(&shared, &mut mapper, batch, &end).await;
        let room = conversation.room.room_id();
        shared.typing.send_if_modified(|typing| {
            typing.room == room.as_str() && have_written(typing, &shown)
        });
        conversation.show(&mut once, shown);
        drop(conversation);
        tokio::time::sleep(BATCH).await;
    }
}

/// Whoever's message arrives is not writing it any more. True when somebody was.
fn have_written(typing: &mut Typing, changes: &[VectorDiff<Item>]) -> bool {
    let before = typing.people.len();
    for change in changes {
        if let VectorDiff::PushBack { value } | VectorDiff::Insert { value, .. } = change
            && let Item::Message {
                author,
                mine: false,
                ..
            } = value
        {
            typing.people.retain(|person| *person != author.name);
        }
    }
    typing.people.len() != before
}

/// Fills the first window and learns who is in the room, then stays quiet.
async fn complete(conversation: Weak<Conversation>) {
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
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => break,
        };
        let mut names = Vec::new();
        for person in people.into_iter().take(5) {
            let member = room.get_member_no_sync(&person).await.ok().flatten();
            let name = member.as_ref().and_then(|member| member.display_name());
            names.push(names::person(name, person.as_str()));
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
