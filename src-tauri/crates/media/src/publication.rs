//! What we publish: the way of encoded frames from an encoder's thread into whichever connection there is.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::encryption::{KeyRing, Kind, nonce};
use crate::rate::LayerWish;
use crate::transport::{OutgoingAudio, OutgoingVideo, Transport};

/// Frames between the encoder and the network. A full queue means that the network does not keep up: frames are
/// dropped, and a key frame follows.
const VIDEO_QUEUE: usize = 12;
/// Packets of 20 ms.
const AUDIO_QUEUE: usize = 10;

/// Where a track comes from, as others show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    Camera,
    Microphone,
    Screen,
    ScreenAudio,
    Unknown,
}

/// One simulcast layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// In pixels; each layer has half the sides of the one above.
    pub width: usize,
    pub height: usize,
    /// In bits per second.
    pub bitrate: u32,
}

/// A video track to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoTrack {
    pub name: String,
    pub source: Source,
    /// One to three, small to large.
    pub layers: Vec<Layer>,
}

impl VideoTrack {
    /// 1280×720 in three layers, with the rates that Element Call publishes.
    pub fn camera() -> Self {
        let layer = |width, height, bitrate| Layer {
            width,
            height,
            bitrate,
        };
        Self {
            name: "camera".to_owned(),
            source: Source::Camera,
            layers: vec![
                layer(320, 180, 160_000),
                layer(640, 360, 450_000),
                layer(1280, 720, 1_700_000),
            ],
        }
    }

    /// 1920×1080 in one layer: text has to be readable, and whoever watches a screen watches it large.
    pub fn screen() -> Self {
        Self {
            name: "screen".to_owned(),
            source: Source::Screen,
            layers: vec![Layer {
                width: 1920,
                height: 1080,
                bitrate: 2_500_000,
            }],
        }
    }

    /// One layer.
    pub fn single(source: Source, layer: Layer) -> Self {
        Self {
            name: "video".to_owned(),
            source,
            layers: vec![layer],
        }
    }
}

/// A sound track to publish: Opus, 48 kHz.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioTrack {
    pub name: String,
    pub source: Source,
}

impl AudioTrack {
    pub fn microphone() -> Self {
        Self {
            name: "microphone".to_owned(),
            source: Source::Microphone,
        }
    }
}

/// One VP8 frame of one layer.
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    /// Its place in [`VideoTrack::layers`].
    pub layer: usize,
    pub data: Bytes,
    pub key_frame: bool,
    /// 90 kHz, the same for all layers of one picture.
    pub timestamp: u32,
}

/// One Opus packet.
#[derive(Debug, Clone)]
pub struct EncodedSound {
    pub data: Bytes,
    /// 48 kHz.
    pub timestamp: u32,
    /// RFC 6464: 0 is the loudest, 127 silence, in −dBov. The server finds the active speakers by it.
    pub level: u8,
    pub voice: bool,
}

/// A published video track. It lives until it is unpublished or the session ends.
#[derive(Clone)]
pub struct VideoPublication {
    pub(crate) outlet: Arc<VideoOutlet>,
}

/// A published sound track.
#[derive(Clone)]
pub struct AudioPublication {
    pub(crate) outlet: Arc<AudioOutlet>,
}

impl VideoPublication {
    /// The server's name for it; another one after a rejoin.
    pub fn sid(&self) -> String {
        self.outlet.common.sid()
    }

    pub fn layers(&self) -> &[Layer] {
        &self.outlet.track.layers
    }

    /// Whether anybody watches this layer, it fits through the network and is not muted: otherwise it need not be
    /// encoded.
    pub fn wanted(&self, layer: usize) -> bool {
        self.bitrate(layer) > 0
    }

    /// The rate to encode this layer at now, in bits per second: at most that of the layer, 0 when it is not wanted.
    pub fn bitrate(&self, layer: usize) -> u32 {
        let outlet = &self.outlet;
        match outlet.layers.get(layer) {
            Some(layer) if layer.watched.load(Relaxed) && !outlet.common.muted.load(Relaxed) => {
                layer.bitrate.load(Relaxed)
            }
            _ => 0,
        }
    }

    /// True once after somebody asked for a key frame of this layer.
    pub fn take_key_frame_wish(&self, layer: usize) -> bool {
        let layer = self.outlet.layers.get(layer);
        layer.is_some_and(|layer| layer.wants_key_frame.swap(false, Relaxed))
    }

    /// Seals the frame, if the session is encrypted, and sends it. Never waits: what the network cannot take is
    /// dropped and replaced by a key frame.
    pub fn send(&self, frame: EncodedFrame) {
        let outlet = &self.outlet;
        let Some(layer) = outlet.layers.get(frame.layer) else {
            return;
        };
        if !self.wanted(frame.layer) {
            return;
        }
        let kind = Kind::Vp8 {
            key_frame: frame.key_frame,
        };
        let sealed = outlet
            .common
            .seal(&layer.nonces, kind, frame.timestamp, frame.data);
        let sent = sealed.is_some_and(|data| {
            let frame = OutgoingVideo {
                layer: frame.layer,
                data,
                timestamp: frame.timestamp,
            };
            outlet.frames.try_send(frame).is_ok()
        });
        if !sent {
            outlet.common.dropped.fetch_add(1, Relaxed);
            layer.wants_key_frame.store(true, Relaxed);
        }
    }

    pub fn ended(&self) -> bool {
        self.outlet.common.end.is_cancelled()
    }

    /// Frames that did not leave: no key yet, or the network did not keep up.
    pub fn dropped(&self) -> u64 {
        self.outlet.common.dropped.load(Relaxed)
    }
}

impl AudioPublication {
    /// The server's name for it; another one after a rejoin.
    pub fn sid(&self) -> String {
        self.outlet.common.sid()
    }

    /// As [`VideoPublication::send`].
    pub fn send(&self, sound: EncodedSound) {
        let common = &self.outlet.common;
        if common.muted.load(Relaxed) {
            return;
        }
        let sealed = common.seal(
            &self.outlet.nonces,
            Kind::Audio,
            sound.timestamp,
            sound.data,
        );
        let sent = sealed.is_some_and(|data| {
            let packet = OutgoingAudio {
                data,
                timestamp: sound.timestamp,
                level: sound.level,
                voice: sound.voice,
            };
            self.outlet.packets.try_send(packet).is_ok()
        });
        if !sent {
            common.dropped.fetch_add(1, Relaxed);
        }
    }

    pub fn muted(&self) -> bool {
        self.outlet.common.muted.load(Relaxed)
    }

    pub fn ended(&self) -> bool {
        self.outlet.common.end.is_cancelled()
    }

    /// Packets that did not leave.
    pub fn dropped(&self) -> u64 {
        self.outlet.common.dropped.load(Relaxed)
    }
}

/// The connection that frames go into: none while there is none.
pub(crate) type Current = watch::Receiver<Option<Arc<dyn Transport>>>;

pub(crate) struct Common {
    /// Our name for the track; the server's answers refer to it.
    pub cid: String,
    pub muted: AtomicBool,
    pub end: CancellationToken,
    sid: Mutex<String>,
    keys: Option<Arc<KeyRing>>,
    dropped: AtomicU64,
}

pub(crate) struct VideoOutlet {
    pub common: Common,
    pub track: VideoTrack,
    pub layers: Vec<LayerState>,
    frames: mpsc::Sender<OutgoingVideo>,
}

pub(crate) struct AudioOutlet {
    pub common: Common,
    pub track: AudioTrack,
    nonces: Nonces,
    packets: mpsc::Sender<OutgoingAudio>,
}

/// Dynacast and feedback for one layer.
pub(crate) struct LayerState {
    pub watched: AtomicBool,
    /// What it may send, in bits per second.
    pub bitrate: AtomicU32,
    pub wants_key_frame: AtomicBool,
    nonces: Nonces,
}

/// A key never meets a nonce twice: the source is random, and the count never stands still.
struct Nonces {
    source: u32,
    count: AtomicU32,
}

impl Nonces {
    fn new() -> Self {
        Self {
            source: rand::random(),
            count: AtomicU32::new(rand::random()),
        }
    }
}

impl Common {
    fn new(keys: Option<Arc<KeyRing>>, end: CancellationToken) -> Self {
        Self {
            cid: format!("{:016x}", rand::random::<u64>()),
            muted: AtomicBool::new(false),
            end,
            sid: Mutex::default(),
            keys,
            dropped: AtomicU64::new(0),
        }
    }

    pub fn sid(&self) -> String {
        self.sid
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn set_sid(&self, sid: &str) {
        sid.clone_into(&mut self.sid.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// `None` in an encrypted session whose key is not set: the frame must not leave.
    fn seal(&self, nonces: &Nonces, kind: Kind, timestamp: u32, data: Bytes) -> Option<Bytes> {
        // Silence of some encoders; LiveKit leaves it as it is.
        let (Some(keys), false) = (&self.keys, data.is_empty()) else {
            return Some(data);
        };
        let count = nonces.count.fetch_add(1, Relaxed);
        let nonce = nonce(nonces.source, timestamp, count);
        keys.seal(kind, nonce, &data).map(Bytes::from)
    }
}

impl VideoOutlet {
    /// The outlet, and the task that empties its queue.
    pub fn new(
        track: VideoTrack,
        keys: Option<Arc<KeyRing>>,
        end: CancellationToken,
        current: Current,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (frames, queue) = mpsc::channel(VIDEO_QUEUE);
        let layers = track.layers.iter().map(|layer| LayerState {
            watched: AtomicBool::new(true),
            bitrate: AtomicU32::new(layer.bitrate),
            wants_key_frame: AtomicBool::new(true),
            nonces: Nonces::new(),
        });
        let outlet = Arc::new(Self {
            common: Common::new(keys, end.clone()),
            layers: layers.collect(),
            track,
            frames,
        });
        let cid = outlet.common.cid.clone();
        let pump = async move {
            let pumping = pump_video(cid, queue, current);
            end.run_until_cancelled(pumping).await;
        };
        (outlet, pump)
    }

    /// What each layer may send from now on, in bits per second. One that begins to send needs a key frame.
    pub fn set_bitrates(&self, bitrates: &[u32]) {
        for (layer, bitrate) in self.layers.iter().zip(bitrates) {
            let before = layer.bitrate.swap(*bitrate, Relaxed);
            if before == 0 && *bitrate > 0 {
                layer.wants_key_frame.store(true, Relaxed);
            }
        }
    }

    /// What the layers would send without limit, for sharing.
    pub fn wishes(&self) -> Vec<LayerWish> {
        let muted = self.common.muted.load(Relaxed);
        let layers = self.track.layers.iter().zip(&self.layers);
        layers
            .map(|(layer, state)| LayerWish {
                rate: layer.bitrate,
                watched: !muted && state.watched.load(Relaxed),
                running: state.bitrate.load(Relaxed) > 0,
            })
            .collect()
    }

    pub fn want_key_frames(&self) {
        for layer in &self.layers {
            layer.wants_key_frame.store(true, Relaxed);
        }
    }
}

impl AudioOutlet {
    /// As [`VideoOutlet::new`].
    pub fn new(
        track: AudioTrack,
        keys: Option<Arc<KeyRing>>,
        end: CancellationToken,
        current: Current,
    ) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (packets, queue) = mpsc::channel(AUDIO_QUEUE);
        let outlet = Arc::new(Self {
            common: Common::new(keys, end.clone()),
            track,
            nonces: Nonces::new(),
            packets,
        });
        let cid = outlet.common.cid.clone();
        let pump = async move {
            let pumping = pump_audio(cid, queue, current);
            end.run_until_cancelled(pumping).await;
        };
        (outlet, pump)
    }
}

async fn pump_video(cid: String, mut queue: mpsc::Receiver<OutgoingVideo>, current: Current) {
    while let Some(frame) = queue.recv().await {
        let transport = current.borrow().clone();
        // Without a connection a frame is lost; the server asks for a key frame when there is one again.
        if let Some(transport) = transport {
            let _ = transport.send_video(&cid, frame).await;
        }
    }
}

async fn pump_audio(cid: String, mut queue: mpsc::Receiver<OutgoingAudio>, current: Current) {
    while let Some(packet) = queue.recv().await {
        let transport = current.borrow().clone();
        if let Some(transport) = transport {
            let _ = transport.send_audio(&cid, packet).await;
        }
    }
}
