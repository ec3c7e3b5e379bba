//! Packets of the server's tracks, one task each: nothing is decoded here, or the stack's queue would overflow.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::time::MissedTickBehavior;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

use super::SharedSink;
use crate::rtp::Packet;
use crate::rtp::assembler::{Assembler, Counts};

/// How often somebody's wish for a key frame is looked for while no packet comes and none is missing.
const IDLE: Duration = Duration::from_millis(100);
/// The stack's queue of a track.
const AT_ONCE: usize = 256;
/// Shortest pause between two requests for a key frame. The server passes them on to the sender, for whom each one
/// costs ten frames.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(300);

/// Which section of the description a source belongs to; the session refreshes it with every answer.
pub(super) type Sections = Arc<RwLock<HashMap<u32, String>>>;

#[derive(Default)]
pub(super) struct ReceiveCounts {
    pub packets: AtomicU64,
    pub nacks: AtomicU64,
    pub recovered: AtomicU64,
    pub gaps: AtomicU64,
    pub plis: AtomicU64,
    pub reports: AtomicU64,
}

pub(super) struct Receiver {
    pub track: Arc<dyn TrackRemote>,
    pub sink: SharedSink,
    pub sections: Sections,
    pub counts: Arc<ReceiveCounts>,
}

impl Receiver {
    pub async fn run(self) {
        match self.track.kind().await {
            RtpCodecKind::Video => self.video().await,
            _ => self.audio().await,
        }
    }

    async fn audio(self) {
        while let Some(event) = self.track.poll().await {
            let TrackRemoteEvent::OnRtpPacket(packet) = event else {
                continue;
            };
            self.counts.packets.fetch_add(1, Relaxed);
            let header = &packet.header;
            if let Some(mid) = self.section(header.ssrc) {
                self.sink.audio(
                    &mid,
                    header.sequence_number,
                    header.timestamp,
                    packet.payload,
                );
            }
        }
    }

    async fn video(self) {
        let mut idle = tokio::time::interval(IDLE);
        idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stream = Stream::new(0);
        loop {
            let due = stream.assembler.due();
            tokio::select! {
                event = self.track.poll() => match event {
                    Some(event) => self.take(&mut stream, event),
                    None => return,
                },
                () = until(due) => {}
                _ = idle.tick() => {}
            }
            // While a busy machine let us wait, what was missing may have come: it is taken in before a deadline counts.
            for _ in 0..AT_ONCE {
                let Some(Some(event)) = self.track.poll().now_or_never() else {
                    break;
                };
                self.take(&mut stream, event);
            }
            if stream.source != 0 {
                self.look_after(&mut stream).await;
            }
        }
    }

    fn take(&self, stream: &mut Stream, event: TrackRemoteEvent) {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else {
            return;
        };
        self.counts.packets.fetch_add(1, Relaxed);
        let header = &packet.header;
        if header.ssrc != stream.source {
            *stream = Stream::new(header.ssrc);
        }
        stream.assembler.push(Packet {
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            payload: packet.payload,
        });
    }

    async fn look_after(&self, stream: &mut Stream) {
        let now = Instant::now();
        let missing = stream.assembler.missing(now);
        if !missing.is_empty() {
            let nack = TransportLayerNack {
                sender_ssrc: 0,
                media_ssrc: stream.source,
                nacks: nack_pairs_from_sequence_numbers(&missing),
            };
            // What cannot be sent now is asked for again soon.
            let _ = self.track.write_rtcp(vec![Box::new(nack)]).await;
        }
        let mid = self.section(stream.source);
        if let Some(mid) = &mid {
            stream.wants_key_frame |= self.sink.take_key_frame_wish(mid);
        }
        while let Some(frame) = stream.assembler.pop(now) {
            let key_frame = frame.key_frame;
            let taken = mid.as_ref().is_some_and(|mid| self.sink.video(mid, frame));
            if !taken {
                stream.assembler.wait_for_key_frame();
            } else if key_frame {
                // Whoever wished for one has it. A request now would do harm: livekit-server repeats nothing from a
                // request on until the next key frame, which it asks for once in a second at most.
                stream.wants_key_frame = false;
            }
        }
        stream.wants_key_frame |= stream.assembler.take_key_frame_wish();
        let rested = stream
            .asked
            .is_none_or(|asked| now.saturating_duration_since(asked) >= BETWEEN_REQUESTS);
        // One that is on its way is repaired: a request now would do harm, as above.
        if stream.wants_key_frame && rested && !stream.assembler.key_frame_is_coming() {
            stream.wants_key_frame = false;
            stream.asked = Some(now);
            self.counts.plis.fetch_add(1, Relaxed);
            let pli = PictureLossIndication {
                sender_ssrc: 0,
                media_ssrc: stream.source,
            };
            let _ = self.track.write_rtcp(vec![Box::new(pli)]).await;
        }
        self.count(stream);
    }

    fn count(&self, stream: &mut Stream) {
        let counts = stream.assembler.counts();
        let before = std::mem::replace(&mut stream.counted, counts);
        let add = |total: &AtomicU64, now: u64, before: u64| {
            total.fetch_add(now.saturating_sub(before), Relaxed);
        };
        add(&self.counts.nacks, counts.requested, before.requested);
        add(&self.counts.recovered, counts.recovered, before.recovered);
        add(&self.counts.gaps, counts.gaps, before.gaps);
    }

    fn section(&self, source: u32) -> Option<String> {
        let sections = self.sections.read().unwrap_or_else(PoisonError::into_inner);
        sections.get(&source).cloned()
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

struct Stream {
    source: u32,
    assembler: Assembler,
    counted: Counts,
    wants_key_frame: bool,
    asked: Option<Instant>,
}

impl Stream {
    fn new(source: u32) -> Self {
        Self {
            source,
            assembler: Assembler::new(),
            counted: Counts::default(),
            wants_key_frame: false,
            asked: None,
        }
    }
}
