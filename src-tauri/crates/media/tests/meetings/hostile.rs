//! Participants and servers that mean us no good, or are broken.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use ::media::{
    Access, AudioTrack, Decoding, EncodedFrame, EncodedSound, Encoding, Event, JoinError, Layer,
    Listening, PatternSource, Session, Source, State, TrackKind, VideoTrack, read_counter,
    tone_share,
};
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite;

use crate::place::{join, numbers, options, room, shared, soon};

/// More than the events that wait for an application.
const FLOOD: usize = 5000;

#[tokio::test(flavor = "multi_thread")]
async fn who_floods_us_with_data_stops_neither_pictures_nor_signalling() {
    let place = shared().await;
    let name = room();
    let camille = join(place, &name, "camille").await;
    let (camera, _pictures) = camille.show_small_pattern().await;
    // Reads no event before the flood is over.
    let mut noor = join(place, &name, "noor").await;
    let stranger = join(place, &name, "stranger").await;
    let mut watched = noor.watch().await;
    numbers(&mut watched, 3).await;
    let mut state = noor.session.state();
    state.mark_unchanged();
    let flood = async {
        let mut refused = 0;
        for number in 0..FLOOD {
            // What does not fit any more is the stranger's loss.
            let sending = stranger
                .session
                .send_data(number % 2 == 0, "flood", vec![7; 500]);
            refused += usize::from(sending.await.is_err());
        }
        println!("the flood is sent but for {refused}");
    };
    let dropped = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while noor.session.statistics().dropped_events == 0 {
            tick.tick().await;
        }
        println!("events are dropped");
    };
    let (_, (), ()) = soon("the flood", async {
        tokio::join!(numbers(&mut watched, 60), flood, dropped)
    })
    .await;
    camille.session.mute_video(&camera, true).await;
    noor.sees("muted", |person| person.tracks.iter().any(|t| t.muted))
        .await;
    assert!(!state.has_changed().unwrap(), "{:?}", *state.borrow());
    // What did not fit was dropped, and what comes afterwards is heard.
    stranger.session.leave().await;
    let heard = async {
        loop {
            let sent = camille
                .session
                .send_data(true, "afterwards", "bonjour")
                .await;
            assert_eq!(sent, Ok(()));
            match noor.events.next().await.unwrap() {
                Event::Data { topic, .. } if topic == "afterwards" => break,
                _ => {}
            }
        }
    };
    soon("the end of the flood", heard).await;
}

fn small() -> VideoTrack {
    let layer = Layer {
        width: 320,
        height: 180,
        bitrate: 200_000,
    };
    VideoTrack::single(Source::Camera, layer)
}

/// Frames that a broken or hostile encoder may send: no VP8 at all, key frames of sizes that nobody has, and beginnings
/// of good ones.
fn broken(number: u32) -> Vec<u8> {
    let noise = |length: usize| -> Vec<u8> { (0..length).map(|_| rand::random()).collect() };
    let key = |width: u16, height: u16| {
        let mut frame = vec![0x10, 2, 0, 0x9d, 0x01, 0x2a];
        frame.extend(width.to_le_bytes());
        frame.extend(height.to_le_bytes());
        frame
    };
    match number % 6 {
        0 => noise(1),
        1 => noise(3000),
        2 => key(0x3fff, 0x3fff),
        3 => [key(0x3fff, 0x3fff), noise(2000)].concat(),
        4 => [key(0, 0), noise(100)].concat(),
        _ => [key(320, 180), noise(1500)].concat(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_broken_frames_is_not_seen_until_they_are_whole_and_harms_nobody_else() {
    let place = shared().await;
    let name = room();
    let stranger = join(place, &name, "stranger").await;
    let publishing = stranger.session.publish_video(small());
    let camera = soon("publish", publishing).await.unwrap();
    let noor = join(place, &name, "noor").await;
    let mut watched = noor.watch().await;
    let camille = join(place, &name, "camille").await;
    let (_camera, _pictures) = camille.show_small_pattern().await;
    let person = noor.sees("camille", |p| {
        p.identity == "camille" && !p.tracks.is_empty()
    });
    let camilles = person.await.tracks[0].sid.clone();
    let mut beside = Decoding::start(noor.session.video(&camilles).unwrap()).unwrap();
    numbers(&mut beside, 3).await;

    let sent = AtomicU32::new(0);
    let sending = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tick.tick().await;
            let number = sent.fetch_add(1, Relaxed);
            let data = broken(number);
            camera.send(EncodedFrame {
                layer: 0,
                key_frame: data.first().is_some_and(|tag| tag & 1 == 0),
                data: data.into(),
                timestamp: number * 1800,
            });
        }
    };
    // Four seconds in which the others' pictures come as ever.
    tokio::select! {
        () = sending => {}
        _ = numbers(&mut beside, 120) => {}
    }
    assert!(sent.load(Relaxed) > 60);
    let track = noor.session.statistics().tracks;
    let track = track.iter().find(|(sid, _)| *sid == camera.sid());
    assert!(
        track.is_some_and(|(_, counts)| counts.frames_received > 0),
        "{track:?}"
    );

    // It asks for a key frame by itself.
    let _whole = Encoding::start(PatternSource::new(320, 180, 30), camera).unwrap();
    // What is broken may still be a picture, but none with a number.
    let mut whole = 0;
    while whole < 10 {
        let shown = soon("a picture", watched.next()).await.unwrap();
        whole += usize::from(read_counter(&shown.picture).is_some());
    }
    assert_eq!(*noor.session.state().borrow(), State::Connected);
}

/// A server that answers each join in this way, and goes on with noise.
async fn liar(answer: Option<proto::JoinResponse>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                continue;
            };
            if let Some(answer) = answer.clone() {
                let message = Some(Message::Join(answer));
                let answer = proto::SignalResponse { message }.encode_to_vec();
                let _ = socket.send(tungstenite::Message::binary(answer)).await;
            }
            for _ in 0..50 {
                let noise: Vec<u8> = (0..200).map(|_| rand::random()).collect();
                let _ = socket.send(tungstenite::Message::binary(noise)).await;
            }
            let text = tungstenite::Message::text("nobody expects text");
            let _ = socket.send(text).await;
            // Stays there; whatever is asked for is never answered.
            tokio::spawn(async move { while let Some(Ok(_)) = socket.next().await {} });
        }
    });
    url
}

/// Panics of all threads, those of tasks included, which end without being seen.
fn panics() -> &'static AtomicU32 {
    static PANICS: AtomicU32 = AtomicU32::new(0);
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Failing tests beside this one panic in their own files.
            let file = panic.location().map(std::panic::Location::file);
            if !file.is_some_and(|file| file.contains("tests/meetings")) {
                PANICS.fetch_add(1, Relaxed);
            }
            before(panic);
        }));
    });
    &PANICS
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_broken_sound_spoils_nobody_elses() {
    let place = shared().await;
    let name = room();
    let stranger = join(place, &name, "stranger").await;
    let publishing = stranger.session.publish_audio(AudioTrack::microphone());
    let microphone = soon("publish", publishing).await.unwrap();
    let noor = join(place, &name, "noor").await;
    let broken_sound = noor.track(TrackKind::Audio).await;
    let camille = join(place, &name, "camille").await;
    let _tone = camille.sound().await;
    let person = noor.sees("camille", |p| {
        p.identity == "camille" && !p.tracks.is_empty()
    });
    let tone = person.await.tracks[0].sid.clone();
    let (listening, mut frames) = Listening::start().unwrap();
    for sid in [&broken_sound.sid, &tone] {
        let feed = noor.session.audio(sid).unwrap();
        listening.add(sid, feed, 1.0).unwrap();
    }
    let sending = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        for number in 0_u32.. {
            tick.tick().await;
            microphone.send(EncodedSound {
                data: broken(number).into(),
                timestamp: number * 960,
                level: 20,
                voice: true,
            });
        }
    };
    // A hundred packets that nobody can have sent in good faith, among a tone that is heard to its end.
    let hearing = async {
        while listening
            .counts(&broken_sound.sid)
            .is_none_or(|counts| counts.played < 100)
        {
            frames.recv().await.unwrap();
        }
        listening.set_volume(&broken_sound.sid, 0.0);
        let mut heard = 0;
        while heard < 50 {
            let frame = frames.recv().await.unwrap();
            heard += usize::from(tone_share(&frame, 440.0) > 0.8);
        }
    };
    tokio::select! {
        () = sending => unreachable!("it never ends"),
        () = soon("the tone", hearing) => {}
    }
    let counts = listening.counts(&tone).unwrap();
    assert!(counts.played > 100, "{counts:?}");
    assert_eq!(*noor.session.state().borrow(), State::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_nonsense_is_an_error_and_no_panic() {
    let panics = panics();
    let somebody = || proto::JoinResponse {
        participant: Some(proto::ParticipantInfo::default()),
        ping_interval: 5,
        ping_timeout: 15,
        ..Default::default()
    };
    let answers = [
        None,
        Some(proto::JoinResponse::default()),
        Some(somebody()),
        Some(proto::JoinResponse {
            ping_interval: 0,
            ping_timeout: 0,
            ..somebody()
        }),
        Some(proto::JoinResponse {
            ping_interval: -1,
            ping_timeout: i32::MIN,
            ..somebody()
        }),
        Some(proto::JoinResponse {
            ping_interval: i32::MAX,
            ping_timeout: i32::MAX,
            ..somebody()
        }),
    ];
    let joins = answers.map(async |answer| {
        let url = liar(answer).await;
        // It is only looked at by whoever checks it.
        let token = "a.b.c".to_owned();
        let joining = Session::join(Access { url, token }, options(None));
        soon("the end of the join", joining).await.map(drop)
    });
    for joined in futures_util::future::join_all(joins).await {
        let error = joined.unwrap_err();
        assert!(
            matches!(
                error,
                JoinError::Unreachable | JoinError::NoPath(_) | JoinError::Protocol
            ),
            "{error}"
        );
    }
    assert_eq!(panics.load(Relaxed), 0);
}
