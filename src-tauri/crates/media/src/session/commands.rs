//! What the application asks for.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use tokio::sync::oneshot;

use super::connection::Connection;
use super::engine::Engine;
use super::{PublishError, SendError, View, data};
use crate::publication::{AudioOutlet, AudioTrack, Common, VideoOutlet, VideoTrack};

pub(super) enum Command {
    PublishVideo {
        track: VideoTrack,
        reply: Reply<VideoOutlet>,
    },
    PublishAudio {
        track: AudioTrack,
        reply: Reply<AudioOutlet>,
    },
    Mute {
        cid: String,
        muted: bool,
    },
    Unpublish {
        cid: String,
    },
    View {
        sid: String,
        view: View,
    },
    Data {
        reliable: bool,
        topic: String,
        payload: Bytes,
        reply: oneshot::Sender<Result<(), SendError>>,
    },
    NetworkChanged,
}

pub(super) type Reply<T> = oneshot::Sender<Result<Arc<T>, PublishError>>;

/// A track of ours, across connections.
pub(super) struct Published {
    pub outlet: Outlet,
    pub phase: Phase,
    /// As the server knows it, for a resume.
    pub info: proto::TrackInfo,
    waiting: Option<Waiting>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The server was asked.
    Asked,
    /// The server took it, and it is in our offer.
    Offered,
    /// The offer was answered: frames arrive.
    Live,
}

pub(super) enum Outlet {
    Video(Arc<VideoOutlet>),
    Audio(Arc<AudioOutlet>),
}

enum Waiting {
    Video(Reply<VideoOutlet>),
    Audio(Reply<AudioOutlet>),
}

impl Outlet {
    pub fn common(&self) -> &Common {
        match self {
            Self::Video(outlet) => &outlet.common,
            Self::Audio(outlet) => &outlet.common,
        }
    }
}

impl Published {
    /// Frames arrive from now on: the first one has to be a key frame.
    pub fn live(&mut self) {
        self.phase = Phase::Live;
        match (&self.outlet, self.waiting.take()) {
            (Outlet::Video(outlet), waiting) => {
                outlet.want_key_frames();
                if let Some(Waiting::Video(reply)) = waiting {
                    // Whoever gave up waiting does not publish: the outlet stays silent.
                    let _ = reply.send(Ok(outlet.clone()));
                }
            }
            (Outlet::Audio(outlet), Some(Waiting::Audio(reply))) => {
                let _ = reply.send(Ok(outlet.clone()));
            }
            (Outlet::Audio(_), _) => {}
        }
    }

    /// Ends it; whoever still waits for it is told so.
    pub fn refused(self) {
        self.outlet.common().end.cancel();
        match self.waiting {
            Some(Waiting::Video(reply)) => drop(reply.send(Err(PublishError::Refused))),
            Some(Waiting::Audio(reply)) => drop(reply.send(Err(PublishError::Refused))),
            None => {}
        }
    }
}

/// Does what was asked. True when the path is to be looked for anew.
pub(super) async fn run(
    engine: &mut Engine,
    connection: &mut Connection,
    command: Command,
) -> bool {
    match command {
        Command::PublishVideo { track, reply } => {
            let outlet = Outlet::Video(engine.new_video(track));
            publish(engine, connection, outlet, Waiting::Video(reply)).await;
        }
        Command::PublishAudio { track, reply } => {
            let outlet = Outlet::Audio(engine.new_audio(track));
            publish(engine, connection, outlet, Waiting::Audio(reply)).await;
        }
        Command::Mute { cid, muted } => mute(engine, connection, &cid, muted).await,
        Command::Unpublish { cid } => unpublish(engine, connection, &cid).await,
        Command::View { sid, view } => {
            connection.show(&sid, view).await;
            engine.views.insert(sid, view);
        }
        Command::Data {
            reliable,
            topic,
            payload,
            reply,
        } => {
            let sent = data::send(engine, connection, reliable, topic, payload).await;
            let _ = reply.send(sent);
        }
        Command::NetworkChanged => return true,
    }
    false
}

async fn publish(
    engine: &mut Engine,
    connection: &mut Connection,
    outlet: Outlet,
    waiting: Waiting,
) {
    let mut published = Published {
        outlet,
        phase: Phase::Asked,
        info: proto::TrackInfo::default(),
        waiting: Some(waiting),
    };
    let encrypted = engine.options.keys.is_some();
    connection.ask_to_publish(&mut published, encrypted).await;
    engine.published.push(published);
}

async fn mute(engine: &mut Engine, connection: &mut Connection, cid: &str, muted: bool) {
    let Some(published) = engine.published(cid) else {
        return;
    };
    let common = published.outlet.common();
    common.muted.store(muted, Relaxed);
    if let (Outlet::Video(outlet), false) = (&published.outlet, muted) {
        outlet.want_key_frames();
    }
    let sid = common.sid();
    connection
        .signal
        .send(Request::Mute(proto::MuteTrackRequest { sid, muted }))
        .await;
}

/// The server sees from the next offer that the track is gone.
async fn unpublish(engine: &mut Engine, connection: &mut Connection, cid: &str) {
    let place = engine
        .published
        .iter()
        .position(|published| published.outlet.common().cid == cid);
    let Some(place) = place else { return };
    engine.published.remove(place).refused();
    let removed = connection.transport.remove(cid).await;
    if removed.is_ok() && connection.negotiate().await.is_err() {
        tracing::warn!("A track that was taken back may still be seen by others");
    }
}
