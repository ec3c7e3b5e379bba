//! A line that becomes narrow and wide again: how long pictures take to follow, and what the sound loses meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use media::{
    AudioPublication, AudioTrack, EncodedFrame, EncodedSound, Layer, Line, TrackKind,
    VideoPublication, VideoTrack, View,
};
use workplace::Workplace;

use crate::figures::Row;
use crate::joins::{join, milliseconds};

const LIMIT: u32 = 1_000_000;
/// How long the line stays narrow: 50 packets of sound a second.
const PACKETS: usize = 1500;

pub async fn measure(place: &Workplace) -> Result<Vec<Row>> {
    let room = format!("narrow-{:08x}", rand::random::<u32>());
    let line = Line::default();
    let camille = join(place, &room, "camille", line.clone()).await?;
    let camera = camille.publish_video(VideoTrack::camera()).await?;
    let microphone = camille.publish_audio(AudioTrack::microphone()).await?;
    let sending = tokio::spawn(send(camera.clone(), microphone));
    let noor = join(place, &room, "noor", Line::default()).await?;
    let mut people = noor.room();
    let people = people
        .wait_for(|room| room.participants.iter().any(|p| p.tracks.len() == 2))
        .await?
        .clone();
    let tracks = || people.participants.iter().flat_map(|person| &person.tracks);
    let of = |kind| tracks().find(move |track| track.kind == kind);
    let picture = of(TrackKind::Video).context("no picture")?;
    let sound = of(TrackKind::Audio).context("no sound")?;
    let (width, height) = (1280, 720);
    noor.view(&picture.sid, View::Size { width, height }).await;
    let mut frames = noor.video(&picture.sid).context("no picture")?;
    frames.next().await.context("no picture")?;
    top_layer(&camera, true).await?;

    let mut packets = noor.audio(&sound.sid).context("no sound")?;
    let began = Instant::now();
    line.limit(LIMIT);
    let adapted = async {
        top_layer(&camera, false).await?;
        anyhow::Ok(milliseconds(began))
    };
    let heard = async {
        let mut numbers = Vec::new();
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        while numbers.len() < PACKETS {
            numbers.push(packets.next().await.context("no sound")?.sequence);
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        anyhow::Ok((numbers, longest))
    };
    let (adapted, heard) = tokio::join!(adapted, heard);
    let (adapted, (numbers, longest)) = (adapted?, heard?);
    let first = numbers.first().copied().unwrap_or_default();
    let highest = numbers.iter().map(|n| n.wrapping_sub(first)).max();
    let span = usize::from(highest.unwrap_or_default()) + 1;
    #[allow(clippy::cast_precision_loss)]
    let lost = span.saturating_sub(numbers.len()) as f64 * 100.0 / span as f64;

    let began = Instant::now();
    line.limit(0);
    top_layer(&camera, true).await?;
    let back = milliseconds(began);
    sending.abort();
    camille.leave().await;
    noor.leave().await;
    Ok(vec![
        Row::alone(
            "uplink limited to 1 Mbit/s → top layer gives way",
            adapted,
            "ms",
        ),
        Row::alone("sound lost in the first 30 s of it", lost, "%"),
        Row::alone(
            "longest pause between two packets of sound",
            longest.as_secs_f64() * 1000.0,
            "ms",
        ),
        Row::alone("uplink free again → top layer is back", back, "ms"),
    ])
}

async fn top_layer(camera: &VideoPublication, wanted: bool) -> Result<()> {
    let began = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    while camera.wanted(2) != wanted {
        tick.tick().await;
        ensure!(
            began.elapsed() < Duration::from_mins(1),
            "the top layer stays"
        );
    }
    Ok(())
}

/// Frames of the size that each layer may have, 30 a second, and sound: as an encoder makes them, without its work.
async fn send(camera: VideoPublication, microphone: AudioPublication) {
    let began = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut frames = 0;
    for number in 0_u32.. {
        tick.tick().await;
        microphone.send(EncodedSound {
            data: vec![7; 100].into(),
            timestamp: number.wrapping_mul(960),
            level: 20,
            voice: true,
        });
        let passed = began.elapsed();
        if passed < Duration::from_millis(33) * frames {
            continue;
        }
        frames += 1;
        for (at, layer) in camera.layers().iter().enumerate() {
            let bytes = camera.bitrate(at) as usize / 8 / 30;
            if bytes > 0 {
                let key_frame = camera.take_key_frame_wish(at);
                camera.send(EncodedFrame {
                    layer: at,
                    data: frame(layer, key_frame, bytes).into(),
                    key_frame,
                    timestamp: number.wrapping_mul(1800),
                });
            }
        }
    }
}

/// What every VP8 frame begins with (RFC 6386 §9.1); the rest is nothing that could be decoded.
fn frame(layer: &Layer, key_frame: bool, bytes: usize) -> Vec<u8> {
    let mut frame = vec![u8::from(!key_frame) | 0x10, 2, 0];
    if key_frame {
        frame.extend([0x9d, 0x01, 0x2a]);
        for side in [layer.width, layer.height] {
            frame.extend(u16::try_from(side).unwrap_or_default().to_le_bytes());
        }
    }
    frame.resize(bytes.max(20), 7);
    frame
}
