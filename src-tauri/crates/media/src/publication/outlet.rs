//! The inside of what we publish: seals frames and hands them to whichever connection there is.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{AudioTrack, EncodedFrame, EncodedSound, VideoTrack};
use crate::encryption::{KeyRing, Kind, nonce};
use crate::rate::LayerWish;
use crate::transport::{OutgoingAudio, OutgoingVideo, Transport};

/// Frames between the encoder and the network. A full queue means that the network does not keep up: frames are
/// dropped, and a key frame follows.
const VIDEO_QUEUE: usize = 12;
/// Packets of 20 ms.
const AUDIO_QUEUE: usize = 10;

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

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
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

    /// The rate to encode this layer at now, in bits per second: 0 when it is not wanted.
    pub fn bitrate(&self, layer: usize) -> u32 {
        match self.layers.get(layer) {
            Some(layer) if layer.watched.load(Relaxed) && !self.common.muted.load(Relaxed) => {
                layer.bitrate.load(Relaxed)
            }
            _ => 0,
        }
    }

    pub fn send(&self, frame: EncodedFrame) {
        let Some(layer) = self.layers.get(frame.layer) else {
            return;
        };
        if self.bitrate(frame.layer) == 0 {
            return;
        }
        let kind = Kind::Vp8 {
            key_frame: frame.key_frame,
        };
        let sealed = self
            .common
            .seal(&layer.nonces, kind, frame.timestamp, frame.data);
        let sent = sealed.is_some_and(|data| {
            let frame = OutgoingVideo {
                layer: frame.layer,
                data,
                timestamp: frame.timestamp,
            };
            self.frames.try_send(frame).is_ok()
        });
        if !sent {
            self.common.dropped.fetch_add(1, Relaxed);
            layer.wants_key_frame.store(true, Relaxed);
        }
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

    pub fn send(&self, sound: EncodedSound) {
        let common = &self.common;
        if common.muted.load(Relaxed) {
            return;
        }
        let sealed = common.seal(&self.nonces, Kind::Audio, sound.timestamp, sound.data);
        let sent = sealed.is_some_and(|data| {
            let packet = OutgoingAudio {
                data,
                timestamp: sound.timestamp,
                level: sound.level,
                voice: sound.voice,
            };
            self.packets.try_send(packet).is_ok()
        });
        if !sent {
            common.dropped.fetch_add(1, Relaxed);
        }
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
