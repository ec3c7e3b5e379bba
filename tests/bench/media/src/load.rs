//! Many participants in one process, who publish what was encoded beforehand, or take what others publish, and decode
//! nothing.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use media::{
    Access, AudioPublication, AudioTrack, EncodedFrame, EncodedPicture, EncodedSound, Encoder,
    Network, Options, PatternSource, Session, TrackKind, VideoPublication, VideoTrack, View,
};

/// Three seconds, of which the first picture is a key frame.
const FILM: u32 = 90;
/// Packets of 20 ms: one second of a tone.
const SPEECH: usize = 50;
/// Packets that one of them speaks for, before the next one does: four seconds.
const TURN: u32 = 200;
/// What a listener shows, the smallest layer.
const SMALL: View = View::Size {
    width: 320,
    height: 180,
};

/// The first `count` publish pictures; with `listeners`, who come after them and publish nothing, also sound.
pub async fn run(url: &str, count: usize, listeners: usize) -> Result<()> {
    let track = VideoTrack::camera();
    let mut films = Vec::new();
    // The top layer is not watched: its film would only cost time.
    for layer in &track.layers[..2] {
        let source = PatternSource::new(layer.width, layer.height, 30);
        let mut encoder = Encoder::new(layer.width, layer.height, layer.bitrate)?;
        let mut film = Vec::new();
        for number in 0..FILM {
            film.extend(encoder.encode(&source.paint(number), 3000, number == 0)?);
        }
        films.push(film);
    }
    let films = Arc::new(films);
    let speech = Arc::new(speech()?);
    let mut people = Vec::new();
    for (number, token) in std::io::stdin().lines().take(count + listeners).enumerate() {
        let access = Access {
            url: url.to_owned(),
            token: token?.trim().to_owned(),
        };
        let publishes = number < count;
        let options = Options {
            network: Network::loopback(),
            subscribe: !publishes,
            ..Options::default()
        };
        let (session, _events) = Session::join(access, options).await?;
        if publishes {
            let camera = session.publish_video(track.clone()).await?;
            tokio::spawn(play(films.clone(), camera));
            if listeners > 0 {
                let microphone = session.publish_audio(AudioTrack::microphone()).await?;
                tokio::spawn(speak(speech.clone(), microphone, number, count));
            }
        } else {
            look(&session, count).await?;
        }
        people.push(session);
    }
    writeln!(std::io::stdout(), "ready")?;
    // Until the one who asked for it ends it.
    std::future::pending::<()>().await;
    Ok(())
}

/// Everybody's picture, small.
async fn look(session: &Session, count: usize) -> Result<()> {
    let mut room = session.room();
    let shows = |track: &media::RemoteTrack| track.kind == TrackKind::Video;
    let room = room
        .wait_for(|room| {
            let tracks = room.participants.iter().flat_map(|person| &person.tracks);
            tracks.filter(|track| shows(track)).count() >= count
        })
        .await?
        .clone();
    for track in room.participants.iter().flat_map(|person| &person.tracks) {
        if shows(track) {
            session.view(&track.sid, SMALL).await;
        }
    }
    Ok(())
}

fn speech() -> Result<Vec<Vec<u8>>> {
    let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip)?;
    encoder.set_bitrate(opus::Bitrate::Bits(32_000))?;
    // 500 Hz: whole waves in a packet, so that it begins again without a click.
    let samples: Vec<_> = (0..960_u16)
        .map(|at| 0.1 * (std::f32::consts::TAU * f32::from(at) / 96.0).sin())
        .collect();
    (0..SPEECH)
        .map(|_| Ok(encoder.encode_vec_float(&samples, 1000)?))
        .collect()
}

/// The film again and again; who wants a key frame waits for its beginning, or begins it.
async fn play(films: Arc<Vec<Vec<EncodedPicture>>>, publication: VideoPublication) {
    let mut tick = tokio::time::interval(Duration::from_nanos(33_333_333));
    let mut places = vec![0; films.len()];
    for timestamp in (0_u32..).map(|number| number.wrapping_mul(3000)) {
        tick.tick().await;
        if publication.ended() {
            return;
        }
        for (layer, (film, place)) in films.iter().zip(&mut places).enumerate() {
            if publication.take_key_frame_wish(layer) {
                *place = 0;
            }
            let frame = &film[*place];
            *place = (*place + 1) % film.len();
            publication.send(EncodedFrame {
                layer,
                data: frame.data.clone().into(),
                key_frame: frame.key_frame,
                timestamp,
            });
        }
    }
}

/// Everybody sends all the time; by its level one after the other is the speaker.
async fn speak(speech: Arc<Vec<Vec<u8>>>, publication: AudioPublication, number: usize, of: usize) {
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let packets = speech.iter().cycle();
    for (count, packet) in (0_u32..).zip(packets) {
        tick.tick().await;
        if publication.ended() {
            return;
        }
        let voice = (count / TURN) as usize % of == number;
        publication.send(EncodedSound {
            data: packet.clone().into(),
            timestamp: count.wrapping_mul(960),
            level: if voice { 20 } else { 90 },
            voice,
        });
    }
}
