//! What the server says, in any state.

use std::sync::atomic::Ordering::Relaxed;

use livekit_protocol as proto;
use proto::signal_response::Message;

use super::commands::{Outlet, Phase};
use super::connected::Why;
use super::connection::Connection;
use super::engine::Engine;
use super::{Ended, Event, data};
use crate::transport::{TransportError, TransportEvent};

/// `Some`: the connection cannot go on as it is.
pub(super) async fn message(
    engine: &mut Engine,
    connection: &mut Connection,
    message: Message,
) -> Option<Why> {
    let done = match message {
        Message::Answer(answer) => answered(engine, connection, answer).await,
        Message::Trickle(trickle) => {
            connection.candidate(trickle.candidate_init).await;
            Ok(())
        }
        Message::MediaSectionsRequirement(wanted) => {
            let (audio, video) = (wanted.num_audios, wanted.num_videos);
            connection.more_sections(audio, video).await
        }
        Message::TrackPublished(published) => took(engine, connection, published).await,
        Message::Leave(leave) => return Some(told_to_leave(&leave)),
        other => {
            about_people(engine, connection, other);
            Ok(())
        }
    };
    match done {
        Ok(()) => None,
        Err(error) => {
            tracing::warn!(%error, "The negotiation failed");
            Some(Why::Forgotten)
        }
    }
}

/// What the transport says. `Some`: the path is gone.
pub(super) async fn event(
    engine: &mut Engine,
    connection: &mut Connection,
    event: TransportEvent,
) -> Option<Why> {
    match event {
        TransportEvent::Candidate(init) => connection.send_candidate(init).await,
        TransportEvent::Connected => connection.media = true,
        TransportEvent::PathFound => {}
        TransportEvent::Disconnected => connection.media = false,
        TransportEvent::Failed => return Some(Why::Broken),
        TransportEvent::Data { reliable, data } => data::receive(engine, reliable, &data),
        TransportEvent::KeyFrameWanted { cid, layer } => {
            if let Some(Outlet::Video(outlet)) = engine.published(&cid).map(|p| &p.outlet)
                && let Some(layer) = outlet.layers.get(layer)
            {
                layer.wants_key_frame.store(true, Relaxed);
            }
        }
    }
    None
}

async fn answered(
    engine: &mut Engine,
    connection: &mut Connection,
    answer: proto::SessionDescription,
) -> Result<(), TransportError> {
    if connection.answer(answer, &engine.incoming).await? {
        let offered = engine.published.iter_mut();
        for published in offered.filter(|published| published.phase == Phase::Offered) {
            published.live();
        }
    }
    Ok(())
}

async fn took(
    engine: &mut Engine,
    connection: &mut Connection,
    answer: proto::TrackPublishedResponse,
) -> Result<(), TransportError> {
    let Some(published) = engine.published(&answer.cid) else {
        return Ok(());
    };
    published.info = answer.track.unwrap_or_default();
    published.outlet.common().set_sid(&published.info.sid);
    published.phase = Phase::Offered;
    let added = connection.add(&published.outlet).await;
    if added.is_err() {
        let place = engine
            .published
            .iter()
            .position(|published| published.outlet.common().cid == answer.cid);
        if let Some(place) = place {
            engine.published.remove(place).refused();
        }
    }
    added
}

fn told_to_leave(leave: &proto::LeaveRequest) -> Why {
    use proto::leave_request::Action;
    match leave.action() {
        Action::Resume => Why::Broken,
        Action::Reconnect => Why::Forgotten,
        // The meeting is not over: the server is restarted, or another one takes its place.
        Action::Disconnect if leave.reason() == proto::DisconnectReason::ServerShutdown => {
            Why::Forgotten
        }
        Action::Disconnect => Why::Ended(Ended::from(leave.reason())),
    }
}

fn about_people(engine: &mut Engine, connection: &Connection, message: Message) {
    match message {
        Message::Update(update) => engine.people.update(&update.participants),
        Message::SpeakersChanged(changed) => engine.people.speakers(&changed.speakers),
        Message::ConnectionQuality(update) => {
            engine.people.qualities(&connection.sid, &update.updates);
        }
        Message::StreamStateUpdate(update) => engine.people.stream_states(&update.stream_states),
        Message::SubscribedQualityUpdate(update) => return watched(engine, &update),
        Message::Mute(mute) => return muted(engine, &mute),
        _ => return,
    }
    engine.show_room();
}

/// Dynacast: layers that nobody watches need not be encoded.
fn watched(engine: &mut Engine, update: &proto::SubscribedQualityUpdate) {
    let published = engine
        .published
        .iter()
        .find(|published| published.info.sid == update.track_sid);
    let Some(Outlet::Video(outlet)) = published.map(|published| &published.outlet) else {
        return;
    };
    let mut codecs = update.subscribed_codecs.iter();
    let Some(vp8) = codecs.find(|codec| codec.codec.eq_ignore_ascii_case("vp8")) else {
        return;
    };
    let single = outlet.layers.len() == 1;
    for (at, layer) in (0_i32..).zip(&outlet.layers) {
        let mut about = vp8
            .qualities
            .iter()
            .filter(|quality| single || quality.quality == at)
            .peekable();
        if about.peek().is_none() {
            continue;
        }
        let now = about.any(|quality| quality.enabled);
        if !layer.watched.swap(now, Relaxed) && now {
            layer.wants_key_frame.store(true, Relaxed);
        }
    }
}

/// Somebody with the right to do so muted us, or the server confirms what we asked for.
fn muted(engine: &Engine, mute: &proto::MuteTrackRequest) {
    let published = engine
        .published
        .iter()
        .find(|published| published.info.sid == mute.sid);
    if let Some(published) = published {
        let before = published.outlet.common().muted.swap(mute.muted, Relaxed);
        if before != mute.muted {
            engine.tell(Event::Muted {
                sid: mute.sid.clone(),
                muted: mute.muted,
            });
        }
    }
}
