//! What happens on a peer connection, told to the session; packets of tracks go to their receivers.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceConnectionState, RTCPeerConnectionIceEvent,
    RTCPeerConnectionState,
};

use super::channel::Channel;
use super::receive::{ReceiveCounts, Receiver, Sections};
use super::tasks::Tasks;
use super::{SharedSink, TransportEvent};

pub(super) const RELIABLE: &str = "_reliable";

pub(super) struct Handler {
    pub events: mpsc::Sender<TransportEvent>,
    pub sink: SharedSink,
    pub sections: Sections,
    pub counts: Arc<ReceiveCounts>,
    pub tasks: Tasks,
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let Ok(init) = event.candidate.to_json() else {
            return;
        };
        // Nobody listens there: see `DeafListener`.
        if init.candidate.contains("tcptype passive") {
            return;
        }
        let json = serde_json::json!({
            "candidate": init.candidate,
            "sdpMid": init.sdp_mid.unwrap_or_else(|| "0".to_owned()),
            "sdpMLineIndex": init.sdp_mline_index.unwrap_or(0),
        });
        self.tell(TransportEvent::Candidate(json.to_string())).await;
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        if state == RTCIceConnectionState::Connected {
            self.tell(TransportEvent::PathFound).await;
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let event = match state {
            RTCPeerConnectionState::Connected => TransportEvent::Connected,
            RTCPeerConnectionState::Disconnected => TransportEvent::Disconnected,
            RTCPeerConnectionState::Failed => TransportEvent::Failed,
            _ => return,
        };
        self.tell(event).await;
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let receiver = Receiver {
            track,
            sink: self.sink.clone(),
            sections: self.sections.clone(),
            counts: self.counts.clone(),
        };
        self.tasks.spawn(receiver.run());
    }

    // The server opens channels of its own for a subscriber.
    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        let reliable = channel.label().await.is_ok_and(|label| label == RELIABLE);
        self.tasks
            .spawn(Channel::new(channel).read(reliable, self.events.clone()));
    }
}

impl Handler {
    async fn tell(&self, event: TransportEvent) {
        // Nobody listens any more once the session gave this transport up.
        let _ = self.events.send(event).await;
    }
}
