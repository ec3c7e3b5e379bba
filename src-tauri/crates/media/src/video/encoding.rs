//! A thread that encodes one source in all the layers that somebody watches.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::sync::watch;

use super::scaling::Scaler;
use super::source::{CaptureError, VideoSource};
use super::{Encoder, Picture};
use crate::publication::{EncodedFrame, VideoPublication};

/// Ticks per second of RTP's video clock.
const CLOCK: u128 = 90_000;

/// The encoder thread of one publication. It ends when this is dropped, the publication ends or the source does.
pub struct Encoding {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    end: watch::Receiver<Option<CaptureError>>,
}

impl Encoding {
    /// Pictures of `source` are made as large as fits into the top layer; lower layers are halves of it.
    pub fn start(source: impl VideoSource, publication: VideoPublication) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (tell, end) = watch::channel(None);
        let thread = thread::Builder::new()
            .name("video-encode".to_owned())
            .spawn(move || {
                if let Err(error) = encode(source, &publication, &stopped) {
                    tell.send_replace(Some(error));
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
            end,
        })
    }

    /// Waits for the end of the source, and says why. `None`: the publication has ended.
    pub async fn ended(&mut self) -> Option<CaptureError> {
        let told = self.end.wait_for(Option::is_some).await;
        told.ok().and_then(|error| *error)
    }
}

impl Drop for Encoding {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A source waits for one picture at most.
            let _ = thread.join();
        }
    }
}

fn encode(
    mut source: impl VideoSource,
    publication: &VideoPublication,
    stop: &AtomicBool,
) -> Result<(), CaptureError> {
    let Some(top) = publication.layers().last().copied() else {
        return Ok(());
    };
    let started = Instant::now();
    let first = rand::random::<u32>() & 0x0fff_ffff;
    let mut last = first;
    let mut encoders: Vec<Option<Encoder>> = publication.layers().iter().map(|_| None).collect();
    let mut scaler = Scaler::new();
    let mut shown: Option<Arc<Picture>> = None;
    loop {
        let next = source.next()?;
        if stop.load(Relaxed) || publication.ended() {
            return Ok(());
        }
        if let Some(picture) = next {
            shown = Some(Arc::new(scaler.fit(picture, top.width, top.height)));
        }
        // Where nothing moves the same picture goes again: it becomes sharper, and who comes later sees it too.
        let Some(picture) = &shown else { continue };
        let passed = started.elapsed().as_micros() * CLOCK / 1_000_000;
        // 90 kHz in 32 bits wrap after 13 hours; receivers expect it.
        let timestamp =
            first.wrapping_add(u32::try_from(passed & u128::from(u32::MAX)).unwrap_or_default());
        let ticks = timestamp.wrapping_sub(last);
        last = timestamp;
        encode_layers(
            publication,
            &mut encoders,
            picture.clone(),
            timestamp,
            ticks,
        );
    }
}

/// From the top layer down, as each is scaled from the one above.
fn encode_layers(
    publication: &VideoPublication,
    encoders: &mut [Option<Encoder>],
    mut picture: Arc<Picture>,
    timestamp: u32,
    ticks: u32,
) {
    let layers = publication.layers().iter().enumerate().zip(encoders);
    for ((at, layer), encoder) in layers.rev() {
        while picture.width() >= 2 * layer.width.max(1) {
            picture = Arc::new(picture.halved());
        }
        let bitrate = publication.bitrate(at);
        if bitrate == 0 {
            *encoder = None;
            continue;
        }
        if encoder.is_none() {
            *encoder = Encoder::new(layer.width, layer.height, bitrate)
                .inspect_err(|error| tracing::error!(%error, "A layer has no encoder"))
                .ok();
        }
        let Some(running) = encoder else { continue };
        running.set_bitrate(bitrate);
        let key_frame = publication.take_key_frame_wish(at);
        match running.encode(&picture, ticks, key_frame) {
            Ok(Some(encoded)) => publication.send(EncodedFrame {
                layer: at,
                data: encoded.data.into(),
                key_frame: encoded.key_frame,
                timestamp,
            }),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "A picture was not encoded");
                *encoder = None;
            }
        }
    }
}
