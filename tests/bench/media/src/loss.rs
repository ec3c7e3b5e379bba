//! A line that loses every twentieth packet each way: what is left of pictures and sound that somebody publishes over
//! it (sent) and watches over it (received). The other one's line is good.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use media::{
    AudioTrack, Decoding, Encoding, JitterCounts, Line, Listening, PatternSource, Session,
    ToneSource, VideoPublication, VideoTrack,
};
use tokio::sync::mpsc;
use tokio::time::timeout_at;
use workplace::Workplace;

use crate::figures::Row;
use crate::joins::join;
use crate::latency::{HEIGHT, WIDTH, published, watch};

const LOST: f64 = 0.05;
/// Pictures per second.
const RATE: u32 = 30;
/// One picture, and what nobody takes for a freeze.
const PAUSE: Duration = Duration::from_millis(150);

pub async fn measure(place: &Workplace, seconds: u64) -> Result<Vec<Row>> {
    let room = format!("loss-{:08x}", rand::random::<u32>());
    let line = Line::default();
    let camille = Person::join(place, &room, "camille", line.clone()).await?;
    let noor = Person::join(place, &room, "noor", Line::default()).await?;
    let (sent, received) = tokio::join!(
        Watching::start(&noor.session),
        Watching::start(&camille.session)
    );
    let (mut sent, mut received) = (sent?, received?);
    line.lose(LOST);
    let until = Instant::now() + Duration::from_secs(seconds);
    let (from_camille, from_noor) = tokio::join!(sent.until(until), received.until(until));
    camille.tell("over the line");
    noor.tell("beside it");
    let mut rows = from_camille?.rows(seconds, "sent");
    rows.extend(from_noor?.rows(seconds, "received"));
    camille.session.leave().await;
    noor.session.leave().await;
    Ok(rows)
}

/// Publishes 720p in three layers and a tone.
struct Person {
    session: Session,
    camera: VideoPublication,
    _pictures: Encoding,
    _tone: ToneSource,
}

impl Person {
    async fn join(place: &Workplace, room: &str, identity: &str, line: Line) -> Result<Self> {
        let session = join(place, room, identity, line).await?;
        let camera = session.publish_video(VideoTrack::camera()).await?;
        let microphone = session.publish_audio(AudioTrack::microphone()).await?;
        let source = PatternSource::new(WIDTH as usize, HEIGHT as usize, RATE);
        Ok(Self {
            _pictures: Encoding::start(source, camera.clone())?,
            _tone: ToneSource::start(440.0, 0.3, microphone)?,
            camera,
            session,
        })
    }

    /// What explains small pictures: the sender's own estimate, or the server's.
    fn tell(&self, place: &str) {
        let rates: Vec<_> = (0..self.camera.layers().len())
            .map(|layer| self.camera.bitrate(layer))
            .collect();
        let transport = self.session.statistics().transport;
        tracing::info!("{place}: layers at {rates:?} bit/s, {transport:?}");
    }
}

/// The other one, as this one sees and hears them.
struct Watching {
    pictures: Decoding,
    listening: Listening,
    /// Nobody takes them, but they are played only while somebody could.
    _frames: mpsc::Receiver<Vec<f32>>,
    sound: String,
}

impl Watching {
    async fn start(session: &Session) -> Result<Self> {
        let (picture, sound) = published(session).await?;
        let (listening, frames) = Listening::start()?;
        let feed = session.audio(&sound.sid).context("no sound")?;
        listening.add(&sound.sid, feed, 1.0)?;
        Ok(Self {
            pictures: watch(session, &picture).await?,
            listening,
            _frames: frames,
            sound: sound.sid,
        })
    }

    async fn until(&mut self, end: Instant) -> Result<Seen> {
        let mut times = vec![Instant::now()];
        let mut small = 0;
        let before = self.counts()?;
        while let Ok(shown) = timeout_at(end.into(), self.pictures.next()).await {
            let shown = shown.context("the track is gone")?;
            times.push(Instant::now());
            small += usize::from(shown.picture.width() < WIDTH as usize);
        }
        times.push(Instant::now());
        Ok(Seen {
            times,
            small,
            sound: (before, self.counts()?),
        })
    }

    fn counts(&self) -> Result<JitterCounts> {
        let counts = self.listening.counts(&self.sound);
        counts.context("the sound is gone")
    }
}

struct Seen {
    /// The beginning, each picture, the end.
    times: Vec<Instant>,
    /// Pictures of a lower layer than the one that is wished for.
    small: usize,
    /// Before and after.
    sound: (JitterCounts, JitterCounts),
}

impl Seen {
    #[allow(
        clippy::cast_precision_loss,
        reason = "pictures and packets of minutes"
    )]
    fn rows(&self, seconds: u64, way: &str) -> Vec<Row> {
        let pictures = self.times.len().saturating_sub(2) as f64;
        let a_second = pictures / seconds.max(1) as f64;
        let (before, after) = self.sound;
        let made_up = (after.concealed + after.silent) - (before.concealed + before.silent);
        let right = (after.played + after.recovered) - (before.played + before.recovered);
        tracing::info!(
            "{way} at 5 % loss: {a_second:.1} pictures a second, {} of them small, sound {before:?} → {after:?}",
            self.small
        );
        let name = |what: &str| format!("5 % loss both ways, {seconds} s, {what}, {way}");
        vec![
            Row::alone(
                name("pictures missing of 30 a second"),
                f64::from(RATE) - a_second,
                "1/s",
            ),
            Row::alone(
                name("pictures smaller than 720p"),
                self.small as f64 * 100.0 / pictures.max(1.0),
                "%",
            ),
            Row::alone(
                name("frozen: pauses over 150 ms, each less 33 ms"),
                frozen(&self.times).as_secs_f64(),
                "s",
            ),
            Row::alone(
                name("sound concealed"),
                made_up as f64 * 100.0 / ((made_up + right) as f64).max(1.0),
                "%",
            ),
        ]
    }
}

fn frozen(times: &[Instant]) -> Duration {
    let pauses = times.windows(2).filter_map(|pair| match pair {
        [one, two] => Some(*two - *one),
        _ => None,
    });
    let long = pauses.filter(|pause| *pause > PAUSE);
    long.map(|pause| pause.saturating_sub(Duration::from_secs(1) / RATE))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_pauses_are_freezes_and_the_usual_one_is_no_part_of_them() {
        let began = Instant::now();
        let times = [0, 33, 183, 216, 549, 582].map(|at| began + Duration::from_millis(at));
        let expected = Duration::from_millis(333).saturating_sub(Duration::from_secs(1) / RATE);
        assert_eq!(frozen(&times), expected);
        assert_eq!(frozen(&[]), Duration::ZERO);
    }
}
