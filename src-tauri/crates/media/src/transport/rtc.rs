//! `webrtc` 0.21 as the transport, with what it needs to work well against an SFU:
//!
//! - its NACK responder and generator stay out: the one sends repeats that belong to no simulcast layer, the other
//!   asks for ever for what was recovered by other means; ours are in `send` and `receive`,
//! - no pacer and no congestion controller: both starve sound under loss,
//! - peer-reflexive paths are taken at once: waiting for better ones makes every second join a second late,
//! - multicast DNS is off: without a multicast route the connection could not even be built.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use rtc::data_channel::RTCDataChannelInit;
use rtc::interceptor::{Registry, Slot};
use rtc::peer_connection::configuration::interceptor_registry::{
    configure_rtcp_reports, configure_twcc_receiver_only,
};
use rtc::peer_connection::configuration::setting_engine::{SettingEngine, SettingEngineBuilder};
use rtc::peer_connection::configuration::{RTCConfigurationBuilder, RTCOfferOptions};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceCandidateInit,
    RTCIceConnectionState, RTCPeerConnectionIceEvent, RTCPeerConnectionState,
};

use super::codecs::{media_engine, opus, vp8};
use super::interceptors::ForwardFeedback;
use super::receive::{ReceiveCounts, Receiver, Sections};
use super::send::{SendCounts, Sender};
use super::sockets::RoomyRuntime;
use super::{
    Network, OutgoingAudio, OutgoingVideo, SharedSink, Transport, TransportError, TransportEvent,
    TransportStatistics,
};
use crate::rtp::sdp;

/// Behind every interceptor of the stack itself.
const LAST_SLOT: usize = 60_000;
/// How long closing may take before the rest is left to the tasks' end.
const CLOSING: Duration = Duration::from_secs(1);
const RELIABLE: &str = "_reliable";
const LOSSY: &str = "_lossy";

pub(crate) struct RtcTransport {
    connection: Arc<dyn PeerConnection>,
    events: mpsc::Sender<TransportEvent>,
    sections: Sections,
    senders: tokio::sync::RwLock<HashMap<String, Arc<Sender>>>,
    reliable: Arc<dyn DataChannel>,
    lossy: Arc<dyn DataChannel>,
    sent: Arc<SendCounts>,
    received: Arc<ReceiveCounts>,
    tasks: Tasks,
}

/// The tasks of one transport: they end with it.
#[derive(Clone, Default)]
struct Tasks {
    tracker: TaskTracker,
    end: CancellationToken,
}

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        self.tracker.spawn(async move {
            end.run_until_cancelled(task).await;
        });
    }
}

impl RtcTransport {
    pub async fn new(
        network: &Network,
        sink: SharedSink,
        events: mpsc::Sender<TransportEvent>,
    ) -> Result<Self, TransportError> {
        let mut media = media_engine()?;
        let registry = configure_twcc_receiver_only(Registry::new(), &mut media)?;
        let registry = configure_rtcp_reports(registry)
            .with(Slot::from(LAST_SLOT), ForwardFeedback::default());
        let sections = Sections::default();
        let received = Arc::new(ReceiveCounts::default());
        let tasks = Tasks::default();
        let handler = Handler {
            events: events.clone(),
            sink,
            sections: sections.clone(),
            counts: received.clone(),
            tasks: tasks.clone(),
        };
        let building = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(media)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings(network))
            .with_handler(Arc::new(handler))
            .with_runtime(Arc::new(RoomyRuntime {
                #[cfg(feature = "testing")]
                line: network.line.clone(),
            }))
            .with_udp_addrs(network.bind.clone())
            .build();
        let connection: Arc<dyn PeerConnection> = Arc::new(Box::pin(building).await?);
        let lossy = channel(&connection, LOSSY, false).await?;
        let reliable = channel(&connection, RELIABLE, true).await?;
        for (channel, is_reliable) in [(&lossy, false), (&reliable, true)] {
            tasks.spawn(read(channel.clone(), is_reliable, events.clone()));
        }
        Ok(Self {
            connection,
            events,
            sections,
            senders: tokio::sync::RwLock::default(),
            reliable,
            lossy,
            sent: Arc::default(),
            received,
            tasks,
        })
    }

    async fn add(
        &self,
        cid: &str,
        kind: RtpCodecKind,
        codec: RTCRtpCodec,
        rids: &[&'static str],
    ) -> Result<(), TransportError> {
        let counts = self.sent.clone();
        let sender = Sender::add(&self.connection, cid, kind, codec, rids, counts).await?;
        let sender = Arc::new(sender);
        self.tasks
            .spawn(sender.clone().answer_feedback(self.events.clone()));
        self.senders.write().await.insert(cid.to_owned(), sender);
        Ok(())
    }

    async fn sender(&self, cid: &str) -> Result<Arc<Sender>, TransportError> {
        let senders = self.senders.read().await;
        senders.get(cid).cloned().ok_or(TransportError::NoTrack)
    }
}

#[async_trait]
impl Transport for RtcTransport {
    async fn offer(&self, restart_ice: bool) -> Result<String, TransportError> {
        let options = restart_ice.then_some(RTCOfferOptions { ice_restart: true });
        let offer = self.connection.create_offer(options).await?;
        self.connection.set_local_description(offer.clone()).await?;
        Ok(offer.sdp)
    }

    async fn answer(&self, sdp: &str) -> Result<(), TransportError> {
        let sections = sdp::sections_of_sources(sdp);
        *self
            .sections
            .write()
            .unwrap_or_else(PoisonError::into_inner) = sections;
        let answer = RTCSessionDescription::answer(sdp.to_owned())?;
        self.connection.set_remote_description(answer).await?;
        for sender in self.senders.read().await.values() {
            sender.learn().await?;
        }
        Ok(())
    }

    async fn add_candidate(&self, init: &str) -> Result<(), TransportError> {
        let init: CandidateInit =
            serde_json::from_str(init).map_err(|_| TransportError::Candidate)?;
        Ok(self
            .connection
            .add_ice_candidate(RTCIceCandidateInit {
                candidate: init.candidate,
                sdp_mid: init.sdp_mid,
                sdp_mline_index: init.sdp_m_line_index,
                ..Default::default()
            })
            .await?)
    }

    async fn add_receivers(&self, audio: u32, video: u32) -> Result<(), TransportError> {
        for (kind, count) in [(RtpCodecKind::Audio, audio), (RtpCodecKind::Video, video)] {
            for _ in 0..count {
                let init = RTCRtpTransceiverInit {
                    direction: RTCRtpTransceiverDirection::Recvonly,
                    streams: Vec::new(),
                    send_encodings: Vec::new(),
                };
                self.connection
                    .add_transceiver_from_kind(kind, Some(init))
                    .await?;
            }
        }
        Ok(())
    }

    async fn add_audio(&self, cid: &str) -> Result<(), TransportError> {
        self.add(cid, RtpCodecKind::Audio, opus(), &[""]).await
    }

    async fn add_video(&self, cid: &str, rids: &[&'static str]) -> Result<(), TransportError> {
        self.add(cid, RtpCodecKind::Video, vp8(), rids).await
    }

    async fn remove(&self, cid: &str) -> Result<(), TransportError> {
        let sender = self.senders.write().await.remove(cid);
        let sender = sender.ok_or(TransportError::NoTrack)?;
        if let Some(sender) = sender.transceiver.sender().await? {
            self.connection.remove_track(&sender).await?;
        }
        Ok(())
    }

    async fn send_video(&self, cid: &str, frame: OutgoingVideo) -> Result<(), TransportError> {
        self.sender(cid).await?.send_video(frame).await
    }

    async fn send_audio(&self, cid: &str, packet: OutgoingAudio) -> Result<(), TransportError> {
        self.sender(cid).await?.send_audio(packet).await
    }

    async fn send_data(&self, reliable: bool, data: &[u8]) -> Result<(), TransportError> {
        let channel = if reliable {
            &self.reliable
        } else {
            &self.lossy
        };
        let sent = channel.send(BytesMut::from(data)).await;
        sent.map_err(|_| TransportError::NoChannel)
    }

    async fn descriptions(&self) -> (String, String) {
        let local = self.connection.local_description().await;
        let remote = self.connection.remote_description().await;
        (
            local.map(|description| description.sdp).unwrap_or_default(),
            remote
                .map(|description| description.sdp)
                .unwrap_or_default(),
        )
    }

    fn statistics(&self) -> TransportStatistics {
        TransportStatistics {
            packets_sent: self.sent.packets.load(Relaxed),
            packets_received: self.received.packets.load(Relaxed),
            retransmitted_packets_sent: self.sent.repeated.load(Relaxed),
            nacks_sent: self.received.nacks.load(Relaxed),
            nacks_received: self.sent.nacks.load(Relaxed),
            recovered_packets: self.received.recovered.load(Relaxed),
            gaps: self.received.gaps.load(Relaxed),
            plis_sent: self.received.plis.load(Relaxed),
            plis_received: self.sent.plis.load(Relaxed),
        }
    }

    async fn close(&self) {
        let _ = tokio::time::timeout(CLOSING, self.connection.close()).await;
        self.tasks.end.cancel();
        self.tasks.tracker.close();
        let _ = tokio::time::timeout(CLOSING, self.tasks.tracker.wait()).await;
    }
}

impl Drop for RtcTransport {
    fn drop(&mut self) {
        self.tasks.end.cancel();
    }
}

/// W3C `RTCIceCandidateInit`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CandidateInit {
    candidate: String,
    sdp_mid: Option<String>,
    #[serde(rename = "sdpMLineIndex")]
    sdp_m_line_index: Option<u16>,
}

struct Handler {
    events: mpsc::Sender<TransportEvent>,
    sink: SharedSink,
    sections: Sections,
    counts: Arc<ReceiveCounts>,
    tasks: Tasks,
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let Ok(init) = event.candidate.to_json() else {
            return;
        };
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
            .spawn(read(channel, reliable, self.events.clone()));
    }
}

impl Handler {
    async fn tell(&self, event: TransportEvent) {
        // Nobody listens any more once the session gave this transport up.
        let _ = self.events.send(event).await;
    }
}

async fn channel(
    connection: &Arc<dyn PeerConnection>,
    label: &str,
    reliable: bool,
) -> Result<Arc<dyn DataChannel>, TransportError> {
    let init = RTCDataChannelInit {
        ordered: reliable,
        max_retransmits: (!reliable).then_some(0),
        ..Default::default()
    };
    Ok(connection.create_data_channel(label, Some(init)).await?)
}

async fn read(channel: Arc<dyn DataChannel>, reliable: bool, events: mpsc::Sender<TransportEvent>) {
    while let Some(event) = channel.poll().await {
        match event {
            DataChannelEvent::OnMessage(message) => {
                let data = message.data.freeze();
                let event = TransportEvent::Data { reliable, data };
                if events.send(event).await.is_err() {
                    return;
                }
            }
            DataChannelEvent::OnClose => return,
            _ => {}
        }
    }
}

fn settings(network: &Network) -> SettingEngine {
    SettingEngineBuilder::new()
        .with_include_loopback_candidate(network.loopback)
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .build()
}
