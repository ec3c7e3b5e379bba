//! One connection to the server: signalling and media path, and the offers and answers between them.

use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use tokio::sync::mpsc;

use super::commands::{Outlet, Phase, Published};
use super::{Tried, View};
use crate::incoming::Incoming;
use crate::publication::{AudioOutlet, Source, VideoOutlet};
use crate::signal::{Signal, SignalEvent};
use crate::transport::{Transport, TransportError, TransportEvent};

/// Layers from small to large, as all clients of `LiveKit` call them.
const RIDS: [&str; 3] = ["q", "h", "f"];
/// Candidates that are taken for one path; a server sends a handful.
const MOST_CANDIDATES: usize = 64;
/// Sections to receive in, of sound and of pictures each: a room of 50 needs 50. A server that wants thousands is none.
const MOST_SECTIONS: u32 = 256;

/// Longest wait for the server to end a connection that we leave.
const RELEASE: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    pub signal: Signal,
    pub transport: Arc<dyn Transport>,
    pub events: mpsc::Receiver<TransportEvent>,
    /// The server's name for us.
    pub sid: String,
    /// The transport says that media can flow.
    pub media: bool,
    /// Ways for media that were offered so far.
    pub tried: Tried,
    offers: Offers,
    early: Vec<String>,
    /// That came for the present path.
    candidates: usize,
    /// Sections for sound and for pictures that the server asked for.
    sections: (u32, u32),
    answered: bool,
}

/// One offer at a time; whatever changes meanwhile goes into the next one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Offers {
    last: u32,
    open: bool,
    again: bool,
}

impl Offers {
    /// The number of the offer to make now, if it may be made.
    fn want(&mut self) -> Option<u32> {
        if self.open {
            self.again = true;
            return None;
        }
        self.open = true;
        self.last += 1;
        Some(self.last)
    }

    /// True when another one is due. An answer to an older offer changes nothing.
    fn answered(&mut self, id: u32) -> bool {
        if id != 0 && id != self.last {
            return false;
        }
        self.open = false;
        std::mem::take(&mut self.again)
    }
}

/// The session description of an offer, with the number that its answer will carry.
pub(super) fn offer(sdp: String, id: u32) -> proto::SessionDescription {
    proto::SessionDescription {
        r#type: "offer".to_owned(),
        sdp,
        id,
        ..Default::default()
    }
}

impl Connection {
    /// The first offer, number 1, travelled with the join.
    pub fn new(
        signal: Signal,
        transport: Arc<dyn Transport>,
        events: mpsc::Receiver<TransportEvent>,
        sid: String,
    ) -> Self {
        Self {
            signal,
            transport,
            events,
            sid,
            media: false,
            tried: Tried::default(),
            offers: Offers {
                last: 1,
                open: true,
                again: false,
            },
            early: Vec::new(),
            candidates: 0,
            sections: (0, 0),
            answered: false,
        }
    }

    /// Offers what we have now, or as soon as the present offer is answered.
    pub async fn negotiate(&mut self) -> Result<(), TransportError> {
        let Some(id) = self.offers.want() else {
            return Ok(());
        };
        let sdp = self.transport.offer(false).await?;
        self.signal.send(Request::Offer(offer(sdp, id))).await;
        Ok(())
    }

    /// Looks for a new path. An offer that was never answered is forgotten.
    pub async fn restart_ice(&mut self) -> Result<(), TransportError> {
        self.media = false;
        self.candidates = 0;
        self.offers.open = false;
        let Some(id) = self.offers.want() else {
            return Ok(());
        };
        let sdp = self.transport.offer(true).await?;
        self.signal.send(Request::Offer(offer(sdp, id))).await;
        Ok(())
    }

    /// True when everything that was offered is answered.
    pub async fn answer(
        &mut self,
        answer: proto::SessionDescription,
        incoming: &Incoming,
    ) -> Result<bool, TransportError> {
        self.tried.described(&answer.sdp);
        incoming.set_sections(answer.mid_to_track_id);
        self.transport.answer(&answer.sdp).await?;
        self.answered = true;
        for candidate in std::mem::take(&mut self.early) {
            let _ = self.transport.add_candidate(&candidate).await;
        }
        if self.offers.answered(answer.id) {
            self.negotiate().await?;
        }
        Ok(!self.offers.open)
    }

    pub async fn candidate(&mut self, init: String) {
        self.candidates += 1;
        if self.candidates > MOST_CANDIDATES {
            return;
        }
        self.tried.offered(&init);
        if self.answered {
            // One that we cannot use is no reason to end: there are others.
            let _ = self.transport.add_candidate(&init).await;
        } else {
            self.early.push(init);
        }
    }

    /// What the server needs to send us more tracks; none at all means: offer once more.
    pub async fn more_sections(&mut self, audio: u32, video: u32) -> Result<(), TransportError> {
        let audio = audio.min(MOST_SECTIONS - self.sections.0);
        let video = video.min(MOST_SECTIONS - self.sections.1);
        self.sections = (self.sections.0 + audio, self.sections.1 + video);
        self.transport.add_receivers(audio, video).await?;
        self.negotiate().await
    }

    pub async fn send_candidate(&mut self, init: String) {
        // A relay's address is none of ours.
        self.tried.own += u32::from(!init.contains(" typ relay"));
        self.signal
            .send(Request::Trickle(proto::TrickleRequest {
                candidate_init: init,
                target: proto::SignalTarget::Publisher.into(),
                r#final: false,
            }))
            .await;
    }

    /// The first half of publishing; the second is [`Connection::add`], once the server took it.
    pub async fn ask_to_publish(&self, published: &mut Published, encrypted: bool) {
        published.phase = Phase::Asked;
        let mut request = match &published.outlet {
            Outlet::Video(outlet) => ask_for_video(outlet),
            Outlet::Audio(outlet) => ask_for_audio(outlet),
        };
        let common = published.outlet.common();
        request.cid.clone_from(&common.cid);
        request.stream.clone_from(&common.cid);
        request.muted = common.muted.load(std::sync::atomic::Ordering::Relaxed);
        // Redundant coding would put two sealed frames into one packet.
        request.disable_red = true;
        if encrypted {
            request.encryption = proto::encryption::Type::Gcm.into();
        }
        self.signal.send(Request::AddTrack(request)).await;
    }

    pub async fn add(&mut self, outlet: &Outlet) -> Result<(), TransportError> {
        match outlet {
            Outlet::Video(outlet) => {
                let rids = rids(outlet.layers.len());
                self.transport.add_video(&outlet.common.cid, rids).await?;
            }
            Outlet::Audio(outlet) => self.transport.add_audio(&outlet.common.cid).await?,
        }
        self.negotiate().await
    }

    pub async fn show(&self, sid: &str, view: View) {
        let (width, height) = match view {
            View::Size { width, height } => (width, height),
            View::Hidden => (0, 0),
        };
        self.signal
            .send(Request::TrackSetting(proto::UpdateTrackSettings {
                track_sids: vec![sid.to_owned()],
                disabled: view == View::Hidden,
                width,
                height,
                ..Default::default()
            }))
            .await;
    }

    pub async fn leave(&self) {
        self.signal.leave().await;
        self.transport.close().await;
    }

    /// Ends a connection that was left. A path that breaks while the server still listens to us tells it that we
    /// cannot use UDP at all, which it remembers for minutes: so the path ends after the websocket.
    pub async fn outlive_signal(mut self) {
        let released =
            async { while let Some(SignalEvent::Message(_)) = self.signal.next().await {} };
        // Whoever does not answer does not listen either.
        let _ = tokio::time::timeout(RELEASE, released).await;
        self.close().await;
    }

    pub async fn close(&self) {
        self.signal.close().await;
        self.transport.close().await;
    }
}

/// One layer has no name: there is nothing to choose from.
fn rids(layers: usize) -> &'static [&'static str] {
    if layers == 1 {
        &[""]
    } else {
        RIDS.get(..layers).unwrap_or(&RIDS)
    }
}

fn ask_for_video(outlet: &VideoOutlet) -> proto::AddTrackRequest {
    let rids = rids(outlet.track.layers.len());
    let single = rids.len() == 1;
    let layers: Vec<_> = (0_i32..)
        .zip(outlet.track.layers.iter().zip(rids))
        .map(|(at, (layer, rid))| proto::VideoLayer {
            // LOW, MEDIUM, HIGH; a single layer is the best that there is.
            quality: if single {
                proto::VideoQuality::High.into()
            } else {
                at
            },
            width: pixels(layer.width),
            height: pixels(layer.height),
            bitrate: layer.bitrate,
            rid: (*rid).to_owned(),
            spatial_layer: at,
            ..Default::default()
        })
        .collect();
    let top = layers.last().cloned().unwrap_or_default();
    proto::AddTrackRequest {
        name: outlet.track.name.clone(),
        r#type: proto::TrackType::Video.into(),
        source: source(outlet.track.source).into(),
        width: top.width,
        height: top.height,
        layers: layers.clone(),
        simulcast_codecs: vec![proto::SimulcastCodec {
            codec: "vp8".to_owned(),
            cid: outlet.common.cid.clone(),
            layers,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn ask_for_audio(outlet: &AudioOutlet) -> proto::AddTrackRequest {
    proto::AddTrackRequest {
        name: outlet.track.name.clone(),
        r#type: proto::TrackType::Audio.into(),
        source: source(outlet.track.source).into(),
        ..Default::default()
    }
}

fn source(source: Source) -> proto::TrackSource {
    match source {
        Source::Camera => proto::TrackSource::Camera,
        Source::Microphone => proto::TrackSource::Microphone,
        Source::Screen => proto::TrackSource::ScreenShare,
        Source::ScreenAudio => proto::TrackSource::ScreenShareAudio,
        Source::Unknown => proto::TrackSource::Unknown,
    }
}

fn pixels(side: usize) -> u32 {
    u32::try_from(side).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_while_an_offer_is_open_goes_into_one_more_offer() {
        let mut offers = Offers::default();
        assert_eq!(offers.want(), Some(1));
        assert_eq!(offers.want(), None);
        assert_eq!(offers.want(), None);
        assert!(offers.answered(1));
        assert_eq!(offers.want(), Some(2));
        assert!(!offers.answered(1));
        assert!(offers.open);
        assert!(!offers.answered(2));
        assert!(!offers.open);
    }
}
