//! State: media flows, and everything that is asked for is done at once.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use super::engine::Engine;
use super::{Ended, commands, messages};
use crate::signal::SignalEvent;

/// A path that says nothing for this long is looked for anew. Shorter silences heal by themselves.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often our layers are fitted to what the network carries.
const SHARING: Duration = Duration::from_millis(100);

/// Why this state ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Websocket or path are gone; our place in the meeting is still ours.
    Broken,
    /// Our place is lost.
    Forgotten,
    Ended(Ended),
}

pub(super) async fn run(engine: &mut Engine, connection: &mut Connection) -> Why {
    let end = engine.end.clone();
    let mut silent_since = None;
    let mut sharing = tokio::time::interval(SHARING);
    sharing.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        silent_since = match (connection.media, silent_since) {
            (true, _) => None,
            (false, None) => Some(Instant::now()),
            (false, since) => since,
        };
        let too_silent = async {
            match silent_since {
                Some(since) => tokio::time::sleep_until(since + PATIENCE).await,
                None => std::future::pending().await,
            }
        };
        let why = tokio::select! {
            () = end.cancelled() => Some(Why::Ended(Ended::Left)),
            () = too_silent => Some(Why::Broken),
            _ = sharing.tick() => {
                engine.share_uplink(connection);
                None
            }
            event = connection.signal.next() => match event {
                Some(SignalEvent::Message(message)) => {
                    messages::message(engine, connection, *message).await
                }
                Some(SignalEvent::Close(_)) | None => Some(Why::Broken),
            },
            event = connection.events.recv() => match event {
                Some(event) => messages::event(engine, connection, event).await,
                None => Some(Why::Forgotten),
            },
            command = engine.commands.recv() => match command {
                Some(command) => {
                    let look_anew = commands::run(engine, connection, command).await;
                    look_anew.then_some(Why::Broken)
                }
                // The session was dropped.
                None => Some(Why::Ended(Ended::Left)),
            },
        };
        if let Some(why) = why {
            return why;
        }
    }
}
