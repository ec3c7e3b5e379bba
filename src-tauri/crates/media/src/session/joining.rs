//! State: the first way in. Also used to join anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::connected::Why;
use super::connection::{Connection, offer};
use super::engine::Engine;
use super::{Room, Tried, messages};
use crate::signal::{Signal, SignalEvent, SignalFailure};
use crate::transport::{Detours, RtcTransport, Transport, TransportError, TransportEvent};

/// How long a first connection may look for a path; each further one gets as much more.
const PATH: Duration = Duration::from_secs(2);
/// From a found path to the end of the DTLS handshake; each further connection gets as much more, for networks whose
/// answers take long. The other side repeats what is lost after 100, 200, 400 ms and so on: once that takes longer
/// than this, a new connection is quicker (at 20 % loss one join in 100 comes to that).
const HANDSHAKE: Duration = Duration::from_millis(1700);
/// Connections built one after the other before a join is given up.
const ATTEMPTS: u32 = 3;
/// Sections to receive in that are offered at once; the server asks for more when it needs them.
const RECEIVERS: u32 = 3;
const EVENTS: usize = 256;

/// Why a meeting could not be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    #[error("the server does not let us in with this token")]
    Refused,
    #[error("the address is none")]
    Address,
    #[error("the server cannot be reached")]
    Unreachable,
    #[error("the server answers with status {0}")]
    Status(u16),
    #[error("the server speaks otherwise than expected")]
    Protocol,
    #[error("the server was reached, but no path for media was found: {0}")]
    NoPath(Tried),
    #[error("a path for media was found, but nothing could be agreed on it")]
    NoHandshake,
    #[error("the session ended meanwhile")]
    Ended,
}

/// One attempt that failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Attempt {
    #[error(transparent)]
    Signal(#[from] SignalFailure),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("the handshake did not end")]
    Stuck,
    #[error("there is no path: {0}")]
    NoPath(Tried),
    #[error("asked to end")]
    Asked,
}

pub(super) async fn run(engine: &mut Engine) -> Result<Connection, JoinError> {
    let mut before = 0;
    loop {
        let error = match Box::pin(connect(engine, before)).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        tracing::info!(%error, before, "Joining failed");
        before += 1;
        match error {
            Attempt::NoPath(_) | Attempt::Stuck if before < ATTEMPTS => {}
            error => return Err(error.into()),
        }
    }
}

/// One attempt, up to flowing media and with everything of ours on its way to be published. `before` tells how many
/// attempts were in vain: after the first one TCP and relays are tried, too.
pub(super) async fn connect(engine: &mut Engine, before: u32) -> Result<Connection, Attempt> {
    let end = engine.end.clone();
    let connecting = async {
        let mut connection = Box::pin(open(engine, before > 0)).await?;
        let factor = before.min(ATTEMPTS - 1) + 1;
        match wait_for_media(engine, &mut connection, factor).await {
            Ok(()) => {
                engine.settle(&mut connection).await;
                Ok(connection)
            }
            Err(error) => {
                engine.abandon(connection).await;
                Err(error)
            }
        }
    };
    let connected = end.run_until_cancelled(connecting).await;
    connected.unwrap_or(Err(Attempt::Asked))
}

async fn open(engine: &mut Engine, blocked: bool) -> Result<Connection, Attempt> {
    let (sender, events) = mpsc::channel(EVENTS);
    let detours = Detours {
        tcp: blocked,
        // The server names them in its answer to the join: they are those of the attempt before.
        relays: if blocked { &engine.relays } else { &[] },
        tls: engine.options.tls.as_ref(),
    };
    let network = &engine.options.network;
    let incoming = engine.incoming.clone();
    let transport = Box::pin(RtcTransport::new(network, &detours, incoming, sender)).await?;
    let relays = u32::try_from(detours.relays.len()).unwrap_or(u32::MAX);
    let transport: Arc<dyn Transport> = Arc::new(transport);
    transport.add_receivers(RECEIVERS, RECEIVERS).await?;
    let first = offer(transport.offer(false).await?, 1);
    let tls = engine.options.tls.clone();
    let joining = Signal::join(&engine.access, tls, engine.options.subscribe, first);
    let (signal, join) = match joining.await {
        Ok(joined) => joined,
        Err(error) => {
            transport.close().await;
            return Err(error.into());
        }
    };
    engine.incoming.set_trailer(&join.sif_trailer);
    engine.people = Room::joined(&join);
    engine.heard.clear();
    engine.show_room();
    engine.take_relays(&join.ice_servers);
    let sid = join.participant.map(|own| own.sid).unwrap_or_default();
    let mut connection = Connection::new(signal, transport, events, sid);
    connection.tried.relays = relays;
    Ok(connection)
}

async fn wait_for_media(
    engine: &mut Engine,
    connection: &mut Connection,
    factor: u32,
) -> Result<(), Attempt> {
    let mut deadline = Instant::now() + PATH * factor;
    let mut path_found = false;
    loop {
        let step = async {
            tokio::select! {
                signal = connection.signal.next() => Step::Signal(signal),
                event = connection.events.recv() => Step::Event(event),
            }
        };
        let why = match timeout_at(deadline, step).await {
            Err(_) if path_found => return Err(Attempt::Stuck),
            Err(_) => return Err(Attempt::NoPath(connection.tried)),
            Ok(Step::Event(Some(TransportEvent::Connected))) => {
                connection.media = true;
                return Ok(());
            }
            Ok(Step::Event(Some(TransportEvent::PathFound))) if !path_found => {
                path_found = true;
                deadline = Instant::now() + HANDSHAKE * factor;
                None
            }
            Ok(Step::Event(Some(event))) => messages::event(engine, connection, event).await,
            Ok(Step::Signal(Some(SignalEvent::Message(message)))) => {
                messages::message(engine, connection, *message).await
            }
            Ok(Step::Event(None) | Step::Signal(Some(SignalEvent::Close(_)) | None)) => {
                return Err(SignalFailure::Unreachable.into());
            }
        };
        match why {
            None => {}
            Some(Why::Ended(_)) => return Err(SignalFailure::Refused.into()),
            Some(Why::Broken | Why::Forgotten) => return Err(Attempt::NoPath(connection.tried)),
        }
    }
}

enum Step {
    Signal(Option<SignalEvent>),
    Event(Option<TransportEvent>),
}

impl From<Attempt> for JoinError {
    fn from(attempt: Attempt) -> Self {
        match attempt {
            Attempt::Signal(failure) => match failure {
                SignalFailure::Refused | SignalFailure::Leave(..) => Self::Refused,
                SignalFailure::Status(status) => Self::Status(status),
                SignalFailure::Unreachable => Self::Unreachable,
                SignalFailure::Address => Self::Address,
                SignalFailure::Protocol => Self::Protocol,
            },
            Attempt::Transport(_) => Self::Protocol,
            Attempt::NoPath(tried) => Self::NoPath(tried),
            Attempt::Stuck => Self::NoHandshake,
            Attempt::Asked => Self::Ended,
        }
    }
}
