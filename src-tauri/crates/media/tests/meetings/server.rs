//! A server that is restarted, that drains, and that says nothing any more.

use std::process::Command;
use std::time::{Duration, Instant};

use ::media::{Access, JoinError, Session, State};
use tokio::net::TcpListener;
use workplace::Workplace;

use crate::place::{Peer, join, join_with, numbers, options, own, room, shared, soon};
use crate::wire::{Newcomers, Wire};

/// As an administrator or systemd does it. livekit-server then waits for those who are there; asked twice it does not.
fn ask_to_end(place: &Workplace) {
    for process in place.pids("livekit").unwrap() {
        let mut asking = Command::new("kill");
        let asked = asking.args(["-TERM", &process.to_string()]).status();
        assert!(asked.unwrap().success());
    }
}

async fn is_away(peer: &Peer) {
    let mut state = peer.session.state();
    let away = state.wait_for(|state| !matches!(state, State::Connected));
    soon("the end is noticed", away).await.unwrap();
}

async fn is_back(peer: &Peer) {
    let mut state = peer.session.state();
    let back = state.wait_for(|state| matches!(state, State::Connected | State::Ended(_)));
    let back = soon("joined anew", back).await.unwrap().clone();
    assert_eq!(back, State::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_server_drains_the_meeting_goes_on_and_after_its_restart_all_are_back() {
    let place = own().await;
    let name = room();
    let camille = join(&place, &name, "camille").await;
    let (camera, _pictures) = camille.show_small_pattern().await;
    let noor = join(&place, &name, "noor").await;
    let mut watched = noor.watch().await;
    numbers(&mut watched, 3).await;
    let before = camera.sid();
    ask_to_end(&place);
    // Two seconds of pictures, and nobody notices anything.
    numbers(&mut watched, 60).await;
    for peer in [&camille, &noor] {
        assert_eq!(*peer.session.state().borrow(), State::Connected);
    }
    ask_to_end(&place);
    tokio::join!(is_away(&camille), is_away(&noor));
    place.restart("livekit").await.unwrap();
    let began = Instant::now();
    tokio::join!(is_back(&camille), is_back(&noor));
    println!("back after a restart: {} ms", began.elapsed().as_millis());
    let mut watched = noor.watch().await;
    numbers(&mut watched, 10).await;
    assert_ne!(camera.sid(), before);
    drop((camille, noor));
    place.down().await;
}

/// Between the two is something that forgot them, as a firewall does after a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_falls_silent_is_given_up_in_time_and_nobody_sees_a_leave() {
    let place = shared().await;
    let name = room();
    let wire = Wire::to(&place.meetings()).await;
    let camille = join_with(place, &wire.url, &name, "camille", None).await;
    let (_camera, _pictures) = camille.show_small_pattern().await;
    let noor = join(place, &name, "noor").await;
    let before = noor.sees("camille", |p| !p.tracks.is_empty()).await;
    let mut watched = noor.watch().await;
    numbers(&mut watched, 5).await;
    let mut state = camille.session.state();
    state.mark_unchanged();
    wire.silence();
    let began = Instant::now();
    let noticed = state.wait_for(|state| *state == State::Resuming);
    soon("the silence is noticed", noticed).await.unwrap();
    let back = state.wait_for(|state| *state == State::Connected);
    soon("resumed", back).await.unwrap();
    println!("a silent websocket: {} ms", began.elapsed().as_millis());
    // The server names 15 seconds without an answer.
    assert!(began.elapsed() < Duration::from_secs(30));
    numbers(&mut watched, 10).await;
    let after = noor.sees("camille", |p| p.identity == "camille").await;
    assert_eq!((after.sid, after.tracks), (before.sid, before.tracks));
}

/// A port that is open, with nobody behind it, and one behind which a proxy waits for a server that is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_unreachable_within_seconds() {
    let place = shared().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("ws://{}", listener.local_addr().unwrap());
    let wire = Wire::to(&place.meetings()).await;
    wire.newcomers(Newcomers::Silence);
    for url in [nobody, wire.url.clone()] {
        let token = place.meeting_token(&room(), "camille").unwrap();
        let began = Instant::now();
        let joining = Session::join(Access { url, token }, options(None));
        let joined = soon("the end of the join", joining).await;
        assert_eq!(joined.err(), Some(JoinError::Unreachable));
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
