//! The room list: every room that was joined or that waits for an answer to an invitation, newest first.
//!
//! ```text
//! store ──fill──▶ quick view of each room ─▶ screen        before any request
//! sync ──diffs──▶ quick view ─▶ screen ──▶ details (names of senders, inviters) ─▶ `set`
//! ```
//!
//! The quick view reads memory only. What needs the database is asked for afterwards, top of the list first.

pub(crate) mod preview;
mod quick;

pub(crate) use quick::{direct_person, view as quick_view};

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eyeball_im::{Vector, VectorDiff};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use matrix_sdk::ruma::{OwnedRoomId, OwnedUserId};
use matrix_sdk_ui::room_list_service::filters::{
    new_filter_all, new_filter_non_left, new_filter_not, new_filter_space,
};
use matrix_sdk_ui::room_list_service::{RoomListItem, RoomListLoadingState};

use crate::chat::{Chat, Shared};
use crate::error::ChatError;
use crate::list::Shown;
use crate::text::names;
use crate::view::{ListDiff, Room};

/// Shortest time between two batches of changes.
const BATCH: Duration = Duration::from_millis(33);
/// The list of rooms is taken for whole when nothing has changed in it for so long.
const SETTLED: Duration = Duration::from_millis(400);
/// Rooms whose details are read before looking at changes again.
const DETAILS_AT_ONCE: usize = 10;

/// The list as it is shown.
#[derive(Default)]
pub(crate) struct RoomList {
    pub shown: Shown<Room>,
    pub people: People,
}

/// Names and pictures of people seen so far, for lines that only know an id.
#[derive(Default)]
pub(crate) struct People(Mutex<HashMap<OwnedUserId, Known>>);

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    pub name: String,
    pub avatar: Option<String>,
}

/// Most people remembered. A hospital has a few thousand.
const PEOPLE: usize = 20_000;

impl People {
    pub(crate) fn get(&self, id: &matrix_sdk::ruma::UserId) -> Option<Known> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    pub(crate) fn learn(&self, id: &matrix_sdk::ruma::UserId, known: Known) {
        let mut people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if people.len() >= PEOPLE && !people.contains_key(id) {
            people.clear();
        }
        people.insert(id.to_owned(), known);
    }
}

impl Chat {
    /// What is known now, and every change from there on.
    pub fn rooms(&self) -> (Vec<Room>, BoxStream<'static, Vec<ListDiff<Room>>>) {
        self.shared.rooms.shown.subscribe()
    }
}

impl RoomList {
    /// Shows what the store holds, in the order of the list.
    pub(crate) async fn fill(&self, shared: &Shared) -> Result<(), ChatError> {
        let list = shared
            .sync
            .room_list_service()
            .all_rooms()
            .await
            .map_err(|error| {
                ChatError::of(&error, ChatError::Other("the room list cannot be read"))
            })?;
        let (stream, controller) = list.entries_with_dynamic_adapters(usize::MAX);
        controller.set_filter(filter());
        futures_util::pin_mut!(stream);
        if let Some(Some(changes)) = stream.next().now_or_never() {
            let views = changes
                .into_iter()
                .map(|change| change.map(|room| quick::view(shared, &room)))
                .collect();
            self.shown.apply(views);
            count(shared);
        }
        Ok(())
    }
}

/// Follows the list until chat ends.
pub(crate) async fn follow(shared: Arc<Shared>) {
    loop {
        if let Err(error) = follow_once(&shared).await {
            tracing::error!(
                code = error.problem().code,
                "The room list cannot be followed"
            );
        }
        // Both ends of the stream belong to this task: it ends only when the SDK gives up.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn follow_once(shared: &Arc<Shared>) -> Result<(), ChatError> {
    let service = shared.sync.room_list_service();
    let list = service
        .all_rooms()
        .await
        .map_err(|error| ChatError::of(&error, ChatError::Other("the room list cannot be read")))?;
    let (stream, controller) = list.entries_with_dynamic_adapters(usize::MAX);
    controller.set_filter(filter());
    futures_util::pin_mut!(stream);
    let mut loading = list.loading_state();

    let mut rooms: Vector<RoomListItem> = Vector::new();
    let mut wanted = Wanted::default();
    loop {
        let changes = if wanted.is_empty() {
            tokio::select! {
                changes = stream.next() => match changes {
                    Some(changes) => changes,
                    None => return Ok(()),
                },
                // A room is there before its name and what is unread in it.
                () = tokio::time::sleep(SETTLED), if !shared.status.borrow().all_rooms
                    && all_here(shared, &loading.get()) =>
                {
                    shared.status.send_modify(|status| status.all_rooms = true);
                    continue;
                }
                Some(_) = loading.next() => continue,
            }
        } else {
            match stream.next().now_or_never() {
                Some(Some(changes)) => changes,
                Some(None) => return Ok(()),
                None => {
                    details(shared, &rooms, &mut wanted).await;
                    continue;
                }
            }
        };
        let mut batch = changes;
        while let Some(Some(more)) = stream.next().now_or_never() {
            batch.extend(more);
        }
        let mut views = Vec::with_capacity(batch.len());
        for change in batch {
            let view = change.clone().map(|room| {
                if quick::lacks(shared, &room) {
                    wanted.push(room.room_id().to_owned());
                }
                quick::view(shared, &room)
            });
            change.apply(&mut rooms);
            views.push(view);
        }
        // The list that `fill` has shown already is not sent twice.
        if let [VectorDiff::Reset { values }] = views.as_slice()
            && shared.rooms.shown.with(|shown| shown == values)
        {
            views.clear();
        }
        shared.rooms.shown.apply(views);
        count(shared);
        tokio::time::sleep(BATCH).await;
    }
}

/// Whether the last room of the server's list has come.
fn all_here(shared: &Shared, loading: &RoomListLoadingState) -> bool {
    let RoomListLoadingState::Loaded {
        maximum_number_of_rooms: Some(there),
    } = *loading
    else {
        return false;
    };
    // The server also counts rooms that one was sent away from, which are not shown.
    let rooms = shared.client.rooms();
    let here = rooms.iter().filter(|room| !room.is_space()).count();
    here >= there as usize
}

fn filter() -> matrix_sdk_ui::room_list_service::filters::BoxedFilterFn {
    Box::new(new_filter_all(vec![
        Box::new(new_filter_non_left()),
        Box::new(new_filter_not(Box::new(new_filter_space()))),
    ]))
}

/// Rooms whose details have to be read, each once.
#[derive(Default)]
struct Wanted {
    order: VecDeque<OwnedRoomId>,
    known: HashSet<OwnedRoomId>,
}

impl Wanted {
    fn push(&mut self, room: OwnedRoomId) {
        if self.known.insert(room.clone()) {
            self.order.push_back(room);
        }
    }

    fn pop(&mut self) -> Option<OwnedRoomId> {
        let room = self.order.pop_front()?;
        self.known.remove(&room);
        Some(room)
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// Reads what the quick views of some rooms lack, and shows it.
async fn details(shared: &Arc<Shared>, rooms: &Vector<RoomListItem>, wanted: &mut Wanted) {
    let mut changes = Vec::new();
    for _ in 0..DETAILS_AT_ONCE {
        let Some(id) = wanted.pop() else { break };
        let Some(index) = rooms.iter().position(|room| room.room_id() == id) else {
            continue;
        };
        let room = &rooms[index];
        if quick::can_be_named(room) {
            let _ = room.display_name().await;
        }
        if quick::has_nothing_last(room) {
            let latest = shared.client.latest_events().await;
            if latest.listen_to_room(&id).await.is_err() {
                tracing::warn!("the last message of a room cannot be looked for");
            }
        }
        for person in quick::people_of(shared, room) {
            let member = room.get_member_no_sync(&person).await.ok().flatten();
            let known = match member {
                Some(member) => Known {
                    name: names::person(member.display_name(), person.as_str()),
                    avatar: member
                        .avatar_url()
                        .map(|avatar| shared.media.avatar(avatar)),
                },
                None => Known {
                    name: names::person(None, person.as_str()),
                    avatar: None,
                },
            };
            shared.rooms.people.learn(&person, known);
        }
        changes.push(VectorDiff::Set {
            index,
            value: quick::view(shared, room),
        });
    }
    shared.rooms.shown.apply(changes);
    tokio::task::yield_now().await;
}

/// Totals over all rooms.
fn count(shared: &Shared) {
    let (unread, mentions, invitations) = shared.rooms.shown.with(|rooms| {
        rooms.iter().fold(
            (0_u32, 0_u32, 0_u32),
            |(unread, mentions, invitations), room| {
                let counted = if room.muted {
                    0
                } else {
                    room.unread.max(u32::from(room.marked))
                };
                (
                    unread.saturating_add(counted),
                    mentions.saturating_add(room.mentions),
                    invitations.saturating_add(u32::from(room.invited)),
                )
            },
        )
    });
    shared.status.send_if_modified(|status| {
        let changed =
            (status.unread, status.mentions, status.invitations) != (unread, mentions, invitations);
        (status.unread, status.mentions, status.invitations) = (unread, mentions, invitations);
        changed
    });
}
