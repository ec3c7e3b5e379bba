//! A participant of ours: publishes 720p in three layers and a tone, and decodes everybody's pictures and sound.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use media::{
    Access, AudioTrack, Decoding, Encoding, Listening, Network, Options, PatternSource, Session,
    ToneSource, TrackKind, VideoTrack, View,
};
use tokio::task::JoinHandle;

use crate::pace::Pace;

struct Tile {
    sid: String,
    pace: Arc<Mutex<Pace>>,
    task: JoinHandle<()>,
}

/// Prints once a second how many tiles there are, how many pictures each of them showed and how steadily, and what
/// became of the sound. The one who is `quiet` publishes nothing.
pub async fn run(url: &str, width: u32, quiet: bool) -> Result<()> {
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
    let _published = if quiet {
        None
    } else {
        let camera = session.publish_video(VideoTrack::camera()).await?;
        let microphone = session.publish_audio(AudioTrack::microphone()).await?;
        let pictures = Encoding::start(PatternSource::new(1280, 720, 30), camera)?;
        Some((pictures, ToneSource::start(440.0, 0.3, microphone)?))
    };
    // What is decoded and mixed has nowhere to go: nobody takes these frames.
    let (listening, _frames) = Listening::start()?;
    let (mut tiles, mut heard): (Vec<Tile>, HashSet<String>) = Default::default();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut before = Instant::now();
    loop {
        second.tick().await;
        tiles.retain(|tile| !tile.task.is_finished());
        let room = session.room().borrow().clone();
        for track in room.participants.iter().flat_map(|person| &person.tracks) {
            if track.kind == TrackKind::Audio {
                let new = !heard.contains(&track.sid);
                if let (true, Some(feed)) = (new, session.audio(&track.sid)) {
                    listening.add(&track.sid, feed, 1.0)?;
                    heard.insert(track.sid.clone());
                }
            } else if tiles.iter().all(|tile| tile.sid != track.sid) {
                tiles.extend(watch(&session, &track.sid, width).await?);
            }
        }
        let now = Instant::now();
        let passed = now.duration_since(before).as_secs_f64();
        before = now;
        let (each, pauses): (Vec<_>, Vec<_>) = tiles
            .iter()
            .map(|tile| lock(&tile.pace).take(now))
            .map(|(pictures, pause)| (pictures, pause.as_secs_f64() * 1000.0))
            .unzip();
        let sounds: Vec<_> = heard
            .iter()
            .filter_map(|sid| listening.counts(sid))
            .collect();
        let line = serde_json::json!({
            "tiles": tiles.len(),
            "pictures": each.iter().sum::<u64>(),
            "each": each,
            "longestPauseMs": pauses.into_iter().fold(0.0, f64::max),
            "soundPlayed": sounds.iter().map(|counts| counts.played).sum::<u64>(),
            "soundConcealed": sounds.iter().map(|counts| counts.concealed).sum::<u64>(),
            "soundSilent": sounds.iter().map(|counts| counts.silent).sum::<u64>(),
            "seconds": passed,
            "statistics": session.statistics().transport,
        });
        writeln!(std::io::stdout(), "{line}")?;
    }
}

/// Nothing when the track has just gone.
async fn watch(session: &Session, sid: &str, width: u32) -> Result<Option<Tile>> {
    let height = width * 9 / 16;
    session.view(sid, View::Size { width, height }).await;
    let Some(feed) = session.video(sid) else {
        return Ok(None);
    };
    let mut decoding = Decoding::start(feed)?;
    let pace: Arc<Mutex<Pace>> = Arc::default();
    let counted = pace.clone();
    let task = tokio::spawn(async move {
        while decoding.next().await.is_some() {
            lock(&counted).picture(Instant::now());
        }
    });
    let sid = sid.to_owned();
    Ok(Some(Tile { sid, pace, task }))
}

fn lock(pace: &Mutex<Pace>) -> MutexGuard<'_, Pace> {
    pace.lock().unwrap_or_else(PoisonError::into_inner)
}
