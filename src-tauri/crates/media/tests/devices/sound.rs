use std::time::Duration;

use ::media::{
    Because, DeviceKind, Processing, Sound, SoundChoice, SoundDevice, SoundEvent, SoundEvents,
    Trouble,
};

use crate::stage::{Stage, on_stage, soon, until};

/// Tones are noise that is to be taken away; here they have to stay.
const AS_IT_COMES: Processing = Processing {
    echo: false,
    noise: false,
    gain: false,
};

fn start(microphone: Option<&str>) -> (Sound, SoundEvents) {
    let choice = SoundChoice {
        microphone: microphone.map(id),
        speaker: None,
        processing: AS_IT_COMES,
    };
    Sound::start(choice).unwrap()
}

fn id(name: &str) -> String {
    format!("pulseaudio:{name}")
}

fn names(devices: &[SoundDevice]) -> Vec<&str> {
    devices.iter().map(|device| &*device.name).collect()
}

/// The next device that is in use on this side.
async fn using(events: &mut SoundEvents, side: DeviceKind) -> (String, Because) {
    soon("a device in use", async {
        loop {
            match events.next().await.expect("the sound is open") {
                SoundEvent::Using {
                    kind,
                    device,
                    because,
                } if kind == side => return (device.name, because),
                _ => {}
            }
        }
    })
    .await
}

async fn loud(sound: &Sound, what: &str) {
    // A tone of a third of full scale has 13 dB less than the loudest sine.
    until(what, || sound.microphone_level() < 30).await;
}

#[test]
fn devices_are_listed_and_what_is_plugged_in_or_out_is_noticed() {
    on_stage(async |stage: Stage| {
        let _speaker = stage.speaker("desk", 48_000);
        let (sound, _events) = start(None);
        let mut devices = sound.devices();
        let seen = soon(
            "the desk",
            devices.wait_for(|d| names(&d.speakers) == ["desk"]),
        )
        .await;
        let seen = seen.unwrap().clone();
        assert!(seen.speakers[0].default);
        assert_eq!(seen.speakers[0].id, id("desk"));
        // What the loudspeaker plays is offered by the sound server, but is no microphone.
        assert_eq!(seen.microphones, []);
        let headset = stage.microphone("headset", "desk");
        let plugged = devices.wait_for(|d| names(&d.microphones) == ["headset"]);
        soon("plugged in", plugged).await.unwrap();
        headset.unplug(&stage);
        let unplugged = devices.wait_for(|d| d.microphones.is_empty());
        soon("unplugged", unplugged).await.unwrap();
    });
}

#[test]
fn a_loop_test_hears_the_tone_that_the_loudspeaker_plays() {
    on_stage(async |stage: Stage| {
        let _speaker = stage.speaker("desk", 48_000);
        let _microphone = stage.microphone("built-in", "desk");
        let (sound, _events) = start(None);
        let found = sound.loop_test().await;
        assert!(found.records && found.heard, "{found:?}");
        assert!(found.level < 30, "{found:?}");
    });
}

#[test]
fn a_loop_test_without_a_microphone_says_so() {
    on_stage(async |stage: Stage| {
        let _speaker = stage.speaker("desk", 48_000);
        let (sound, mut events) = start(None);
        let (found, event) = tokio::join!(sound.loop_test(), events.next());
        assert!(!found.records && !found.heard, "{found:?}");
        let without = SoundEvent::Without {
            kind: DeviceKind::Microphone,
            trouble: Trouble::Missing,
        };
        assert_eq!(event, Some(without));
    });
}

#[test]
fn a_microphone_that_is_deaf_to_the_loudspeaker_is_told_from_none() {
    on_stage(async |stage: Stage| {
        let _speaker = stage.speaker("desk", 48_000);
        let _elsewhere = stage.speaker("elsewhere", 48_000);
        let _microphone = stage.microphone("built-in", "elsewhere");
        let choice = SoundChoice {
            speaker: Some(id("desk")),
            ..SoundChoice::default()
        };
        let (sound, _events) = Sound::start(choice).unwrap();
        let found = sound.loop_test().await;
        assert!(found.records && !found.heard, "{found:?}");
    });
}

#[test]
fn a_loudspeaker_of_another_rate_plays_at_the_right_pitch() {
    on_stage(async |stage: Stage| {
        let _speaker = stage.speaker("old", 44_100);
        let ear = stage.listen("old");
        let (sound, mut events) = start(None);
        sound.play_test_tone();
        let (name, _) = using(&mut events, DeviceKind::Speaker).await;
        assert_eq!(name, "old");
        let again = async {
            let mut second = tokio::time::interval(Duration::from_secs(1));
            loop {
                second.tick().await;
                sound.play_test_tone();
            }
        };
        tokio::select! {
            () = ear.hears(1000.0) => {}
            () = again => {}
        }
    });
}

#[test]
fn an_unplugged_headset_is_replaced_and_taken_again_when_it_is_back() {
    on_stage(async |stage: Stage| {
        let _room = stage.speaker("room", 48_000);
        let _tone = stage.tone("room", 440.0, 0.3);
        let _built_in = stage.microphone("built-in", "room");
        let headset = stage.microphone("headset", "room");
        let (sound, mut events) = start(Some("headset"));
        sound.preview_microphone(true);
        let side = DeviceKind::Microphone;
        let first = using(&mut events, side).await;
        assert_eq!(first, ("headset".to_owned(), Because::Started));
        loud(&sound, "the headset").await;
        headset.unplug(&stage);
        let next = using(&mut events, side).await;
        assert_eq!(next, ("built-in".to_owned(), Because::Unplugged));
        loud(&sound, "the built-in microphone").await;
        let _headset = stage.microphone("headset", "room");
        let back = using(&mut events, side).await;
        assert_eq!(back, ("headset".to_owned(), Because::Returned));
        loud(&sound, "the headset again").await;
    });
}

#[test]
fn a_microphone_that_is_chosen_is_taken_at_once() {
    on_stage(async |stage: Stage| {
        let _quiet = stage.speaker("quiet", 48_000);
        let _room = stage.speaker("room", 48_000);
        let _tone = stage.tone("room", 440.0, 0.3);
        let _built_in = stage.microphone("built-in", "quiet");
        let _desk = stage.microphone("desk", "room");
        let (sound, mut events) = start(Some("built-in"));
        sound.preview_microphone(true);
        let side = DeviceKind::Microphone;
        assert_eq!(using(&mut events, side).await.0, "built-in");
        sound.choose(side, Some(id("desk")));
        let chosen = using(&mut events, side).await;
        assert_eq!(chosen, ("desk".to_owned(), Because::Chosen));
        loud(&sound, "the desk's microphone").await;
        sound.preview_microphone(false);
        until("closed", || sound.microphone_level() == 127).await;
    });
}

#[test]
fn a_microphone_that_is_gone_is_told_and_taken_when_it_is_back() {
    on_stage(async |stage: Stage| {
        let _room = stage.speaker("room", 48_000);
        let _tone = stage.tone("room", 440.0, 0.3);
        let built_in = stage.microphone("built-in", "room");
        let (sound, mut events) = start(None);
        sound.preview_microphone(true);
        let side = DeviceKind::Microphone;
        using(&mut events, side).await;
        loud(&sound, "the microphone").await;
        built_in.unplug(&stage);
        let gone = SoundEvent::Without {
            kind: side,
            trouble: Trouble::Missing,
        };
        assert_eq!(soon("gone", events.next()).await, Some(gone));
        until("silence", || sound.microphone_level() == 127).await;
        let _built_in = stage.microphone("built-in", "room");
        using(&mut events, side).await;
        loud(&sound, "the microphone again").await;
    });
}

#[test]
fn a_restarted_sound_server_gets_its_streams_back() {
    on_stage(async |stage: Stage| {
        let _room = stage.speaker("room", 48_000);
        let _tone = stage.tone("room", 440.0, 0.3);
        let _built_in = stage.microphone("built-in", "room");
        let (sound, mut events) = start(None);
        sound.preview_microphone(true);
        using(&mut events, DeviceKind::Microphone).await;
        loud(&sound, "the microphone").await;
        stage.restart_sound();
        let _room = stage.speaker("room", 48_000);
        let _tone = stage.tone("room", 440.0, 0.3);
        let _built_in = stage.microphone("built-in", "room");
        using(&mut events, DeviceKind::Microphone).await;
        loud(&sound, "the microphone again").await;
        let found = sound.loop_test().await;
        assert!(found.records, "{found:?}");
    });
}
