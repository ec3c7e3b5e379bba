//! What we publish, as an encoder's thread sees it; `outlet` is the way from there into a connection.

mod outlet;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

pub(crate) use outlet::{AudioOutlet, Common, Current, VideoOutlet};

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
        self.outlet.bitrate(layer)
    }

    /// True once after somebody asked for a key frame of this layer.
    pub fn take_key_frame_wish(&self, layer: usize) -> bool {
        let layer = self.outlet.layers.get(layer);
        layer.is_some_and(|layer| layer.wants_key_frame.swap(false, Relaxed))
    }

    /// Seals the frame, if the session is encrypted, and sends it. Never waits: what the network cannot take is
    /// dropped and replaced by a key frame.
    pub fn send(&self, frame: EncodedFrame) {
        self.outlet.send(frame);
    }

    pub fn ended(&self) -> bool {
        self.outlet.common.end.is_cancelled()
    }

    /// Frames that did not leave: no key yet, or the network did not keep up.
    pub fn dropped(&self) -> u64 {
        self.outlet.common.dropped()
    }
}

impl AudioPublication {
    /// The server's name for it; another one after a rejoin.
    pub fn sid(&self) -> String {
        self.outlet.common.sid()
    }

    /// As [`VideoPublication::send`].
    pub fn send(&self, sound: EncodedSound) {
        self.outlet.send(sound);
    }

    pub fn muted(&self) -> bool {
        self.outlet.common.muted.load(Relaxed)
    }

    pub fn ended(&self) -> bool {
        self.outlet.common.end.is_cancelled()
    }

    /// Packets that did not leave.
    pub fn dropped(&self) -> u64 {
        self.outlet.common.dropped()
    }
}
