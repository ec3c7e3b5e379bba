//! What arrives: opened with the sender's key and handed to whoever shows or plays it. Newest wins, nothing waits.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::encryption::{Injected, KeyRing, Kind, recognise};
use crate::rtp::assembler::Frame;
use crate::transport::Sink;

/// Frames that wait for a slow consumer: half a second, then the oldest go. What waited for a lost packet comes all at
/// once, and is not to be taken for slowness: up to 400 ms of pictures.
const VIDEO_QUEUE: usize = 16;
/// Packets of 20 ms.
const AUDIO_QUEUE: usize = 64;
/// Frames kept for whoever comes first: the server sends the key frame at the join, before anybody can have asked for
/// the track, and another one costs half a second.
const KEPT_FOR_THE_FIRST: usize = 60;

/// One encoded frame, VP8.
#[derive(Debug, Clone)]
pub struct VideoFrame {
    pub data: Bytes,
    /// 90 kHz, of the sender.
    pub timestamp: u32,
    pub key_frame: bool,
    pub arrived: Instant,
}

/// One Opus packet.
#[derive(Debug, Clone)]
pub struct AudioPacket {
    pub data: Bytes,
    pub sequence: u16,
    /// 48 kHz, of the sender.
    pub timestamp: u32,
    pub arrived: Instant,
}

/// The encoded frames of one remote track, from the next key frame on.
pub struct VideoFeed {
    early: VecDeque<VideoFrame>,
    frames: broadcast::Receiver<VideoFrame>,
    wants_key_frame: Arc<AtomicBool>,
    needs_key_frame: bool,
}

/// The packets of one remote track.
pub struct AudioFeed {
    packets: broadcast::Receiver<AudioPacket>,
}

/// Counts of one remote track since it was first seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackStatistics {
    pub frames_received: u64,
    pub key_frames_received: u64,
    pub bytes_received: u64,
    /// Frames for which there is no key (yet): dropped.
    pub frames_without_key: u64,
    /// Frames that their key does not open, or that pretend to come from the server: dropped.
    pub frames_refused: u64,
    pub frames_injected_by_server: u64,
}

impl VideoFeed {
    /// The next frame that can be decoded; `None` once the track is gone.
    pub async fn next(&mut self) -> Option<VideoFrame> {
        loop {
            if let Some(frame) = self.early.pop_front() {
                return Some(frame);
            }
            let received = self.frames.recv().await;
            if let ControlFlow::Break(next) = self.usable(received) {
                return next;
            }
        }
    }

    /// As [`VideoFeed::next`], for threads without a runtime.
    pub fn blocking_next(&mut self) -> Option<VideoFrame> {
        loop {
            if let Some(frame) = self.early.pop_front() {
                return Some(frame);
            }
            let received = self.frames.blocking_recv();
            if let ControlFlow::Break(next) = self.usable(received) {
                return next;
            }
        }
    }

    /// For a decoder that cannot go on: nothing comes before the next key frame.
    pub fn request_key_frame(&mut self) {
        self.early.clear();
        self.needs_key_frame = true;
        self.wants_key_frame.store(true, Relaxed);
    }

    fn usable(
        &mut self,
        received: Result<VideoFrame, RecvError>,
    ) -> ControlFlow<Option<VideoFrame>> {
        match received {
            Ok(frame) if self.needs_key_frame && !frame.key_frame => {
                self.wants_key_frame.store(true, Relaxed);
                ControlFlow::Continue(())
            }
            Ok(frame) => {
                self.needs_key_frame = false;
                ControlFlow::Break(Some(frame))
            }
            Err(RecvError::Lagged(_)) => {
                self.request_key_frame();
                ControlFlow::Continue(())
            }
            Err(RecvError::Closed) => ControlFlow::Break(None),
        }
    }
}

impl AudioFeed {
    /// The next packet; `None` once the track is gone.
    pub async fn next(&mut self) -> Option<AudioPacket> {
        loop {
            match self.packets.recv().await {
                Ok(packet) => return Some(packet),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl AudioFeed {
    /// The next packet if it is there; an error once the track is gone.
    pub(crate) fn try_next(&mut self) -> Result<Option<AudioPacket>, TrackGone> {
        loop {
            match self.packets.try_recv() {
                Ok(packet) => return Ok(Some(packet)),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Closed) => return Err(TrackGone),
            }
        }
    }
}

/// Nobody publishes it any more.
pub(crate) struct TrackGone;

struct Track {
    owner: Mutex<String>,
    video: broadcast::Sender<VideoFrame>,
    audio: broadcast::Sender<AudioPacket>,
    /// From the newest key frame on, while nobody listens.
    early: Mutex<VecDeque<VideoFrame>>,
    wants_key_frame: Arc<AtomicBool>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    frames: AtomicU64,
    key_frames: AtomicU64,
    bytes: AtomicU64,
    without_key: AtomicU64,
    refused: AtomicU64,
    injected: AtomicU64,
}

/// All remote tracks of a session, across its connections.
pub(crate) struct Incoming {
    keys: Option<Arc<KeyRing>>,
    tables: Mutex<Tables>,
    /// Frames of sections that no track was announced for.
    pub unknown: AtomicU64,
}

#[derive(Default)]
struct Tables {
    /// From sections of the description to tracks.
    sections: HashMap<String, String>,
    tracks: HashMap<String, Arc<Track>>,
    trailer: Arc<[u8]>,
}

impl Incoming {
    pub fn new(keys: Option<Arc<KeyRing>>) -> Self {
        Self {
            keys,
            tables: Mutex::default(),
            unknown: AtomicU64::new(0),
        }
    }

    /// What the server told at the join: how its own frames end.
    pub fn set_trailer(&self, trailer: &[u8]) {
        self.tables().trailer = trailer.into();
    }

    /// `mid_to_track_id` of an answer.
    pub fn set_sections(&self, sections: HashMap<String, String>) {
        self.tables().sections = sections;
    }

    /// All tracks that others publish, with the identity of their owner. Feeds of other tracks end.
    pub fn set_tracks<'a>(&self, published: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut tables = self.tables();
        let mut before = std::mem::take(&mut tables.tracks);
        for (sid, identity) in published {
            let track = before.remove(sid).unwrap_or_default();
            identity.clone_into(&mut track.owner.lock().unwrap_or_else(PoisonError::into_inner));
            tables.tracks.insert(sid.to_owned(), track);
        }
    }

    pub fn video(&self, sid: &str) -> Option<VideoFeed> {
        let track = self.tables().tracks.get(sid)?.clone();
        Some(track.watch())
    }

    pub fn audio(&self, sid: &str) -> Option<AudioFeed> {
        let track = self.tables().tracks.get(sid)?.clone();
        Some(AudioFeed {
            packets: track.audio.subscribe(),
        })
    }

    pub fn statistics(&self) -> Vec<(String, TrackStatistics)> {
        let tables = self.tables();
        let tracks = tables.tracks.iter();
        tracks
            .map(|(sid, track)| (sid.clone(), track.counts.read()))
            .collect()
    }

    /// Clear data of a frame, or `None` when it is to be dropped.
    fn open(&self, track: &Track, kind: Kind, data: Bytes, trailer: &[u8]) -> Option<Bytes> {
        let Some(keys) = &self.keys else {
            return Some(data);
        };
        match recognise(&data, trailer) {
            Injected::Known(content) => {
                track.counts.injected.fetch_add(1, Relaxed);
                return Some(data.slice_ref(content));
            }
            Injected::Forged => {
                track.counts.refused.fetch_add(1, Relaxed);
                return None;
            }
            Injected::No => {}
        }
        let owner = track.owner.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.open(&owner, kind, &data) {
            Ok(clear) => Some(clear.into()),
            Err(crate::encryption::OpenError::NoKey(_)) => {
                track.counts.without_key.fetch_add(1, Relaxed);
                None
            }
            Err(_) => {
                track.counts.refused.fetch_add(1, Relaxed);
                None
            }
        }
    }

    fn track(&self, mid: &str) -> Option<(Arc<Track>, Arc<[u8]>)> {
        let tables = self.tables();
        let track = tables
            .sections
            .get(mid)
            .and_then(|sid| tables.tracks.get(sid));
        if track.is_none() {
            self.unknown.fetch_add(1, Relaxed);
        }
        Some((track?.clone(), tables.trailer.clone()))
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Incoming {
    fn video(&self, mid: &str, frame: Frame) -> bool {
        let Some((track, trailer)) = self.track(mid) else {
            return false;
        };
        let kind = Kind::Vp8 {
            key_frame: frame.key_frame,
        };
        let Some(data) = self.open(&track, kind, frame.data, &trailer) else {
            return false;
        };
        track.counts.count(data.len(), frame.key_frame);
        track.hand_out(VideoFrame {
            data,
            timestamp: frame.timestamp,
            key_frame: frame.key_frame,
            arrived: Instant::now(),
        });
        true
    }

    fn audio(&self, mid: &str, sequence: u16, timestamp: u32, packet: Bytes) {
        // Nothing is sealed in an empty packet: silence in some senders.
        if packet.is_empty() {
            return;
        }
        let Some((track, trailer)) = self.track(mid) else {
            return;
        };
        if let Some(data) = self.open(&track, Kind::Audio, packet, &trailer) {
            track.counts.count(data.len(), false);
            let _ = track.audio.send(AudioPacket {
                data,
                sequence,
                timestamp,
                arrived: Instant::now(),
            });
        }
    }

    fn take_key_frame_wish(&self, mid: &str) -> bool {
        let tables = self.tables();
        let track = tables
            .sections
            .get(mid)
            .and_then(|sid| tables.tracks.get(sid));
        track.is_some_and(|track| track.wants_key_frame.swap(false, Relaxed))
    }
}

impl Track {
    fn watch(&self) -> VideoFeed {
        let mut kept = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        let mut feed = VideoFeed {
            frames: self.video.subscribe(),
            early: std::mem::take(&mut kept),
            wants_key_frame: self.wants_key_frame.clone(),
            needs_key_frame: false,
        };
        if feed.early.is_empty() {
            feed.request_key_frame();
        }
        feed
    }

    fn hand_out(&self, frame: VideoFrame) {
        let mut kept = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        if self.video.receiver_count() > 0 || frame.key_frame || kept.len() == KEPT_FOR_THE_FIRST {
            kept.clear();
        }
        if self.video.receiver_count() > 0 {
            let _ = self.video.send(frame);
        } else if frame.key_frame || !kept.is_empty() {
            kept.push_back(frame);
        }
    }
}

impl Default for Track {
    fn default() -> Self {
        Self {
            owner: Mutex::default(),
            video: broadcast::channel(VIDEO_QUEUE).0,
            audio: broadcast::channel(AUDIO_QUEUE).0,
            early: Mutex::default(),
            wants_key_frame: Arc::default(),
            counts: Counts::default(),
        }
    }
}

impl Counts {
    fn count(&self, bytes: usize, key_frame: bool) {
        self.frames.fetch_add(1, Relaxed);
        self.key_frames.fetch_add(key_frame.into(), Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn read(&self) -> TrackStatistics {
        TrackStatistics {
            frames_received: self.frames.load(Relaxed),
            key_frames_received: self.key_frames.load(Relaxed),
            bytes_received: self.bytes.load(Relaxed),
            frames_without_key: self.without_key.load(Relaxed),
            frames_refused: self.refused.load(Relaxed),
            frames_injected_by_server: self.injected.load(Relaxed),
        }
    }
}
