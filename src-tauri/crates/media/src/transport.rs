//! The narrow view of a peer connection that a session needs, so that another library can take its place.

mod channel;
mod codecs;
mod flights;
mod handler;
#[cfg(test)]
mod hostile_tests;
mod interceptors;
#[cfg(feature = "testing")]
mod line;
mod receive;
mod relay;
mod repeating;
mod reports;
mod rtc;
mod send;
mod sockets;
mod tasks;
mod uplink;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

#[cfg(feature = "testing")]
pub use line::Line;
pub(crate) use relay::Relay;
pub(crate) use rtc::RtcTransport;

/// Where media leaves from.
#[derive(Debug, Clone)]
pub struct Network {
    /// Local addresses to send from; `0.0.0.0:0` stands for every interface.
    pub bind: Vec<SocketAddr>,
    /// Also use this machine's loopback: for servers on the same machine.
    pub loopback: bool,
    #[cfg(feature = "testing")]
    pub line: Line,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            bind: vec![SocketAddr::from(([0, 0, 0, 0], 0))],
            loopback: false,
            #[cfg(feature = "testing")]
            line: Line::default(),
        }
    }
}

impl Network {
    /// This machine alone.
    pub fn loopback() -> Self {
        Self {
            bind: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            loopback: true,
            #[cfg(feature = "testing")]
            line: Line::default(),
        }
    }
}

/// Ways to the server for networks that block UDP to it. Where they do not, one of these might win by chance, and be
/// slower for all of the meeting.
#[derive(Debug, Default)]
pub(crate) struct Detours<'a> {
    /// TCP to the server itself (RFC 6544).
    pub tcp: bool,
    pub relays: &'a [Relay],
    /// Whom relays over TLS are to be trusted by; without it they are left out.
    pub tls: Option<&'a Arc<rustls::ClientConfig>>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("the peer connection refused: {0}")]
    Refused(String),
    #[error("a candidate that cannot be read")]
    Candidate,
    #[error("there is no such track")]
    NoTrack,
    #[error("the data channel is closed, or too much waits for it to open")]
    NoChannel,
}

impl From<::rtc::shared::error::Error> for TransportError {
    fn from(error: ::rtc::shared::error::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

/// What a transport tells its session.
#[derive(Debug)]
pub(crate) enum TransportEvent {
    /// An `RTCIceCandidateInit` as JSON, for the other side.
    Candidate(String),
    /// A path was found; DTLS comes next.
    PathFound,
    /// Media can flow.
    Connected,
    /// The path is gone; it may come back by itself.
    Disconnected,
    /// It does not come back without an ICE restart.
    Failed,
    Data {
        reliable: bool,
        data: Bytes,
    },
    /// A receiver cannot go on without one (RFC 4585 §6.3.1).
    KeyFrameWanted {
        cid: String,
        layer: usize,
    },
}

/// One encoded frame on its way out.
#[derive(Debug)]
pub(crate) struct OutgoingVideo {
    pub layer: usize,
    pub data: Bytes,
    /// 90 kHz.
    pub timestamp: u32,
}

#[derive(Debug)]
pub(crate) struct OutgoingAudio {
    pub data: Bytes,
    /// 48 kHz.
    pub timestamp: u32,
    /// RFC 6464: 0 is the loudest, 127 silence, in −dBov.
    pub level: u8,
    pub voice: bool,
}

/// Takes what arrives. Called on the network's tasks: it never waits.
pub(crate) trait Sink: Send + Sync + 'static {
    /// False when the consumer could not use it and needs a key frame.
    fn video(&self, mid: &str, frame: crate::rtp::assembler::Frame) -> bool;
    fn audio(&self, mid: &str, sequence: u16, timestamp: u32, packet: Bytes);
    /// True once after a consumer asked for a key frame.
    fn take_key_frame_wish(&self, mid: &str) -> bool;
}

#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// Makes an offer and sets it as the local description.
    async fn offer(&self, restart_ice: bool) -> Result<String, TransportError>;
    async fn answer(&self, sdp: &str) -> Result<(), TransportError>;
    /// What lets us use the relays from the next restart of ICE on. Others than those that the transport was made with
    /// are passed over.
    async fn renew(&self, relays: &[Relay]) -> Result<(), TransportError>;
    /// `init` is an `RTCIceCandidateInit` as JSON.
    async fn add_candidate(&self, init: &str) -> Result<(), TransportError>;
    /// More sections to receive in; the next offer has them.
    async fn add_receivers(&self, audio: u32, video: u32) -> Result<(), TransportError>;
    async fn add_audio(&self, cid: &str) -> Result<(), TransportError>;
    /// One `rid` per simulcast layer, low to high; an empty one for a track of one layer.
    async fn add_video(&self, cid: &str, rids: &[&'static str]) -> Result<(), TransportError>;
    async fn remove(&self, cid: &str) -> Result<(), TransportError>;
    async fn send_video(&self, cid: &str, frame: OutgoingVideo) -> Result<(), TransportError>;
    async fn send_audio(&self, cid: &str, packet: OutgoingAudio) -> Result<(), TransportError>;
    async fn send_data(&self, reliable: bool, data: &[u8]) -> Result<(), TransportError>;
    /// Local and remote description, as the server wants to have them back after a resume.
    async fn descriptions(&self) -> (String, String);
    /// Bits per second that the way to the server carries; `None` while nothing is known. `wanted` is what we would
    /// send without limit.
    fn rate(&self, wanted: f64) -> Option<f64>;
    fn statistics(&self) -> TransportStatistics;
    /// Ends all its tasks.
    async fn close(&self);
}

/// Counts since the transport was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportStatistics {
    pub packets_sent: u64,
    pub packets_received: u64,
    /// Packets that we sent again because the server asked.
    pub retransmitted_packets_sent: u64,
    /// Sequence numbers that we asked for again.
    pub nacks_sent: u64,
    /// Sequence numbers that we were asked for.
    pub nacks_received: u64,
    pub recovered_packets: u64,
    /// Losses that were given up.
    pub gaps: u64,
    pub plis_sent: u64,
    pub plis_received: u64,
    /// Reports of the server on what it sends. Without them ours do not tell it how long a round trip takes.
    pub reports_received: u64,
    /// What the way to the server carries as far as we know, in bits per second; 0 while nothing is known.
    pub available_outgoing_bitrate: u64,
}

pub(crate) type SharedSink = Arc<dyn Sink>;
