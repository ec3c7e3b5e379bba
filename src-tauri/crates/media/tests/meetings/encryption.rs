use std::sync::Arc;

use ::media::{Event, KeyRing, Material, Session, TrackKind};

use crate::place::{join, join_with, numbers, room, shared, soon};

fn secret(byte: u8) -> Material {
    Material::raw([byte; 16])
}

async fn counted(
    session: &Session,
    sid: &str,
    what: &str,
    wanted: impl Fn(&::media::TrackStatistics) -> bool,
) {
    let counting = async {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            tick.tick().await;
            let statistics = session.statistics();
            if statistics
                .tracks
                .iter()
                .any(|(track, counts)| track == sid && wanted(counts))
            {
                return;
            }
        }
    };
    soon(what, counting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_before_the_key_is_set_and_nothing_is_shown_without_it() {
    let place = shared().await;
    let name = room();
    let url = place.meetings();
    let (own, theirs) = (Arc::new(KeyRing::new()), Arc::new(KeyRing::new()));
    let camille = join_with(place, &url, &name, "camille", Some(own.clone())).await;
    let (camera, _pictures) = camille.show_small_pattern().await;
    let withheld = async {
        while camera.dropped() < 10 {
            tokio::task::yield_now().await;
        }
    };
    soon("frames are withheld", withheld).await;
    assert_eq!(camille.session.statistics().transport.packets_sent, 0);

    let noor = join_with(place, &url, &name, "noor", Some(theirs.clone())).await;
    let track = noor.track(TrackKind::Video).await;
    assert!(track.encrypted);
    let mut watched = noor.watch().await;
    own.set_own(0, &secret(1));
    counted(&noor.session, &track.sid, "frames without key", |counts| {
        counts.frames_without_key > 0 && counts.frames_received == 0
    })
    .await;
    theirs.set("camille", 0, secret(1));
    numbers(&mut watched, 10).await;

    // A new key at the next index: late holders miss nothing that they have the key for.
    theirs.set("camille", 1, secret(2));
    own.set_own(1, &secret(2));
    numbers(&mut watched, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_shows_nothing_until_the_right_one_comes() {
    let place = shared().await;
    let name = room();
    let url = place.meetings();
    let (own, theirs) = (Arc::new(KeyRing::new()), Arc::new(KeyRing::new()));
    own.set_own(0, &secret(1));
    theirs.set("camille", 0, secret(9));
    let camille = join_with(place, &url, &name, "camille", Some(own)).await;
    let (_camera, _pictures) = camille.show_small_pattern().await;
    let noor = join_with(place, &url, &name, "noor", Some(theirs.clone())).await;
    let track = noor.track(TrackKind::Video).await;
    let mut watched = noor.watch().await;
    counted(&noor.session, &track.sid, "refused frames", |counts| {
        counts.frames_refused > 0 && counts.frames_received == 0
    })
    .await;
    theirs.set("camille", 0, secret(1));
    numbers(&mut watched, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_sealed_with_the_room_and_clear_data_is_not_believed() {
    let place = shared().await;
    let name = room();
    let url = place.meetings();
    let keys = || {
        let keys = KeyRing::new();
        keys.set_shared(0, Material::pass_phrase("un mot de passe"));
        Some(Arc::new(keys))
    };
    let camille = join_with(place, &url, &name, "camille", keys()).await;
    let mut noor = join_with(place, &url, &name, "noor", keys()).await;
    let stranger = join(place, &name, "stranger").await;
    for identity in ["camille", "stranger"] {
        noor.sees("everybody", |person| person.identity == identity)
            .await;
    }
    for (peer, text) in [(&stranger, "clear"), (&camille, "sealed")] {
        let sending = async {
            while peer.session.send_data(true, "topic", text).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        soon("sent", sending).await;
    }
    let event = soon("data", noor.events.next()).await.unwrap();
    let expected = Event::Data {
        from: "camille".to_owned(),
        topic: "topic".to_owned(),
        payload: "sealed".into(),
    };
    assert_eq!(event, expected);
}
