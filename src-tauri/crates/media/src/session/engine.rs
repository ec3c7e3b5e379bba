//! The task that owns a session: it goes from state to state, each of which is a file of its own.
//!
//! ```text
//! joining ──▶ connected ──websocket or path lost──▶ resuming ──▶ connected
//!    │            │                                    │ the server forgot us
//!    │            └──server says so───────────────▶ rejoining ──▶ connected
//!    ▼                                                 ▼ attempts used up, refused
//!  (error)        left, removed, closed ─────────▶   ended
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use livekit_protocol as proto;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::commands::{Command, Outlet, Published};
use super::connected::{self, Why};
use super::connection::Connection;
use super::joining::{self, JoinError};
use super::{Access, Ended, Event, Options, Room, State, View};
use super::{ended, rejoining, resuming};
use crate::incoming::Incoming;
use crate::publication::{AudioOutlet, VideoOutlet};
use crate::rate;
use crate::transport::{Relay, Transport};

/// Each of them is asked from each of our addresses.
const MOST_RELAYS: usize = 8;

/// What a session's handle and its task share.
pub(super) struct Parts {
    pub access: Access,
    pub options: Options,
    pub commands: mpsc::Receiver<Command>,
    pub events: mpsc::Sender<Event>,
    pub state: watch::Sender<State>,
    pub room: watch::Sender<Arc<Room>>,
    pub current: watch::Sender<Option<Arc<dyn Transport>>>,
    pub incoming: Arc<Incoming>,
    pub dropped_events: Arc<AtomicU64>,
    pub end: CancellationToken,
}

pub(super) struct Engine {
    pub access: Access,
    pub options: Options,
    pub commands: mpsc::Receiver<Command>,
    pub current: watch::Sender<Option<Arc<dyn Transport>>>,
    pub incoming: Arc<Incoming>,
    pub end: CancellationToken,
    pub published: Vec<Published>,
    /// How tracks are shown, to be told again after a rejoin.
    pub views: HashMap<String, View>,
    /// Number of the last reliable packet that we sent.
    pub sequence: u32,
    /// Number of the last reliable packet of each participant.
    pub heard: HashMap<String, u32>,
    pub people: Room,
    /// What the server offered for networks that block everything else, at the last join.
    pub relays: Vec<Relay>,
    events: mpsc::Sender<Event>,
    dropped_events: Arc<AtomicU64>,
    state: watch::Sender<State>,
    room: watch::Sender<Arc<Room>>,
    tasks: TaskTracker,
}

impl Engine {
    pub fn new(parts: Parts) -> Self {
        Self {
            access: parts.access,
            options: parts.options,
            commands: parts.commands,
            current: parts.current,
            incoming: parts.incoming,
            end: parts.end,
            published: Vec::new(),
            views: HashMap::new(),
            sequence: 0,
            heard: HashMap::new(),
            people: Room::default(),
            relays: Vec::new(),
            events: parts.events,
            dropped_events: parts.dropped_events,
            state: parts.state,
            room: parts.room,
            tasks: TaskTracker::new(),
        }
    }

    pub async fn run(mut self, joined: oneshot::Sender<Result<(), JoinError>>) {
        let mut connection = match Box::pin(joining::run(&mut self)).await {
            Ok(connection) => connection,
            Err(error) => {
                ended::enter(&mut self, Ended::Unreachable);
                // Whoever asked may have given up.
                let _ = joined.send(Err(error));
                self.tasks.close();
                self.tasks.wait().await;
                return;
            }
        };
        if joined.send(Ok(())).is_err() {
            self.end.cancel();
        }
        let reason = Box::pin(self.stay(&mut connection)).await;
        if reason == Ended::Left {
            connection.leave().await;
        } else {
            connection.close().await;
        }
        ended::enter(&mut self, reason);
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Until the meeting is over for us.
    async fn stay(&mut self, connection: &mut Connection) -> Ended {
        loop {
            self.enter(State::Connected);
            let mut why = connected::run(self, connection).await;
            if matches!(why, Why::Broken) {
                self.enter(State::Resuming);
                match resuming::run(self, connection).await {
                    Ok(()) => continue,
                    Err(next) => why = next,
                }
            }
            match why {
                Why::Ended(reason) => return reason,
                Why::Broken | Why::Forgotten => {}
            }
            self.current.send_replace(None);
            self.access.token = connection.signal.token();
            connection.close().await;
            match Box::pin(rejoining::run(self)).await {
                Ok(fresh) => *connection = fresh,
                Err(reason) => return reason,
            }
        }
    }

    pub fn enter(&self, state: State) {
        tracing::info!(?state, "Session");
        self.state.send_replace(state);
    }

    /// Publishes who is there, and lets feeds of tracks that are gone end.
    pub fn show_room(&mut self) {
        self.incoming.set_tracks(self.people.tracks());
        let there: Vec<_> = self
            .people
            .tracks()
            .map(|(sid, _)| sid.to_owned())
            .collect();
        self.views.retain(|sid, _| there.contains(sid));
        let sids: Vec<_> = self.people.participants.iter().map(|p| &p.sid).collect();
        self.heard.retain(|sid, _| sids.contains(&sid));
        self.room.send_replace(Arc::new(self.people.clone()));
    }

    pub fn tell(&self, event: Event) {
        // Somebody who floods us must not stop the meeting, nor fill the log.
        if self.events.try_send(event).is_err() && self.dropped_events.fetch_add(1, Relaxed) == 0 {
            tracing::warn!("Events are dropped: they are not read as fast as they come");
        }
    }

    pub fn new_video(&self, track: crate::VideoTrack) -> Arc<VideoOutlet> {
        let (outlet, pump) = VideoOutlet::new(
            track,
            self.options.keys.clone(),
            self.end.child_token(),
            self.current.subscribe(),
        );
        self.tasks.spawn(pump);
        outlet
    }

    pub fn new_audio(&self, track: crate::AudioTrack) -> Arc<AudioOutlet> {
        let (outlet, pump) = AudioOutlet::new(
            track,
            self.options.keys.clone(),
            self.end.child_token(),
            self.current.subscribe(),
        );
        self.tasks.spawn(pump);
        outlet
    }

    /// Takes note of the relays that the server names; what lets us use them expires after minutes.
    pub fn take_relays(&mut self, servers: &[proto::IceServer]) {
        let trusting = self.options.tls.is_some();
        let named = servers.iter().flat_map(|server| {
            let urls = server.urls.iter();
            urls.filter_map(|url| Relay::offered(url, &server.username, &server.credential))
        });
        let usable = named.filter(|relay| trusting || !relay.over_tls());
        self.relays = usable.take(MOST_RELAYS).collect();
    }

    pub fn published(&mut self, cid: &str) -> Option<&mut Published> {
        self.published
            .iter_mut()
            .find(|published| published.outlet.common().cid == cid)
    }

    /// Fits our pictures to what the way to the server carries.
    pub fn share_uplink(&self, connection: &Connection) {
        let outlets = || self.published.iter().map(|published| &published.outlet);
        let sounds = outlets().filter(|outlet| matches!(outlet, Outlet::Audio(_)));
        let sounds = sounds.count();
        let videos = || {
            outlets().filter_map(|outlet| match outlet {
                Outlet::Video(outlet) => Some(outlet),
                Outlet::Audio(_) => None,
            })
        };
        let wishes: Vec<_> = videos().map(|outlet| outlet.wishes()).collect();
        let wanted = rate::wanted(sounds, &wishes);
        let Some(rate) = connection.transport.rate(wanted) else {
            return;
        };
        for (outlet, bitrates) in videos().zip(rate::share(rate, sounds, &wishes)) {
            outlet.set_bitrates(&bitrates);
        }
    }

    /// Leaves on a connection that media never flowed on. The next one need not wait for its end.
    pub async fn abandon(&self, connection: Connection) {
        connection.signal.say_goodbye().await;
        self.tasks.spawn(connection.outlive_signal());
    }

    /// Makes `connection` the one that frames go into and asks the server for everything again that is ours.
    pub async fn settle(&mut self, connection: &mut Connection) {
        self.current
            .send_replace(Some(connection.transport.clone()));
        for published in &mut self.published {
            if let Outlet::Video(outlet) = &published.outlet {
                for layer in &outlet.layers {
                    layer
                        .watched
                        .store(true, std::sync::atomic::Ordering::Relaxed);
                }
            }
            connection
                .ask_to_publish(published, self.options.keys.is_some())
                .await;
        }
        for (sid, view) in &self.views {
            connection.show(sid, *view).await;
        }
    }
}
