//! State: the path broke. A new websocket for the same place in the meeting, and a new path for media.

use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use tokio::time::{Instant, sleep, timeout_at};

use super::commands::Phase;
use super::connected::Why;
use super::connection::Connection;
use super::engine::Engine;
use super::policy::{self, After};
use super::{Ended, View, messages};
use crate::signal::SignalEvent;

/// From the new websocket to flowing media.
const MEDIA: Duration = Duration::from_secs(5);

pub(super) async fn run(engine: &mut Engine, connection: &mut Connection) -> Result<(), Why> {
    let end = engine.end.clone();
    let resumed = end.run_until_cancelled(resume(engine, connection)).await;
    resumed.unwrap_or(Err(Why::Ended(Ended::Left)))
}

async fn resume(engine: &mut Engine, connection: &mut Connection) -> Result<(), Why> {
    let mut attempt = 0;
    let answer = loop {
        let Some(pause) = policy::pause(attempt, rand::random()) else {
            return Err(Why::Forgotten);
        };
        sleep(pause).await;
        let failure = match connection.signal.resume().await {
            Ok(answer) => break answer,
            Err(failure) => failure,
        };
        tracing::info!(%failure, attempt, "Resuming failed");
        while let Ok(event) = connection.events.try_recv() {
            if messages::event(engine, connection, event).await.is_some() {
                connection.media = false;
            }
        }
        match policy::after_resume(&failure, attempt, connection.media) {
            After::Again => attempt += 1,
            After::Rejoin => return Err(Why::Forgotten),
            After::GiveUp => return Err(Why::Ended(Ended::Unreachable)),
        }
    };
    engine.take_relays(&answer.ice_servers);
    let renewed = connection.transport.renew(&engine.relays).await;
    renewed.map_err(|_| Why::Forgotten)?;
    let state = what_we_have(engine, connection).await;
    connection.signal.send(Request::SyncState(state)).await;
    connection.restart_ice().await.map_err(|_| Why::Forgotten)?;
    wait_for_media(engine, connection).await?;
    // Mutes and settings that were asked for meanwhile leave now.
    connection.signal.resumed().await;
    // A track that the server was asked for when the websocket broke may have been missed by it.
    let encrypted = engine.options.keys.is_some();
    for published in &mut engine.published {
        if published.phase == Phase::Asked {
            connection.ask_to_publish(published, encrypted).await;
        }
    }
    Ok(())
}

/// The server compares it with what it remembers.
async fn what_we_have(engine: &Engine, connection: &Connection) -> proto::SyncState {
    let (local, remote) = connection.transport.descriptions().await;
    let description = |kind: &str, sdp: String| {
        Some(proto::SessionDescription {
            r#type: kind.to_owned(),
            sdp,
            ..Default::default()
        })
    };
    let published = engine.published.iter();
    let hidden = engine.views.iter();
    proto::SyncState {
        offer: description("offer", local),
        answer: description("answer", remote),
        // Changes against what the join asked for: there are none.
        subscription: Some(proto::UpdateSubscription {
            subscribe: !engine.options.subscribe,
            ..Default::default()
        }),
        publish_tracks: published
            .filter(|published| published.phase != Phase::Asked)
            .map(|published| proto::TrackPublishedResponse {
                cid: published.outlet.common().cid.clone(),
                track: Some(published.info.clone()),
            })
            .collect(),
        track_sids_disabled: hidden
            .filter(|(_, view)| **view == View::Hidden)
            .map(|(sid, _)| sid.clone())
            .collect(),
        ..Default::default()
    }
}

async fn wait_for_media(engine: &mut Engine, connection: &mut Connection) -> Result<(), Why> {
    let deadline = Instant::now() + MEDIA;
    while !connection.media {
        let step = async {
            tokio::select! {
                signal = connection.signal.next() => Ok(signal),
                event = connection.events.recv() => Err(event),
            }
        };
        let why = match timeout_at(deadline, step).await {
            Ok(Ok(Some(SignalEvent::Message(message)))) => {
                messages::message(engine, connection, *message).await
            }
            Ok(Err(Some(event))) => messages::event(engine, connection, event).await,
            // Too late, or broken once more in the middle: begin anew.
            Err(_) | Ok(Err(None) | Ok(Some(SignalEvent::Close(_)) | None)) => {
                return Err(Why::Forgotten);
            }
        };
        match why {
            None => {}
            Some(Why::Ended(reason)) => return Err(Why::Ended(reason)),
            Some(Why::Broken | Why::Forgotten) => return Err(Why::Forgotten),
        }
    }
    Ok(())
}
