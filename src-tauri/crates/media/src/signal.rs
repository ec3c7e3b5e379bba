//! Signalling, by `LiveKit`'s own client without its media engine. Nothing else in this crate names that client.

mod credible;
mod websocket;

use std::collections::VecDeque;
use std::sync::Arc;

use livekit_protocol as proto;
use livekit_signaling::{SignalClient, SignalError, SignalEvents, SignalOptions};
use proto::signal_request::Message as Request;

pub(crate) use livekit_signaling::SignalEvent;

use crate::session::Access;

/// The newest version whose data channels are negotiated in band, which is what our transport does.
const PROTOCOL_VERSION: u32 = 17;

/// One signalling connection; it can lose its websocket and get another one.
pub(crate) struct Signal {
    client: SignalClient,
    events: SignalEvents,
    /// Came while a new websocket was made.
    kept: VecDeque<SignalEvent>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// Why the server could not be joined.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SignalFailure {
    #[error("the server refuses the token")]
    Refused,
    #[error("the server answers with status {0}")]
    Status(u16),
    #[error("the server told us to leave")]
    Leave(proto::DisconnectReason, proto::leave_request::Action),
    #[error("the server cannot be reached")]
    Unreachable,
    #[error("the address is none")]
    Address,
    #[error("the server speaks otherwise than expected")]
    Protocol,
}

impl Signal {
    /// Joins with the first offer inside the request, which saves a round trip.
    pub async fn join(
        access: &Access,
        tls: Option<Arc<rustls::ClientConfig>>,
        auto_subscribe: bool,
        offer: proto::SessionDescription,
    ) -> Result<(Self, proto::JoinResponse), SignalFailure> {
        websocket::register();
        let mut options = SignalOptions::default();
        options.auto_subscribe = auto_subscribe;
        options.adaptive_stream = true;
        options.single_peer_connection = true;
        options.region_failover = false;
        options.protocol_version = PROTOCOL_VERSION;
        // Without packet trailers, which we would have to strip.
        options.client_capabilities.clear();
        let connecting = SignalClient::connect(&access.url, &access.token, options, Some(offer));
        let (client, join, events) = websocket::with_tls(tls.clone(), connecting)
            .await
            .map_err(SignalFailure::from)?;
        if !client.is_single_pc_mode_active() {
            // Such a server offers by itself on a second connection, which we do not have.
            client.close().await;
            return Err(SignalFailure::Protocol);
        }
        Ok((
            Self {
                client,
                events,
                kept: VecDeque::new(),
                tls,
            },
            join,
        ))
    }

    /// A new websocket for the same session. Until [`Signal::resumed`] only negotiation passes, the rest waits.
    pub async fn resume(&mut self) -> Result<proto::ReconnectResponse, SignalFailure> {
        let reason = proto::ReconnectReason::RrSignalDisconnected;
        let connecting = self.client.restart(reason);
        let answer = websocket::with_tls(self.tls.clone(), connecting).await?;
        // The end of the websocket before is no news any more.
        while let Ok(event) = self.events.try_recv() {
            if matches!(event, SignalEvent::Message(_)) {
                self.kept.push_back(event);
            }
        }
        Ok(answer)
    }

    pub async fn resumed(&self) {
        self.client.set_reconnected().await;
    }

    pub async fn send(&self, request: Request) {
        self.client.send(request).await;
    }

    /// `None` never comes while the client lives; the session treats it as a lost connection.
    pub async fn next(&mut self) -> Option<SignalEvent> {
        match self.kept.pop_front() {
            Some(event) => Some(event),
            None => self.events.recv().await,
        }
    }

    /// The newest token: the server refreshes it while we are in.
    pub fn token(&self) -> String {
        self.client.token()
    }

    pub async fn leave(&self) {
        self.say_goodbye().await;
        self.client.close().await;
    }

    /// Leaves, and lets the server end the websocket.
    pub async fn say_goodbye(&self) {
        self.send(Request::Leave(proto::LeaveRequest {
            reason: proto::DisconnectReason::ClientInitiated.into(),
            ..Default::default()
        }))
        .await;
    }

    pub async fn close(&self) {
        self.client.close().await;
    }
}

impl From<SignalError> for SignalFailure {
    fn from(error: SignalError) -> Self {
        match error {
            SignalError::Client(status, _)
            | SignalError::Server(status, _)
            | SignalError::Handshake { status } => match status.as_u16() {
                401 | 403 => Self::Refused,
                other => Self::Status(other),
            },
            SignalError::TokenFormat => Self::Refused,
            SignalError::UrlParse(_) => Self::Address,
            SignalError::LeaveRequest { reason, action } => Self::Leave(reason, action),
            SignalError::ProtoParse(_) | SignalError::InvalidState(_) => Self::Protocol,
            _ => Self::Unreachable,
        }
    }
}
