//! One signed-in person's chat: what it is made of, and its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use matrix_sdk::Client;
use matrix_sdk::ruma::{OwnedRoomId, OwnedUserId, RoomId};
use matrix_sdk_ui::sync_service::SyncService;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::arrivals::Arrivals;
use crate::error::ChatError;
use crate::media::Registry;
use crate::rooms::RoomList;
use crate::secrecy::Open;
use crate::session::{self, SavedSession, Setup};
use crate::space::Space;
use crate::store::{Found, Held};
use crate::timeline::Timelines;
use crate::view::{ChatStatus, Notice, Recovery, Sync, Typing, now};

/// New messages waiting to be told; a reader that is slower loses the oldest.
const NOTICES: usize = 64;
/// Messages of a room that come with the list. More than one, so that the counts of unread messages are right
/// after some time away.
const MESSAGES_WITH_LIST: u32 = 10;
/// Rooms whose turns are remembered while nobody sends.
const TURNS: usize = 256;
/// How long the server may take to take note of a sign-out.
const SIGN_OUT: Duration = Duration::from_secs(5);
/// How long tasks may take to end.
const END: Duration = Duration::from_secs(10);

/// A signed-in person's rooms, messages and people. Cheap to clone; the last clone that is dropped ends every
/// task.
#[derive(Clone)]
pub struct Chat {
    pub(crate) shared: Arc<Shared>,
    _owner: Arc<Owner>,
}

impl std::fmt::Debug for Chat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chat").finish_non_exhaustive()
    }
}

/// What the tasks share.
pub(crate) struct Shared {
    pub client: Client,
    pub sync: SyncService,
    pub own: OwnedUserId,
    pub rooms: RoomList,
    pub timelines: Timelines,
    pub media: Registry,
    pub status: watch::Sender<ChatStatus>,
    pub session: watch::Sender<SavedSession>,
    pub typing: watch::Sender<Typing>,
    pub notices: broadcast::Sender<Notice>,
    /// "Try now": the network changed or the machine woke up.
    pub nudge: Notify,
    /// Held while the state of the recovery key is worked out.
    pub recovery_turn: tokio::sync::Mutex<()>,
    /// A task of the SDK died: what is shown may no longer follow the server.
    pub broken: watch::Sender<bool>,
    pub space: Space,
    pub arrivals: Arrivals,
    pub open: Open,
    pub tasks: TaskTracker,
    pub end: CancellationToken,
    held: Mutex<Option<Held>>,
    /// One sender at a time for each room, in the order they asked.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Ends the tasks when the last [`Chat`] is dropped.
struct Owner(CancellationToken);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What a sign-out achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedOut {
    /// The server forgot this device.
    pub device_revoked: bool,
    /// Nothing of chat is left on this device.
    pub wiped: bool,
}

impl Chat {
    pub(crate) async fn assemble(
        client: Client,
        held: Held,
        setup: Setup,
        found: Found,
    ) -> Result<Self, ChatError> {
        let own = client.user_id().ok_or(ChatError::NotSignedIn)?.to_owned();
        client.send_queue().enable_upload_progress(true);
        let sync = SyncService::builder(client.clone())
            .with_room_list_timeline_limit(MESSAGES_WITH_LIST)
            .build()
            .await
            .map_err(|error| {
                ChatError::of(&error, ChatError::Other("the sync cannot be prepared"))
            })?;
        if found != Found::Whole {
            // The place in the server's list of changes outlived what it was a place in.
            sync.expire_sessions().await;
        }
        let end = CancellationToken::new();
        let json = session::saved(&client).ok_or(ChatError::NotSignedIn)?;
        let shared = Arc::new(Shared {
            own,
            rooms: RoomList::default(),
            timelines: Timelines::default(),
            media: Registry::new(&setup.media_base),
            status: watch::Sender::new(ChatStatus {
                sync: Sync::Starting,
                since: now(),
                retry_at: None,
                problem: None,
                unread: 0,
                mentions: 0,
                invitations: 0,
                all_rooms: false,
                recovery: Recovery::Unknown,
                verified: false,
                queued: 0,
                store_reset: found == Found::Damaged,
            }),
            session: watch::Sender::new(SavedSession {
                json,
                revoked: false,
            }),
            typing: watch::Sender::new(Typing::default()),
            notices: broadcast::Sender::new(NOTICES),
            nudge: Notify::new(),
            recovery_turn: tokio::sync::Mutex::default(),
            broken: watch::Sender::new(false),
            space: Space::of(setup.store.folder.clone()),
            arrivals: Arrivals::of(&client),
            open: Open::default(),
            tasks: TaskTracker::new(),
            end: end.clone(),
            held: Mutex::new(Some(held)),
            turns: Mutex::default(),
            client,
            sync,
        });
        // The rooms of last time first: they are on the screen before the first request leaves.
        shared.rooms.fill(&shared).await?;
        shared.spawn(crate::rooms::follow(shared.clone()));
        shared.spawn(crate::sync::keep(shared.clone(), setup.begin));
        shared.spawn(crate::sync::watch_sdk(shared.clone()));
        shared.spawn(following(shared.clone()));
        shared.spawn(crate::space::watch(shared.clone()));
        shared.spawn(crate::sync::watch_queue(shared.clone()));
        shared.spawn(crate::sync::watch_session(shared.clone()));
        shared.spawn(crate::encryption::watch(shared.clone()));
        crate::notices::listen(&shared).await;
        Ok(Self {
            shared,
            _owner: Arc::new(Owner(end)),
        })
    }

    pub fn user_id(&self) -> String {
        self.shared.own.to_string()
    }

    pub fn device_id(&self) -> String {
        self.shared
            .client
            .device_id()
            .map(ToString::to_string)
            .unwrap_or_default()
    }

    pub fn homeserver(&self) -> Url {
        self.shared.client.homeserver()
    }

    /// What to keep in the keyring, now and whenever it changes.
    pub fn session(&self) -> watch::Receiver<SavedSession> {
        self.shared.session.subscribe()
    }

    pub fn status(&self) -> watch::Receiver<ChatStatus> {
        self.shared.status.subscribe()
    }

    /// True when a part of chat died and nothing is followed any more: close it and restore it. Nothing is lost, the
    /// messages are fetched again.
    pub fn broken(&self) -> watch::Receiver<bool> {
        self.shared.broken.subscribe()
    }

    /// Who is writing in the room that was opened last.
    pub fn typing_people(&self) -> watch::Receiver<Typing> {
        self.shared.typing.subscribe()
    }

    /// Messages somebody should be told about, from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.shared.notices.subscribe()
    }

    /// The network changed: tries again at once.
    pub fn network_changed(&self) {
        self.shared.nudge.notify_one();
    }

    /// The machine woke up: connections may be dead without saying so.
    pub fn wake(&self) {
        self.shared.nudge.notify_one();
    }
}

impl Shared {
    /// Signs out: tells the server, then deletes the local copy whatever the server said.
    pub(crate) async fn sign_out(&self) -> SignedOut {
        let client = self.client.clone();
        let device_revoked = match tokio::time::timeout(SIGN_OUT, client.logout()).await {
            Ok(Ok(())) => true,
            // A token the server no longer knows cannot be revoked any further.
            Ok(Err(error)) => matches!(ChatError::from(error), ChatError::Revoked),
            Err(_) => false,
        };
        let finished = self.finish().await;
        SignedOut {
            device_revoked,
            wiped: finished.is_some_and(|(held, _)| held.wipe()),
        }
    }

    /// Ends every task and closes the store; the data stay. A second call does nothing.
    pub(crate) async fn close(&self) {
        if let Some((held, whole)) = self.finish().await {
            held.release(whole);
        }
    }

    /// Runs a task until it is done or chat ends.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = end.cancelled() => {}
                () = task => {}
            }
        });
    }

    pub(crate) fn live(&self) -> Result<(), ChatError> {
        if self.end.is_cancelled() {
            Err(ChatError::Closed)
        } else {
            Ok(())
        }
    }

    pub(crate) fn room(&self, id: &str) -> Result<matrix_sdk::Room, ChatError> {
        self.live()?;
        let id = <&RoomId>::try_from(id).map_err(|_| ChatError::RoomUnknown)?;
        self.client.get_room(id).ok_or(ChatError::RoomUnknown)
    }

    /// Waits for one's turn to send to a room.
    pub(crate) async fn turn(&self, room: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() >= TURNS {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            turns.entry(room.to_owned()).or_default().clone()
        };
        turn.lock_owned().await
    }

    pub(crate) fn is_live(&self) -> bool {
        self.status.borrow().sync == Sync::Live
    }

    /// Everything ends here; the first caller gets the store, and whether all that came is in it.
    async fn finish(&self) -> Option<(Held, bool)> {
        let held = self
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        self.end.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(END, self.sync.stop()).await;
        if tokio::time::timeout(END, self.tasks.wait()).await.is_err() {
            tracing::warn!("A task of chat did not end in time");
        }
        let whole = self.arrivals.written(&self.client).await;
        if !whole {
            tracing::warn!("Not all that came was written: it is fetched again at the next start");
        }
        self.timelines.clear();
        if let Err(error) = self.client.pause().await {
            tracing::warn!(
                closed = self.client.is_active(),
                "The store did not close orderly: {}",
                kind_of(&error)
            );
        }
        Some((held, whole))
    }
}

async fn following(shared: Arc<Shared>) {
    shared.arrivals.follow().await;
}

/// The name of an error without what it holds.
fn kind_of(error: &matrix_sdk::Error) -> &'static str {
    match error {
        matrix_sdk::Error::StateStore(_) => "state",
        matrix_sdk::Error::CryptoStoreError(_) => "keys",
        matrix_sdk::Error::EventCacheStore(_) => "messages",
        _ => "other",
    }
}

/// The id of a room as the SDK wants it.
pub(crate) fn room_id(id: &str) -> Result<OwnedRoomId, ChatError> {
    RoomId::parse(id).map_err(|_| ChatError::RoomUnknown)
}
