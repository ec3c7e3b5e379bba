//! A participant on the command line: `cargo run -p media --example peer -- --url ws://… --token …`
//!
//! Publishes a pattern and a tone, or this computer's devices or a film, decodes everybody's pictures, and prints once a
//! second, as a line of JSON, who is there and what arrives. `--load N` joins N times and publishes pictures that were encoded beforehand; the tokens
//! then come one a line on the standard input.

#![allow(clippy::print_stdout)]

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::Parser;
use media::{
    Access, AudioTrack, Decoding, EncodedFrame, Encoder, Encoding, FileSource, KeyRing, Layer,
    Material, Network, Options, PatternSource, PictureFormat, Session, Sound, SoundChoice, Source,
    State, ToneSource, TrackKind, VideoPublication, VideoSource, VideoTrack, View,
};

#[derive(Parser)]
#[allow(clippy::struct_excessive_bools)] // as many switches as a line may have
struct Line {
    /// Address of the server, `ws://…`
    #[arg(long)]
    url: String,
    /// Access token
    #[arg(long, default_value = "")]
    token: String,
    /// Publish nothing
    #[arg(long)]
    quiet: bool,
    /// Publish the microphone instead of a tone, and play what the others say
    #[arg(long)]
    talk: bool,
    /// Publish the camera instead of a pattern
    #[arg(long)]
    camera: bool,
    /// Publish the screen instead of a pattern
    #[arg(long)]
    screen: bool,
    /// Publish this film (.y4m) instead of a pattern
    #[arg(long)]
    film: Option<PathBuf>,
    /// Seal frames with the key that is made of this pass phrase
    #[arg(long)]
    pass_phrase: Option<String>,
    /// Ask for pictures of this width
    #[arg(long, default_value_t = 640)]
    width: u32,
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Join this many times instead, with one token per line of the standard input
    #[arg(long)]
    load: Option<usize>,
    /// The server is on this machine
    #[arg(long)]
    loopback: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let line = Line::parse();
    tracing_subscriber::fmt()
        .with_env_filter("error,media=info")
        .with_writer(std::io::stderr)
        .init();
    let options = Options {
        network: if line.loopback {
            Network::loopback()
        } else {
            Network::default()
        },
        keys: line.pass_phrase.clone().map(|words| {
            let keys = KeyRing::new();
            keys.set_shared(0, Material::pass_phrase(words));
            Arc::new(keys)
        }),
        ..Options::default()
    };
    match line.load {
        Some(count) => load(&line, options, count).await,
        None => take_part(&line, options).await,
    }
}

async fn take_part(line: &Line, options: Options) -> Result<(), Failure> {
    let began = Instant::now();
    let access = Access {
        url: line.url.clone(),
        token: line.token.clone(),
    };
    let (session, mut events) = Session::join(access, options).await?;
    println!(
        "{}",
        serde_json::json!({ "joinedAfterMs": began.elapsed().as_millis() })
    );
    let mut published = None;
    let (sound, _sound_events) = Sound::start(SoundChoice::default())?;
    if !line.quiet {
        let camera = session.publish_video(VideoTrack::camera()).await?;
        let microphone = session.publish_audio(AudioTrack::microphone()).await?;
        let pictures = Encoding::start(pictures(line).await?, camera)?;
        let tone = if line.talk {
            sound.publish(microphone);
            None
        } else {
            Some(ToneSource::start(440.0, 0.3, microphone)?)
        };
        published = Some((pictures, tone));
    }
    let shown: Arc<AtomicU64> = Arc::default();
    let mut watching = HashSet::new();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let state = session.state();
    let mut ending = session.state();
    while began.elapsed() < Duration::from_secs(line.seconds) {
        tokio::select! {
            _ = second.tick() => {
                let room = session.room().borrow().clone();
                for person in &room.participants {
                    for track in &person.tracks {
                        if !watching.insert(track.sid.clone()) {
                            continue;
                        }
                        if track.kind == TrackKind::Audio {
                            if let (true, Some(feed)) = (line.talk, session.audio(&track.sid)) {
                                sound.play(&track.sid, feed, 1.0)?;
                            }
                        } else {
                            let (width, height) = (line.width, line.width * 9 / 16);
                            session.view(&track.sid, View::Size { width, height }).await;
                            watch(&session, &track.sid, &shown)?;
                        }
                    }
                }
                println!("{}", serde_json::json!({
                    "seconds": began.elapsed().as_secs(),
                    "state": format!("{:?}", *state.borrow()),
                    "room": *room,
                    "picturesPerSecond": shown.swap(0, Relaxed),
                    "statistics": session.statistics(),
                }));
            }
            event = events.next() => match event {
                Some(event) => println!("{}", serde_json::json!({ "event": format!("{event:?}") })),
                None => break,
            },
            ended = ending.wait_for(|state| matches!(state, State::Ended(_))) => {
                drop(ended);
                break;
            }
        }
    }
    drop(published);
    session.leave().await;
    Ok(())
}

/// What is published: a film, the screen, the camera, or a pattern.
async fn pictures(line: &Line) -> Result<Box<dyn VideoSource>, Failure> {
    if let Some(film) = &line.film {
        return Ok(Box::new(FileSource::open(film)?));
    }
    if line.screen {
        let screens = media::screens()?;
        let screen = screens.first().ok_or("there is no screen")?;
        return Ok(media::open_screen(&screen.id, 15).await?);
    }
    if line.camera {
        let opening = || media::open_camera(None, PictureFormat::default());
        let (_, camera) = tokio::task::spawn_blocking(opening).await??;
        return Ok(camera);
    }
    Ok(Box::new(PatternSource::new(1280, 720, 30)))
}

/// Counts the pictures of a track until it ends.
fn watch(session: &Session, sid: &str, shown: &Arc<AtomicU64>) -> Result<(), Failure> {
    let Some(feed) = session.video(sid) else {
        return Ok(());
    };
    let mut decoding = Decoding::start(feed)?;
    let shown = shown.clone();
    tokio::spawn(async move {
        while decoding.next().await.is_some() {
            shown.fetch_add(1, Relaxed);
        }
    });
    Ok(())
}

/// Everybody publishes the same pictures; nobody decodes.
async fn load(line: &Line, options: Options, count: usize) -> Result<(), Failure> {
    let layer = Layer {
        width: 320,
        height: 180,
        bitrate: 160_000,
    };
    let film = Arc::new(film(layer)?);
    let mut people = Vec::new();
    for token in std::io::stdin().lines().take(count) {
        let access = Access {
            url: line.url.clone(),
            token: token?.trim().to_owned(),
        };
        let (session, _events) = Session::join(access, options.clone()).await?;
        let track = VideoTrack::single(Source::Camera, layer);
        let publication = session.publish_video(track).await?;
        tokio::spawn(play(film.clone(), publication));
        people.push(session);
    }
    println!("{}", serde_json::json!({ "joined": people.len() }));
    tokio::time::sleep(Duration::from_secs(line.seconds)).await;
    for session in people {
        session.leave().await;
    }
    Ok(())
}

/// Three seconds, of which the first picture is a key frame.
fn film(layer: Layer) -> Result<Vec<media::EncodedPicture>, Failure> {
    let source = PatternSource::new(layer.width, layer.height, 30);
    let mut encoder = Encoder::new(layer.width, layer.height, layer.bitrate)?;
    let mut film = Vec::new();
    for number in 0..90 {
        film.extend(encoder.encode(&source.paint(number), 3000, number == 0)?);
    }
    Ok(film)
}

async fn play(film: Arc<Vec<media::EncodedPicture>>, publication: VideoPublication) {
    let mut tick = tokio::time::interval(Duration::from_nanos(33_333_333));
    let frames = film.iter().cycle();
    for (timestamp, frame) in (0_u32..).map(|n| n.wrapping_mul(3000)).zip(frames) {
        tick.tick().await;
        if publication.ended() {
            return;
        }
        publication.send(EncodedFrame {
            layer: 0,
            data: frame.data.clone().into(),
            key_frame: frame.key_frame,
            timestamp,
        });
    }
}
