//! A participant of ours: publishes 720p in three layers and a tone, and decodes everybody's pictures and sound.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use media::{
    Access, AudioTrack, Decoding, Encoding, Network, Options, PatternSource, Session, ToneSource,
    TrackKind, VideoTrack, View,
};

/// Prints once a second how many tiles there are and how many pictures they showed.
pub async fn run(url: &str, width: u32) -> Result<()> {
    let mut token = String::new();
    std::io::stdin().read_line(&mut token)?;
    let access = Access {
        url: url.to_owned(),
        token: token.trim().to_owned(),
    };
    let options = Options {
        network: Network::loopback(),
        ..Options::default()
    };
    let (session, _events) = Session::join(access, options).await?;
    let camera = session.publish_video(VideoTrack::camera()).await?;
    let microphone = session.publish_audio(AudioTrack::microphone()).await?;
    let _pictures = Encoding::start(PatternSource::new(1280, 720, 30), camera)?;
    let _tone = ToneSource::start(440.0, 0.3, microphone)?;
    let shown: Arc<AtomicU64> = Arc::default();
    let mut watching = HashSet::new();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut before = Instant::now();
    loop {
        second.tick().await;
        let room = session.room().borrow().clone();
        for track in room.participants.iter().flat_map(|person| &person.tracks) {
            if track.kind == TrackKind::Video && watching.insert(track.sid.clone()) {
                let height = width * 9 / 16;
                session.view(&track.sid, View::Size { width, height }).await;
                let feed = session.video(&track.sid).context("the track is gone")?;
                let mut decoding = Decoding::start(feed)?;
                let shown = shown.clone();
                tokio::spawn(async move {
                    while decoding.next().await.is_some() {
                        shown.fetch_add(1, Relaxed);
                    }
                });
            }
        }
        let passed = before.elapsed().as_secs_f64();
        before = Instant::now();
        let line = serde_json::json!({
            "tiles": watching.len(),
            "pictures": shown.swap(0, Relaxed),
            "seconds": passed,
            "statistics": session.statistics().transport,
        });
        writeln!(std::io::stdout(), "{line}")?;
    }
}
