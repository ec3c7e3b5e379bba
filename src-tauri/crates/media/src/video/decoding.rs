//! A thread that decodes one track and keeps its newest picture.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::sync::watch;

use super::{Decoder, Picture};
use crate::incoming::VideoFeed;

/// The newest picture of a track, decoded on a thread of its own, which ends with the track or shortly after this.
pub struct Decoding {
    shown: watch::Receiver<Option<Shown>>,
}

/// A decoded picture.
#[derive(Debug, Clone)]
pub struct Shown {
    pub picture: Arc<Picture>,
    /// 90 kHz, of the sender.
    pub timestamp: u32,
    /// When the last packet of its frame was there.
    pub arrived: Instant,
}

impl Decoding {
    pub fn start(feed: VideoFeed) -> io::Result<Self> {
        let (sender, shown) = watch::channel(None);
        thread::Builder::new()
            .name("video-decode".to_owned())
            .spawn(move || decode(feed, &sender))?;
        Ok(Self { shown })
    }

    /// Waits for a picture that was not returned yet; older ones are passed over. `None` once the track is gone.
    pub async fn next(&mut self) -> Option<Shown> {
        loop {
            self.shown.changed().await.ok()?;
            if let Some(shown) = self.shown.borrow_and_update().clone() {
                return Some(shown);
            }
        }
    }
}

fn decode(mut feed: VideoFeed, shown: &watch::Sender<Option<Shown>>) {
    let Ok(mut decoder) = Decoder::new() else {
        tracing::error!("There is no VP8 decoder");
        return;
    };
    while let Some(frame) = feed.blocking_next() {
        if shown.is_closed() {
            return;
        }
        match decoder.decode(&frame.data) {
            Ok(Some(picture)) => {
                shown.send_replace(Some(Shown {
                    picture: Arc::new(picture),
                    timestamp: frame.timestamp,
                    arrived: frame.arrived,
                }));
            }
            Ok(None) => {}
            Err(_) => feed.request_key_frame(),
        }
    }
}
