//! Our own tracks: frames become packets with everything the server needs to forward them, and are kept to be sent
//! again. The stack's own writers leave out `mid` and `rid`, without which a simulcast packet belongs to no layer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp::header::Header;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::mpsc;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};
use webrtc::peer_connection::PeerConnection;
use webrtc::rtp_transceiver::RtpTransceiver;

use super::uplink::Uplink;
use super::{OutgoingAudio, OutgoingVideo, TransportError, TransportEvent};
use crate::rtp::history::History;
use crate::rtp::vp8::Packetiser;

pub(super) const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
pub(super) const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
const TRANSPORT_NUMBER: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
pub(super) const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

/// Packets of at least this size serve as probes.
const LARGE: usize = 500;

#[derive(Default)]
pub(super) struct SendCounts {
    pub packets: AtomicU64,
    pub repeated: AtomicU64,
    pub nacks: AtomicU64,
    pub plis: AtomicU64,
}

/// What all tracks of a connection have in common.
#[derive(Clone)]
pub(super) struct Shared {
    pub counts: Arc<SendCounts>,
    pub uplink: Arc<Uplink>,
}

/// One published track.
pub(super) struct Sender {
    pub cid: String,
    pub transceiver: Arc<dyn RtpTransceiver>,
    track: Arc<TrackLocalStaticRTP>,
    streams: Mutex<Vec<Stream>>,
    /// Known once the description was answered; nothing is sent before.
    negotiated: Mutex<Option<Negotiated>>,
    shared: Shared,
}

/// One simulcast layer, or the sound.
struct Stream {
    ssrc: u32,
    rid: &'static str,
    sequence: u16,
    packetiser: Packetiser,
    history: History<rtc::rtp::Packet>,
}

#[derive(Clone)]
struct Negotiated {
    payload_type: u8,
    mid: Bytes,
    /// Numbers of the header extensions (RFC 8285); 0 is none.
    mid_extension: u8,
    rid_extension: u8,
    level_extension: u8,
    number_extension: u8,
}

impl Sender {
    /// `rids`: one per layer; sound has one empty one.
    pub async fn add(
        connection: &Arc<dyn PeerConnection>,
        cid: &str,
        kind: RtpCodecKind,
        codec: RTCRtpCodec,
        rids: &[&'static str],
        shared: Shared,
    ) -> Result<Self, TransportError> {
        let streams: Vec<_> = rids.iter().map(|rid| Stream::new(rid)).collect();
        let encodings: Vec<_> = streams
            .iter()
            .map(|stream| RTCRtpEncodingParameters {
                rtp_coding_parameters: RTCRtpCodingParameters {
                    rid: stream.rid.to_owned(),
                    ssrc: Some(stream.ssrc),
                    ..Default::default()
                },
                codec: codec.clone(),
                ..Default::default()
            })
            .collect();
        // The server knows the track by this name: it has to be the one of the request to publish.
        let track = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
            cid.to_owned(),
            cid.to_owned(),
            cid.to_owned(),
            kind,
            encodings.clone(),
        )));
        let transceiver = connection
            .add_transceiver_from_track(
                track.clone() as Arc<dyn TrackLocal>,
                Some(RTCRtpTransceiverInit {
                    direction: RTCRtpTransceiverDirection::Sendonly,
                    streams: vec![cid.to_owned()],
                    send_encodings: encodings,
                }),
            )
            .await?;
        Ok(Self {
            cid: cid.to_owned(),
            transceiver,
            track,
            streams: Mutex::new(streams),
            negotiated: Mutex::new(None),
            shared,
        })
    }

    /// Reads from an answered description what every packet has to carry.
    pub async fn learn(&self) -> Result<(), TransportError> {
        let sender = self.transceiver.sender().await?;
        let (Some(sender), Some(mid)) = (sender, self.transceiver.mid().await?) else {
            return Ok(());
        };
        let parameters = sender.get_parameters().await?.rtp_parameters;
        let extension = |uri: &str| {
            let found = parameters.header_extensions.iter().find(|e| e.uri == uri);
            found.and_then(|e| u8::try_from(e.id).ok()).unwrap_or(0)
        };
        let repair = |mime: &str| mime.to_ascii_lowercase().ends_with("/rtx");
        let mut codecs = parameters.codecs.iter();
        let Some(codec) = codecs.find(|codec| !repair(&codec.rtp_codec.mime_type)) else {
            return Ok(());
        };
        let negotiated = Negotiated {
            payload_type: codec.payload_type,
            mid: Bytes::from(mid.into_bytes()),
            mid_extension: extension(MID),
            rid_extension: extension(RID),
            level_extension: extension(AUDIO_LEVEL),
            number_extension: extension(TRANSPORT_NUMBER),
        };
        *lock(&self.negotiated) = Some(negotiated);
        Ok(())
    }

    pub async fn send_video(&self, frame: OutgoingVideo) -> Result<(), TransportError> {
        let Some(negotiated) = lock(&self.negotiated).clone() else {
            return Ok(());
        };
        let (packets, again) = {
            let mut streams = lock(&self.streams);
            let stream = streams
                .get_mut(frame.layer)
                .ok_or(TransportError::NoTrack)?;
            let packets = stream.pack(&negotiated, &frame);
            (packets, self.probe(stream))
        };
        for packet in packets {
            self.shared.counts.packets.fetch_add(1, Relaxed);
            self.write(packet, &negotiated, false).await?;
        }
        for packet in again {
            self.write(packet, &negotiated, true).await?;
        }
        Ok(())
    }

    pub async fn send_audio(&self, packet: OutgoingAudio) -> Result<(), TransportError> {
        let Some(negotiated) = lock(&self.negotiated).clone() else {
            return Ok(());
        };
        let packet = {
            let mut streams = lock(&self.streams);
            let stream = streams.first_mut().ok_or(TransportError::NoTrack)?;
            let mut header = stream.header(&negotiated, packet.timestamp);
            let voice = if packet.voice { 0x80 } else { 0 };
            extend(
                &mut header,
                negotiated.level_extension,
                Bytes::from(vec![voice | (packet.level & 0x7f)]),
            );
            rtc::rtp::Packet {
                header,
                payload: packet.data,
            }
        };
        self.shared.counts.packets.fetch_add(1, Relaxed);
        self.write(packet, &negotiated, false).await
    }

    /// Packets to send a second time, to find out what the way to the server carries: receivers drop what they have.
    fn probe(&self, stream: &Stream) -> Vec<rtc::rtp::Packet> {
        // Small packets would take many to fill anything.
        let large = stream
            .history
            .newest()
            .is_some_and(|p| p.payload.len() >= LARGE);
        let Some(bytes) = large.then(|| self.shared.uplink.probe()).flatten() else {
            return Vec::new();
        };
        let mut left = bytes;
        let newest = stream.history.all_newest_first();
        newest
            .take_while(|packet| {
                let fits = left > 0;
                left = left.saturating_sub(packet.payload.len());
                fits
            })
            .cloned()
            .collect()
    }

    /// Answers the receivers' feedback until the track ends.
    pub async fn answer_feedback(self: Arc<Self>, events: mpsc::Sender<TransportEvent>) {
        while let Some(event) = self.track.poll().await {
            let TrackLocalEvent::OnRtcpPacket(packets) = event else {
                continue;
            };
            for packet in packets {
                let packet = packet.as_any();
                if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                    self.repeat(nack).await;
                    continue;
                }
                let pli = packet
                    .downcast_ref::<PictureLossIndication>()
                    .map(|pli| pli.media_ssrc);
                let fir = packet
                    .downcast_ref::<FullIntraRequest>()
                    .and_then(|fir| fir.fir.first())
                    .map(|entry| entry.ssrc);
                if let Some(ssrc) = pli.or(fir) {
                    self.shared.counts.plis.fetch_add(1, Relaxed);
                    self.tell(ssrc, &events).await;
                }
            }
        }
    }

    async fn repeat(&self, nack: &TransportLayerNack) {
        let wanted: Vec<u16> = nack
            .nacks
            .iter()
            .flat_map(rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair::packet_list)
            .collect();
        let Some(negotiated) = lock(&self.negotiated).clone() else {
            return;
        };
        let counts = &self.shared.counts;
        counts.nacks.fetch_add(wanted.len() as u64, Relaxed);
        let packets: Vec<_> = {
            let now = Instant::now();
            let mut streams = lock(&self.streams);
            let stream = streams.iter_mut().find(|s| s.ssrc == nack.media_ssrc);
            let Some(stream) = stream else { return };
            wanted
                .into_iter()
                .filter_map(|sequence| stream.history.again(sequence, now))
                .collect()
        };
        for packet in packets {
            if !self.shared.uplink.may_repeat(packet.payload.len()) {
                return;
            }
            counts.repeated.fetch_add(1, Relaxed);
            if self.write(packet, &negotiated, false).await.is_err() {
                return;
            }
        }
    }

    async fn tell(&self, ssrc: u32, events: &mpsc::Sender<TransportEvent>) {
        let layer = lock(&self.streams).iter().position(|s| s.ssrc == ssrc);
        if let Some(layer) = layer {
            let wish = TransportEvent::KeyFrameWanted {
                cid: self.cid.clone(),
                layer,
            };
            let _ = events.send(wish).await;
        }
    }

    async fn write(
        &self,
        mut packet: rtc::rtp::Packet,
        negotiated: &Negotiated,
        probe: bool,
    ) -> Result<(), TransportError> {
        if negotiated.number_extension != 0 {
            let number = self.shared.uplink.sent(packet.payload.len(), probe);
            extend(
                &mut packet.header,
                negotiated.number_extension,
                Bytes::copy_from_slice(&number.to_be_bytes()),
            );
        }
        Ok(self.track.write_rtp(packet).await?)
    }
}

impl Stream {
    fn new(rid: &'static str) -> Self {
        Self {
            ssrc: rand::random::<u32>().max(1),
            rid,
            // RFC 3550 §5.1: random, but far from the wrap, so that early packets cannot be mistaken for late ones.
            sequence: rand::random::<u16>() & 0x3fff,
            packetiser: Packetiser::new(rand::random()),
            history: History::new(),
        }
    }

    fn pack(&mut self, negotiated: &Negotiated, frame: &OutgoingVideo) -> Vec<rtc::rtp::Packet> {
        let now = Instant::now();
        let payloads = self.packetiser.pack(&frame.data);
        let last = payloads.len().saturating_sub(1);
        let mut packets = Vec::with_capacity(payloads.len());
        for (at, payload) in payloads.into_iter().enumerate() {
            let mut header = self.header(negotiated, frame.timestamp);
            header.marker = at == last;
            extend(
                &mut header,
                if self.rid.is_empty() {
                    0
                } else {
                    negotiated.rid_extension
                },
                Bytes::from_static(self.rid.as_bytes()),
            );
            let sequence = header.sequence_number;
            let packet = rtc::rtp::Packet { header, payload };
            self.history.keep(sequence, packet.clone(), now);
            packets.push(packet);
        }
        packets
    }

    fn header(&mut self, negotiated: &Negotiated, timestamp: u32) -> Header {
        let mut header = Header {
            version: 2,
            payload_type: negotiated.payload_type,
            sequence_number: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            ..Default::default()
        };
        self.sequence = self.sequence.wrapping_add(1);
        extend(
            &mut header,
            negotiated.mid_extension,
            negotiated.mid.clone(),
        );
        header
    }
}

fn extend(header: &mut Header, extension: u8, value: Bytes) {
    if extension != 0 {
        // Refused only for values longer than the one-byte form holds; ours are short.
        let _ = header.set_extension(extension, value);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
