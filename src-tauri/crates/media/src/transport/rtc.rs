//! `webrtc` 0.21 as the transport, with what it needs to work well against an SFU:
//!
//! - its NACK responder and generator stay out: the one sends repeats that belong to no simulcast layer, the other
//!   asks for ever for what was recovered by other means; ours are in `send` and `receive`,
//! - no pacer and no congestion controller: both starve sound under loss,
//! - peer-reflexive paths are taken at once: waiting for better ones makes every second join a second late,
//! - the server's reports are made readable: see `reports`,
//! - a restart of ICE takes the addresses that this machine has by then, not those from which the connection began,
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
use webrtc::peer_connection::{PeerConnection, PeerConnectionBuilder, RTCIceCandidateInit};

use super::channel::Channel;
use super::codecs::{media_engine, opus, vp8};
use super::handler::{Handler, RELIABLE};
use super::interceptors::ForwardFeedback;
use super::receive::{ReceiveCounts, Sections};
use super::relay::{Relay, Streams};
use super::reports::Provider;
use super::send::{SendCounts, Sender, Shared};
use super::sockets::RoomyRuntime;
use super::tasks::Tasks;
use super::uplink::Uplink;
use super::{
    Detours, Network, OutgoingAudio, OutgoingVideo, SharedSink, Transport, TransportError,
    TransportEvent, TransportStatistics,
};
use crate::rtp::sdp;

/// Behind every interceptor of the stack itself.
const LAST_SLOT: usize = 60_000;
/// A way to the server itself that is found within this is taken before one over a relay.
const RELAYS_WAIT: Duration = Duration::from_millis(300);
/// How long closing may take before the rest is left to the tasks' end.
const CLOSING: Duration = Duration::from_secs(1);
const LOSSY: &str = "_lossy";

pub(crate) struct RtcTransport {
    connection: Arc<dyn PeerConnection>,
    events: mpsc::Sender<TransportEvent>,
    sections: Sections,
    senders: tokio::sync::RwLock<HashMap<String, Arc<Sender>>>,
    reliable: Arc<Channel>,
    lossy: Arc<Channel>,
    sent: Arc<SendCounts>,
    received: Arc<ReceiveCounts>,
    uplink: Arc<Uplink>,
    streams: Streams,
    tasks: Tasks,
}

impl RtcTransport {
    pub async fn new(
        network: &Network,
        detours: &Detours<'_>,
        sink: SharedSink,
        events: mpsc::Sender<TransportEvent>,
    ) -> Result<Self, TransportError> {
        let uplink = Arc::new(Uplink::new());
        let received = Arc::new(ReceiveCounts::default());
        let mut media = media_engine()?;
        let registry = configure_twcc_receiver_only(Registry::new(), &mut media)?;
        let registry = configure_rtcp_reports(registry).with(
            Slot::from(LAST_SLOT),
            ForwardFeedback::new(uplink.clone(), received.clone()),
        );
        let sections = Sections::default();
        let tasks = Tasks::default();
        let handler = Handler {
            events: events.clone(),
            sink,
            sections: sections.clone(),
            counts: received.clone(),
            tasks: tasks.clone(),
        };
        let streams = Streams::of(detours.relays, detours.tls);
        let relays = streams.servers(detours.relays);
        let configuration = RTCConfigurationBuilder::new().with_ice_servers(relays);
        let building = PeerConnectionBuilder::new()
            .with_configuration(configuration.build())
            .with_media_engine(media)
            .with_interceptor_registry(registry)
            .with_setting_engine(settings(network))
            .with_handler(Arc::new(handler))
            .with_runtime(Arc::new(RoomyRuntime {
                streams: streams.clone(),
                #[cfg(feature = "testing")]
                line: network.line.clone(),
            }))
            .with_udp_addrs(network.bind.clone())
            .with_tcp_addrs(if detours.tcp {
                network.bind.clone()
            } else {
                Vec::new()
            })
            .build();
        let connection: Arc<dyn PeerConnection> = Arc::new(Box::pin(building).await?);
        let lossy = channel(&connection, LOSSY, false).await?;
        let reliable = channel(&connection, RELIABLE, true).await?;
        for (channel, is_reliable) in [(&lossy, false), (&reliable, true)] {
            tasks.spawn(channel.clone().read(is_reliable, events.clone()));
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
            uplink,
            streams,
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
        let shared = Shared {
            counts: self.sent.clone(),
            uplink: self.uplink.clone(),
        };
        let sender = Sender::add(&self.connection, cid, kind, codec, rids, shared).await?;
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

    async fn renew(&self, relays: &[Relay]) -> Result<(), TransportError> {
        let relays = self.streams.servers(relays);
        let configuration = RTCConfigurationBuilder::new().with_ice_servers(relays);
        let configuration = configuration.build();
        Ok(self.connection.set_configuration(configuration).await?)
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
        channel.send(BytesMut::from(data)).await
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

    fn rate(&self, wanted: f64) -> Option<f64> {
        self.uplink.rate(wanted)
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
            reports_received: self.received.reports.load(Relaxed),
            available_outgoing_bitrate: self.uplink.known_rate(),
        }
    }

    async fn close(&self) {
        let _ = tokio::time::timeout(CLOSING, self.connection.close()).await;
        self.tasks.finish(CLOSING).await;
    }
}

impl Drop for RtcTransport {
    fn drop(&mut self) {
        self.tasks.cancel();
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

async fn channel(
    connection: &Arc<dyn PeerConnection>,
    label: &str,
    reliable: bool,
) -> Result<Arc<Channel>, TransportError> {
    let init = RTCDataChannelInit {
        ordered: reliable,
        max_retransmits: (!reliable).then_some(0),
        ..Default::default()
    };
    let made = connection.create_data_channel(label, Some(init)).await?;
    Ok(Channel::new(made))
}

fn settings(network: &Network) -> SettingEngine {
    let settings = SettingEngineBuilder::new();
    let settings = match rtc::crypto::default_provider() {
        Ok(stock) => settings.with_crypto_provider(Arc::new(Provider::new(stock))),
        // The stack will say so itself.
        Err(_) => settings,
    };
    settings
        .with_include_loopback_candidate(network.loopback)
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        .with_discard_local_candidates_during_ice_restart(true)
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_relay_acceptance_min_wait(Some(RELAYS_WAIT))
        .build()
}
