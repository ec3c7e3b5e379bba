//! How long after it was made a picture is in the consumer's hand and a tone is heard, and how far apart the two are.
//!
//! ```text
//! pattern, painted ──▶ encoder ──▶ livekit-server ──▶ decoder ──▶ picture, known by its number
//! burst, its first sample ──▶ packet of 20 ms ──▶ livekit-server ──▶ jitter buffer ──▶ mixer ──▶ that sample's turn
//! ```
//!
//! No device takes part: what a camera, a microphone and a loudspeaker hold back comes on top.

use std::f32::consts::TAU;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use media::{
    AudioPublication, AudioTrack, CaptureError, Decoding, EncodedSound, Encoding, Line, Listening,
    PatternSource, Picture, RemoteTrack, Session, TrackKind, VideoSource, VideoTrack, View, level,
    read_counter,
};
use tokio::sync::mpsc;
use tokio::time::timeout_at;
use workplace::Workplace;

use crate::figures::{Row, percentile};
use crate::joins::join;

/// Until the jitter buffer knows its line.
const WARM_UP: Duration = Duration::from_secs(3);
const LENGTH: Duration = Duration::from_secs(30);
/// Longest wait for the top layer.
const PATIENCE: Duration = Duration::from_secs(30);
pub const WIDTH: u32 = 1280;
pub const HEIGHT: u32 = 720;

const RATE: u64 = 48_000;
/// Samples per packet, 20 ms.
const FRAME: u64 = 960;
/// From one burst to the next, in samples: no multiple of a packet, so that bursts begin everywhere in one.
const PERIOD: u64 = RATE + 137;
/// 100 ms.
const BURST: u64 = RATE / 10;
/// A tone of 1 kHz: an even number of samples is one wave.
const WAVE: u64 = RATE / 1000;
const LOUD: f32 = 0.5;
/// Between bursts it goes on so quietly: after a silence, of which nothing is sent, other delays count.
const QUIET: f32 = 0.02;
/// From here on the burst is heard.
const HEARD: f32 = 0.15;

/// When something was made, and how many milliseconds later it was there.
type Late = (Instant, f64);

pub async fn measure(place: &Workplace) -> Result<Vec<Row>> {
    let room = format!("latency-{:08x}", rand::random::<u32>());
    let camille = join(place, &room, "camille", Line::default()).await?;
    let camera = camille.publish_video(VideoTrack::camera()).await?;
    let microphone = camille.publish_audio(AudioTrack::microphone()).await?;
    let painted: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let source = Stamped {
        source: PatternSource::new(WIDTH as usize, HEIGHT as usize, 30),
        painted: painted.clone(),
    };
    let _pictures = Encoding::start(source, camera)?;
    let began = Instant::now();
    // The thread ends with the publication.
    thread::Builder::new()
        .name("bursts".to_owned())
        .spawn(move || {
            if let Err(error) = speak(began, &microphone) {
                tracing::error!(%error, "There are no bursts");
            }
        })?;

    let noor = join(place, &room, "noor", Line::default()).await?;
    let (picture, sound) = published(&noor).await?;
    let mut decoding = watch(&noor, &picture).await?;
    let (listening, mut frames) = Listening::start()?;
    let feed = noor.audio(&sound.sid).context("no sound")?;
    listening.add(&sound.sid, feed, 1.0)?;
    let from = Instant::now() + WARM_UP;
    let until = from + LENGTH;
    let (seen, heard) = tokio::join!(
        see(&mut decoding, &painted, until),
        hear(&mut frames, began, until)
    );
    let [seen, heard] = [seen, heard].map(|all| {
        let warm = all.into_iter().filter(|(made, _)| *made >= from);
        warm.collect::<Vec<_>>()
    });
    tracing::info!(
        "latency: {} pictures, {} bursts, {:?}",
        seen.len(),
        heard.len(),
        listening.counts(&sound.sid)
    );
    camille.leave().await;
    noor.leave().await;
    ensure!(
        !seen.is_empty() && heard.len() > 10,
        "nothing is seen or heard"
    );
    let late = |all: &[Late]| all.iter().map(|(_, late)| *late).collect::<Vec<_>>();
    let apart: Vec<_> = heard
        .iter()
        .filter_map(|(made, tone)| {
            let (_, picture) = seen.iter().min_by_key(|(painted, _)| {
                let after = painted.saturating_duration_since(*made);
                after.max(made.saturating_duration_since(*painted))
            })?;
            Some((tone - picture).abs())
        })
        .collect();
    let mut rows = Vec::new();
    for (measure, values) in [
        ("picture painted → decoded, 720p, loopback", late(&seen)),
        ("tone begins → heard, loopback", late(&heard)),
        ("picture and tone of one moment, apart", apart),
    ] {
        for (name, share) in [("p50", 0.5), ("p95", 0.95)] {
            let value = percentile(&values, share);
            rows.push(Row::alone(format!("{measure}, {name}"), value, "ms"));
        }
    }
    Ok(rows)
}

/// The picture and the sound that somebody else publishes.
pub async fn published(session: &Session) -> Result<(RemoteTrack, RemoteTrack)> {
    let mut room = session.room();
    let room = room
        .wait_for(|room| room.participants.iter().any(|p| p.tracks.len() == 2))
        .await?
        .clone();
    let tracks = || room.participants.iter().flat_map(|person| &person.tracks);
    let of = |kind| tracks().find(move |track| track.kind == kind).cloned();
    let picture = of(TrackKind::Video).context("no picture")?;
    Ok((picture, of(TrackKind::Audio).context("no sound")?))
}

/// Returns once the top layer is shown.
pub async fn watch(session: &Session, picture: &RemoteTrack) -> Result<Decoding> {
    let (width, height) = (WIDTH, HEIGHT);
    session
        .view(&picture.sid, View::Size { width, height })
        .await;
    let feed = session.video(&picture.sid).context("no picture")?;
    let mut decoding = Decoding::start(feed)?;
    let top = async {
        loop {
            let shown = decoding.next().await.context("the track is gone")?;
            if shown.picture.width() == WIDTH as usize {
                return anyhow::Ok(());
            }
        }
    };
    let waited = tokio::time::timeout(PATIENCE, top).await;
    waited.context("the top layer does not come")??;
    Ok(decoding)
}

/// Says of each picture when it was there to be taken: the number in it is its place.
struct Stamped {
    source: PatternSource,
    painted: Arc<Mutex<Vec<Instant>>>,
}

impl VideoSource for Stamped {
    fn next(&mut self) -> Result<Option<Picture>, CaptureError> {
        let picture = self.source.next()?;
        lock(&self.painted).push(Instant::now());
        Ok(picture)
    }
}

async fn see(decoding: &mut Decoding, painted: &Mutex<Vec<Instant>>, until: Instant) -> Vec<Late> {
    let mut seen = Vec::new();
    while let Ok(Some(shown)) = timeout_at(until.into(), decoding.next()).await {
        let now = Instant::now();
        let number = read_counter(&shown.picture).and_then(|n| usize::try_from(n).ok());
        let painted = number.and_then(|number| lock(painted).get(number).copied());
        seen.extend(painted.map(|at| (at, (now - at).as_secs_f64() * 1000.0)));
    }
    seen
}

/// A burst that takes longer than to the next one cannot be told from a quick one; pictures would show it.
async fn hear(frames: &mut mpsc::Receiver<Vec<f32>>, began: Instant, until: Instant) -> Vec<Late> {
    let period = samples(PERIOD);
    let mut heard = Vec::new();
    let mut since_loud = 0;
    while let Ok(Some(frame)) = timeout_at(until.into(), frames.recv()).await {
        let now = Instant::now();
        for (at, sample) in (0..).zip(frame) {
            since_loud += 1;
            if sample.abs() < HEARD {
                continue;
            }
            // What comes after less quiet is the same burst.
            if since_loud > 2 * BURST {
                let passed = now + samples(at) - began;
                let late = Duration::from_nanos(
                    u64::try_from(passed.as_nanos() % period.as_nanos()).unwrap_or_default(),
                );
                heard.push((
                    began + passed.saturating_sub(late),
                    late.as_secs_f64() * 1000.0,
                ));
            }
            since_loud = 0;
        }
    }
    heard
}

/// As a microphone does: the first sample of a packet is 20 ms old when the packet is full.
fn speak(began: Instant, microphone: &AudioPublication) -> opus::Result<()> {
    // The settings of the engine's own encoder.
    let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip)?;
    encoder.set_bitrate(opus::Bitrate::Bits(32_000))?;
    encoder.set_inband_fec(true)?;
    encoder.set_packet_loss_perc(10)?;
    let mut packet = vec![0; 4000];
    for number in 0_u32.. {
        let first = u64::from(number) * FRAME;
        let due = began + samples(first + FRAME);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if microphone.ended() {
            break;
        }
        let sound: Vec<_> = (first..first + FRAME).map(sample).collect();
        let length = encoder.encode_float(&sound, &mut packet)?;
        microphone.send(EncodedSound {
            data: packet.get(..length).unwrap_or_default().to_vec().into(),
            timestamp: number.wrapping_mul(960),
            level: level(&sound),
            voice: true,
        });
    }
    Ok(())
}

fn sample(at: u64) -> f32 {
    let loud = at % PERIOD < BURST;
    let phase = u16::try_from(at % WAVE).unwrap_or_default();
    (TAU * f32::from(phase) / 48.0).sin() * if loud { LOUD } else { QUIET }
}

fn samples(count: u64) -> Duration {
    Duration::from_nanos(count * 1_000_000_000 / RATE)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
