//! What one computer's devices take, another one's show and play.

use std::sync::Once;
use std::time::Duration;

use ::media::{
    AudioTrack, Because, CaptureError, Decoding, DeviceKind, Encoding, Layer, PictureFormat,
    Processing, Session, Sound, SoundChoice, SoundEvent, Source, ToneSource, TrackKind, VideoTrack,
    cameras, open_camera, open_screen, read_counter, screens,
};

use crate::place::{join, numbers, own, room, soon};
use crate::screen::Painter;
use crate::stage::{Stage, is_outside, on_stage, on_stage_with_a_screen, until};

/// A tone that stays one when 10 ms are left out of it, as is done with sound that waits for a busy loudspeaker.
const TONE: f32 = 400.0;
const LAYER: Layer = Layer {
    width: 640,
    height: 360,
    bitrate: 600_000,
};

/// A server that has to be built first takes minutes: longer than a test may that waits for it on its stage.
fn install_the_server() {
    static INSTALLED: Once = Once::new();
    if is_outside() {
        INSTALLED.call_once(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            drop(runtime.block_on(own()));
        });
    }
}

fn sound(microphone: Option<&str>, speaker: Option<&str>) -> (Sound, ::media::SoundEvents) {
    let id = |name: &str| format!("pulseaudio:{name}");
    Sound::start(SoundChoice {
        microphone: microphone.map(id),
        speaker: speaker.map(id),
        // A tone is noise that is to be taken away; here it has to stay.
        processing: Processing {
            echo: false,
            noise: false,
            gain: false,
        },
    })
    .unwrap()
}

/// The numbers of so many pictures that differ. They only grow; one may come again while the camera has no newer one.
async fn different(watched: &mut Decoding, count: usize) -> Vec<u32> {
    let mut seen: Vec<u32> = Vec::new();
    while seen.len() < count {
        let shown = soon("a picture", watched.next()).await.unwrap();
        // The server's own black picture has none.
        let Some(number) = read_counter(&shown.picture) else {
            continue;
        };
        assert!(seen.last().is_none_or(|last| *last <= number));
        if seen.last() != Some(&number) {
            seen.push(number);
        }
    }
    seen
}

async fn publish_microphone(session: &Session, sound: &Sound) {
    let publishing = session.publish_audio(AudioTrack::microphone());
    sound.publish(soon("publish", publishing).await.unwrap());
}

#[test]
fn a_microphone_and_a_camera_are_heard_and_seen_at_the_other_end_until_they_are_pulled_out() {
    install_the_server();
    on_stage(async |stage: Stage| {
        let place = own().await;
        let name = room();
        let _surgery = stage.speaker("surgery", 48_000);
        let _voice = stage.tone("surgery", TONE, 0.3);
        let _microphone = stage.microphone("microphone", "surgery");
        let _office = stage.speaker("office", 48_000);
        let ear = stage.listen("office");
        let webcam = stage.camera("webcam", 640, 360);
        until("the camera", || cameras().unwrap().len() == 1).await;

        let camille = join(&place, &name, "camille").await;
        let (camilles, _events) = sound(Some("microphone"), Some("office"));
        publish_microphone(&camille.session, &camilles).await;
        let track = VideoTrack::single(Source::Camera, LAYER);
        let publication = soon("publish", camille.session.publish_video(track)).await;
        let wanted = PictureFormat {
            width: 640,
            height: 360,
            rate: 30,
        };
        let (_, camera) = open_camera(None, wanted).unwrap();
        let mut pictures = Encoding::start(camera, publication.unwrap()).unwrap();

        let noor = join(&place, &name, "noor").await;
        let (noors, _events) = sound(None, Some("office"));
        let heard = noor.track(TrackKind::Audio).await;
        let feed = noor.session.audio(&heard.sid).unwrap();
        noors.play(&heard.sid, feed, 1.0).unwrap();
        let mut watched = noor.watch().await;
        let seen = different(&mut watched, 30).await;
        let span = seen[29] - seen[0];
        assert!(span < 90, "30 pictures of {span}");
        ear.hears(TONE).await;
        until("the level", || noors.voices().level(&heard.sid) < 30).await;
        println!("heard: {:?}", noors.voices().counts(&heard.sid));
        drop(webcam);
        let ended = soon("the end of the pictures", pictures.ended()).await;
        assert_eq!(ended, Some(CaptureError::Gone));
    });
}

#[test]
fn a_headset_that_is_unplugged_in_a_meeting_is_replaced_and_the_voice_goes_on() {
    install_the_server();
    on_stage(async |stage: Stage| {
        let place = own().await;
        let name = room();
        let _desk = stage.speaker("desk", 48_000);
        let headset = stage.speaker("headset", 48_000);
        let camille = join(&place, &name, "camille").await;
        let publishing = camille.session.publish_audio(AudioTrack::microphone());
        let publication = soon("publish", publishing).await.unwrap();
        let _tone = ToneSource::start(TONE, 0.5, publication).unwrap();
        let noor = join(&place, &name, "noor").await;
        let (noors, mut events) = sound(None, Some("headset"));
        let heard = noor.track(TrackKind::Audio).await;
        let feed = noor.session.audio(&heard.sid).unwrap();
        noors.play(&heard.sid, feed, 1.0).unwrap();
        stage.listen("headset").hears(TONE).await;
        let first = soon("the headset", events.next()).await;
        assert!(
            matches!(&first, Some(SoundEvent::Using { device, .. }) if device.name == "headset"),
            "{first:?}"
        );
        let ear = stage.listen("desk");
        headset.unplug(&stage);
        let next = soon("the desk", events.next()).await;
        let Some(SoundEvent::Using {
            kind,
            device,
            because,
        }) = next
        else {
            panic!("{next:?}");
        };
        assert_eq!(kind, DeviceKind::Speaker);
        assert_eq!((&*device.name, because), ("desk", Because::Unplugged));
        ear.hears(TONE).await;
    });
}

#[test]
fn a_shared_screen_is_seen_at_the_other_end_also_by_who_comes_while_nothing_moves() {
    install_the_server();
    on_stage_with_a_screen(async |_: Stage| {
        let place = own().await;
        let name = room();
        let painter = Painter::new();
        painter.paint(41);
        let camille = join(&place, &name, "camille").await;
        let layer = Layer {
            width: 1280,
            height: 720,
            bitrate: 1_500_000,
        };
        let track = VideoTrack::single(Source::Screen, layer);
        let publication = soon("publish", camille.session.publish_video(track)).await;
        let screen = &screens().unwrap()[0];
        let source = open_screen(&screen.id, 15).await.unwrap();
        let _pictures = Encoding::start(source, publication.unwrap()).unwrap();
        let noor = join(&place, &name, "noor").await;
        let mut watched = noor.watch().await;
        assert_eq!(numbers(&mut watched, 1).await, [41]);
        let sami = join(&place, &name, "sami").await;
        let mut also = sami.watch().await;
        assert_eq!(numbers(&mut also, 1).await, [41]);
        painter.paint(42);
        let changed = async {
            while watched
                .next()
                .await
                .is_none_or(|shown| read_counter(&shown.picture) != Some(42))
            {}
        };
        soon(
            "what was painted",
            tokio::time::timeout(Duration::from_secs(20), changed),
        )
        .await
        .unwrap();
    });
}
