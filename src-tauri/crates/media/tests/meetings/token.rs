//! What lets somebody in, and when it does not any more.

use std::time::Duration;

use ::media::{Access, Ended, JoinError, Session, State};
use workplace::Workplace;

use crate::place::{Peer, join, join_with, numbers, options, own, room, shared, soon};
use crate::wire::{Newcomers, Wire};

async fn ended(peer: &Peer) -> Ended {
    let mut state = peer.session.state();
    let ended = state.wait_for(|state| matches!(state, State::Ended(_)));
    match soon("the end", ended).await.unwrap().clone() {
        State::Ended(reason) => reason,
        other => panic!("{other:?}"),
    }
}

async fn join_by(url: &str, token: &str) -> Result<Peer, JoinError> {
    let access = Access {
        url: url.to_owned(),
        token: token.to_owned(),
    };
    let joined = soon("join", Session::join(access, options(None))).await;
    joined.map(|(session, events)| Peer { session, events })
}

/// Until nobody gets in with a token of the same age.
async fn expired(place: &Workplace, token: &str) {
    soon("the token's end", async {
        loop {
            match join_by(&place.meetings(), token).await {
                Ok(peer) => peer.session.leave().await,
                Err(JoinError::Refused) => return,
                Err(other) => panic!("{other}"),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    })
    .await;
}

/// The server sends a fresh token to those who are in. Whoever came with one for ten seconds can come back later.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_comes_back_with_the_refreshed_token_after_the_first_one_has_expired() {
    let place = own().await;
    let name = room();
    let wire = Wire::to(&place.meetings()).await;
    let token = |identity: &str| place.meeting_token_for(&name, identity, -45).unwrap();
    let (short, as_short) = (token("camille"), token("somebody else"));
    let camille = join_by(&wire.url, &short).await.unwrap();
    let (camera, _pictures) = camille.show_small_pattern().await;
    let noor = join(&place, &name, "noor").await;
    let before = noor.sees("camille", |p| !p.tracks.is_empty()).await;
    let mut watched = noor.watch().await;
    expired(&place, &as_short).await;
    assert_eq!(
        join_by(&place.meetings(), &short).await.map(drop).err(),
        Some(JoinError::Refused)
    );

    let mut state = camille.session.state();
    state.mark_unchanged();
    wire.cut();
    let noticed = state.wait_for(|state| *state == State::Resuming);
    soon("the cut is noticed", noticed).await.unwrap();
    let back = state.wait_for(|state| *state != State::Resuming);
    let back = soon("resumed", back).await.unwrap().clone();
    assert_eq!(back, State::Connected);
    numbers(&mut watched, 5).await;
    let after = noor.sees("camille", |p| p.identity == "camille").await;
    assert_eq!(after.sid, before.sid);

    // And when the place itself is lost.
    let first = camera.sid();
    place.kill("livekit").await.unwrap();
    let away = state.wait_for(|state| *state != State::Connected);
    soon("the kill is noticed", away).await.unwrap();
    place.start("livekit").await.unwrap();
    let back = state.wait_for(|state| matches!(state, State::Connected | State::Ended(_)));
    let back = soon("joined anew", back).await.unwrap().clone();
    assert_eq!(back, State::Connected);
    soon("the camera is there again", async {
        while camera.sid() == first {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    drop((camille, noor));
    place.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_token_is_revoked_is_told_so_at_the_next_connection() {
    let place = shared().await;
    let name = room();
    let wire = Wire::to(&place.meetings()).await;
    let camille = join_with(place, &wire.url, &name, "camille", None).await;
    let noor = join(place, &name, "noor").await;
    noor.sees("camille", |p| p.identity == "camille").await;
    wire.newcomers(Newcomers::Refused);
    wire.cut();
    assert_eq!(ended(&camille).await, Ended::Refused);
    // And it does not stay in the meeting by its media alone.
    let mut people = noor.session.room();
    let gone = people.wait_for(|room| room.participants.is_empty());
    soon("the leave", gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_does_not_come_back_and_a_closed_meeting_ends_for_all() {
    let place = shared().await;
    let name = room();
    let camille = join(place, &name, "camille").await;
    let noor = join(place, &name, "noor").await;
    noor.sees("camille", |p| p.identity == "camille").await;
    place.remove_from_meeting(&name, "camille").await.unwrap();
    assert_eq!(ended(&camille).await, Ended::Removed);
    let mut people = noor.session.room();
    let gone = people.wait_for(|room| room.participants.is_empty());
    soon("the leave", gone).await.unwrap();
    place.close_meeting(&name).await.unwrap();
    assert_eq!(ended(&noor).await, Ended::Closed);
}
