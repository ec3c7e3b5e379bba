use std::time::{Duration, Instant};

use ::media::{
    AudioPublication, AudioTrack, EncodedFrame, EncodedSound, Layer, Line, Source, TrackKind,
    VideoPublication, VideoTrack,
};
use tokio::time::MissedTickBehavior;

use crate::loss::try_to_join;
use crate::place::{join, room, shared, soon};

/// Frames of the size that each layer may have, 30 a second, and sound: as an encoder makes them, without its work.
async fn send(camera: VideoPublication, microphone: AudioPublication) {
    let began = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut frames_sent = 0;
    for packets_sent in 0_u32.. {
        tick.tick().await;
        microphone.send(EncodedSound {
            data: vec![7; 100].into(),
            timestamp: packets_sent * 960,
            level: 20,
            voice: true,
        });
        let passed = began.elapsed();
        if passed < Duration::from_millis(33) * frames_sent {
            continue;
        }
        frames_sent += 1;
        for layer in 0..camera.layers().len() {
            let bytes = camera.bitrate(layer) as usize / 8 / 30;
            if bytes > 0 {
                let key_frame = camera.take_key_frame_wish(layer);
                camera.send(EncodedFrame {
                    layer,
                    data: frame(&camera.layers()[layer], key_frame, bytes).into(),
                    key_frame,
                    timestamp: packets_sent * 1800,
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
            frame.extend(u16::try_from(side).unwrap().to_le_bytes());
        }
    }
    frame.resize(bytes.max(20), 7);
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_narrow_line_pictures_give_way_to_sound_and_come_back_with_the_line() {
    let place = shared().await;
    let name = room();
    let line = Line::default();
    let camille = try_to_join(place, &name, "camille", line.clone()).await;
    let camille = camille.unwrap();
    let camera = camille.session.publish_video(VideoTrack::camera()).await;
    let camera = camera.unwrap();
    let track = AudioTrack {
        name: "microphone".to_owned(),
        source: Source::Microphone,
    };
    let microphone = camille.session.publish_audio(track).await.unwrap();
    let sending = tokio::spawn(send(camera.clone(), microphone));
    let noor = join(place, &name, "noor").await;
    let picture = noor.track(TrackKind::Video).await;
    let size = ::media::View::Size {
        width: 1280,
        height: 720,
    };
    noor.session.view(&picture.sid, size).await;
    let mut frames = noor.session.video(&picture.sid).unwrap();
    soon("pictures", frames.next()).await.unwrap();
    let sound = noor.track(TrackKind::Audio).await;

    let top = async |wanted: bool, what: &str| {
        let began = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        soon(what, async {
            while camera.wanted(2) != wanted {
                tick.tick().await;
            }
        })
        .await;
        println!("{what} after {} ms", began.elapsed().as_millis());
    };
    top(true, "the top layer").await;
    line.limit(1_000_000);
    top(false, "no top layer").await;

    // What had waited in the line has left it by then.
    let mut packets = noor.session.audio(&sound.sid).unwrap();
    let mut numbers = Vec::new();
    while numbers.len() < 300 {
        let packet = soon("sound", packets.next()).await.unwrap();
        numbers.push(packet.sequence);
    }
    let kept = &numbers[50..];
    let span = usize::from(kept.last().unwrap().wrapping_sub(kept[0])) + 1;
    let lost = span - kept.len();
    let rate = camille.session.statistics().transport;
    println!(
        "at 1 Mbit/s: {lost} of {span} packets of sound lost, {} bit/s known, {} repeats",
        rate.available_outgoing_bitrate, rate.retransmitted_packets_sent
    );
    assert!(lost * 20 <= span, "{lost} of {span} packets of sound lost");
    assert!(camera.wanted(0));

    line.limit(0);
    top(true, "the top layer is back").await;
    sending.abort();
}
