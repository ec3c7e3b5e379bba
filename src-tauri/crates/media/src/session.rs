//! One meeting on one server.

mod commands;
mod connected;
mod connection;
mod data;
mod ended;
mod engine;
#[cfg(test)]
mod hostile_tests;
mod joining;
mod messages;
mod policy;
mod rejoining;
mod resuming;
mod room;
mod tried;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use ended::Ended;
pub use joining::JoinError;
pub use room::{Participant, Quality, RemoteTrack, Room, TrackKind};
pub use tried::Tried;

use crate::encryption::KeyRing;
use crate::incoming::{AudioFeed, Incoming, TrackStatistics, VideoFeed};
use crate::publication::{AudioPublication, AudioTrack, Current, VideoPublication, VideoTrack};
use crate::transport::{Network, TransportStatistics};
use commands::Command;
use engine::Engine;

const COMMANDS: usize = 64;
/// Data and chat that wait for the application; beyond it they are dropped and counted.
const EVENTS: usize = 256;
/// Longest wait for the server to take a track.
const PUBLISHING: Duration = Duration::from_secs(10);
/// Longest wait for a tidy end.
const LEAVING: Duration = Duration::from_secs(3);

/// Where the meeting is, and what lets us in.
#[derive(Clone)]
pub struct Access {
    /// `wss://…`; `ws://…` for a server on this machine.
    pub url: String,
    /// The server's access token, a JWT.
    pub token: String,
}

/// How to take part.
#[derive(Debug, Clone)]
pub struct Options {
    /// For `wss`, and for relays over TLS: whom to trust.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub network: Network,
    /// With it the session is encrypted: nothing leaves before one's own key is set, and nothing is shown that a key
    /// did not open.
    pub keys: Option<Arc<KeyRing>>,
    /// Take every track that somebody publishes. Otherwise nothing is received.
    pub subscribe: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: None,
            network: Network::default(),
            keys: None,
            subscribe: true,
        }
    }
}

/// What is true now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Joining,
    Connected,
    /// The path to the server broke; the server keeps our place, and nobody sees that we left.
    Resuming,
    /// Our place is lost; we join anew, and publish again.
    Rejoining {
        /// The first one is 1.
        attempt: u32,
    },
    Ended(Ended),
}

/// What happens once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody sent data.
    Data {
        /// Identity of the sender.
        from: String,
        topic: String,
        payload: Bytes,
    },
    /// Somebody wrote a chat message.
    Chat { from: String, text: String },
    /// The server muted one of our tracks; the name is that of [`VideoPublication::sid`].
    Muted { sid: String, muted: bool },
}

/// How a remote picture is shown: the server sends no more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// In pixels of the screen.
    Size {
        width: u32,
        height: u32,
    },
    Hidden,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("the session has ended")]
    Ended,
    #[error("the server did not take the track in time")]
    Late,
    #[error("the server or the connection refuses the track")]
    Refused,
    #[error("a video track has one to three layers")]
    Layers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the session has ended")]
    Ended,
    #[error("there is no connection at the moment")]
    NotConnected,
    #[error("our own key is not set yet")]
    NoKey,
}

/// Counts of a session, for the whole of it or for its present connection.
#[derive(Debug, Clone, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// Since the present connection was made.
    pub transport: TransportStatistics,
    /// By the server's name of the track.
    pub tracks: Vec<(String, TrackStatistics)>,
    /// Frames that belonged to no announced track.
    pub unknown_frames: u64,
    /// Data and chat that were dropped because the application did not read [`Events`] in time.
    pub dropped_events: u64,
}

/// A meeting that we take part in. Dropping it leaves; [`Session::leave`] also waits until the server knows.
pub struct Session {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
    room: watch::Receiver<Arc<Room>>,
    incoming: Arc<Incoming>,
    dropped_events: Arc<AtomicU64>,
    current: Current,
    end: CancellationToken,
}

/// What happens once, in order; see [`Event`].
pub struct Events {
    receiver: mpsc::Receiver<Event>,
}

impl Events {
    /// `None` once the session has ended and everything was read.
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }
}

impl Session {
    /// Returns when media can flow.
    pub async fn join(access: Access, options: Options) -> Result<(Self, Events), JoinError> {
        let (commands, command_queue) = mpsc::channel(COMMANDS);
        let (events, receiver) = mpsc::channel(EVENTS);
        let (state_writer, state) = watch::channel(State::Joining);
        let (room_writer, room) = watch::channel(Arc::default());
        let (current_writer, current) = watch::channel(None);
        let incoming = Arc::new(Incoming::new(options.keys.clone()));
        let dropped_events = Arc::<AtomicU64>::default();
        let end = CancellationToken::new();
        let engine = Engine::new(engine::Parts {
            access,
            options,
            commands: command_queue,
            events,
            state: state_writer,
            room: room_writer,
            current: current_writer,
            incoming: incoming.clone(),
            dropped_events: dropped_events.clone(),
            end: end.clone(),
        });
        // Whoever gives up waiting for the join also ends it.
        let guard = end.clone().drop_guard();
        let (joined, result) = oneshot::channel();
        tokio::spawn(engine.run(joined));
        result.await.map_err(|_| JoinError::Ended)??;
        guard.disarm();
        let session = Self {
            commands,
            state,
            room,
            incoming,
            dropped_events,
            current,
            end,
        };
        Ok((session, Events { receiver }))
    }

    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Who is there and what they publish.
    pub fn room(&self) -> watch::Receiver<Arc<Room>> {
        self.room.clone()
    }

    pub async fn publish_video(&self, track: VideoTrack) -> Result<VideoPublication, PublishError> {
        if !(1..=3).contains(&track.layers.len()) {
            return Err(PublishError::Layers);
        }
        let outlet = self
            .publish(|reply| Command::PublishVideo { track, reply })
            .await?;
        Ok(VideoPublication { outlet })
    }

    pub async fn publish_audio(&self, track: AudioTrack) -> Result<AudioPublication, PublishError> {
        let outlet = self
            .publish(|reply| Command::PublishAudio { track, reply })
            .await?;
        Ok(AudioPublication { outlet })
    }

    /// Others see the track as muted at once; nothing is sent while it is.
    pub async fn mute_video(&self, track: &VideoPublication, muted: bool) {
        self.mute(&track.outlet.common.cid, muted).await;
    }

    /// As [`Session::mute_video`].
    pub async fn mute_audio(&self, track: &AudioPublication, muted: bool) {
        self.mute(&track.outlet.common.cid, muted).await;
    }

    /// Takes the track back. Its frames go nowhere from now on.
    pub async fn unpublish_video(&self, track: VideoPublication) {
        self.unpublish(&track.outlet.common.cid).await;
    }

    /// As [`Session::unpublish_video`].
    pub async fn unpublish_audio(&self, track: AudioPublication) {
        self.unpublish(&track.outlet.common.cid).await;
    }

    /// Tells the server how large a remote track is shown, or that it is not.
    pub async fn view(&self, sid: &str, view: View) {
        let sid = sid.to_owned();
        // After the end nothing is shown anyway.
        let _ = self.commands.send(Command::View { sid, view }).await;
    }

    /// The encoded frames of a remote track; `None` when nobody publishes it.
    pub fn video(&self, sid: &str) -> Option<VideoFeed> {
        self.incoming.video(sid)
    }

    /// The packets of a remote track; `None` when nobody publishes it.
    pub fn audio(&self, sid: &str) -> Option<AudioFeed> {
        self.incoming.audio(sid)
    }

    /// Sends to everybody, sealed if the session is encrypted. `reliable` ones arrive once and in order; others at
    /// once or not at all, and should fit a packet of 1 200 bytes. What is sent right after joining waits for the
    /// channel to open; who joins at the same time may miss it.
    pub async fn send_data(
        &self,
        reliable: bool,
        topic: &str,
        payload: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        let (reply, result) = oneshot::channel();
        let command = Command::Data {
            reliable,
            topic: topic.to_owned(),
            payload: payload.into(),
            reply,
        };
        let sent = self.commands.send(command).await;
        sent.map_err(|_| SendError::Ended)?;
        result.await.unwrap_or(Err(SendError::Ended))
    }

    /// The network changed or is about to, for example from cable to Wi-Fi: find a new path now instead of when the old
    /// one is missed. Media goes on over the old path until the server was reached over the new one; then the stack
    /// leaves the old one for the new one, which stops pictures for about a tenth of a second.
    pub async fn network_changed(&self) {
        let _ = self.commands.send(Command::NetworkChanged).await;
    }

    pub fn statistics(&self) -> Statistics {
        let transport = self.current.borrow().clone();
        Statistics {
            transport: transport.map(|t| t.statistics()).unwrap_or_default(),
            tracks: self.incoming.statistics(),
            unknown_frames: self.incoming.unknown.load(Relaxed),
            dropped_events: self.dropped_events.load(Relaxed),
        }
    }

    /// Leaves, and returns when the server was told.
    pub async fn leave(self) {
        self.end.cancel();
        let mut state = self.state.clone();
        let ended = state.wait_for(|state| matches!(state, State::Ended(_)));
        let _ = tokio::time::timeout(LEAVING, ended).await;
    }

    async fn mute(&self, cid: &str, muted: bool) {
        let cid = cid.to_owned();
        let _ = self.commands.send(Command::Mute { cid, muted }).await;
    }

    async fn unpublish(&self, cid: &str) {
        let cid = cid.to_owned();
        let _ = self.commands.send(Command::Unpublish { cid }).await;
    }

    async fn publish<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, PublishError>>) -> Command,
    ) -> Result<T, PublishError> {
        let (reply, result) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| PublishError::Ended)?;
        match tokio::time::timeout(PUBLISHING, result).await {
            Ok(result) => result.unwrap_or(Err(PublishError::Ended)),
            Err(_) => Err(PublishError::Late),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// Says where, but not what lets us in.
impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access(…)")
    }
}
