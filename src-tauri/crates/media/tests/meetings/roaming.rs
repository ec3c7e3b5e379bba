//! The network of this machine changes in the middle of a meeting.

use std::time::Duration;

use ::media::{Access, Network, Options, Session, State};
use workplace::Workplace;

use crate::namespace::{alone, ip};
use crate::place::{Peer, join, longest_pause, numbers, options, own, room, shared, soon};

/// Whether the hint is right or wrong: the old path is given up only once the server was reached again.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_may_change_is_looked_for_anew_without_leaving() {
    let place = shared().await;
    let name = room();
    let camille = join(place, &name, "camille").await;
    let noor = join(place, &name, "noor").await;
    change(&camille, &noor, || {}).await;
}

/// As when a laptop leaves its dock: the address that media left from is gone, and another one is there.
#[test]
fn an_address_that_changes_costs_a_moment_and_nobody_sees_a_leave() {
    let test = "roaming::an_address_that_changes_costs_a_moment_and_nobody_sees_a_leave";
    alone(test, async {
        ip("addr add 10.77.0.2/32 dev lo");
        let place = own().await;
        let name = room();
        let camille = join_from_anywhere(&place, &name, "camille").await;
        let noor = join(&place, &name, "noor").await;
        change(&camille, &noor, || {
            ip("addr add 10.77.0.3/32 dev lo");
            ip("addr del 10.77.0.2/32 dev lo");
        })
        .await;
        // The server waits for those who are still there.
        drop((camille, noor));
        place.down().await;
    });
}

/// Camille's network changes while both see each other.
async fn change(camille: &Peer, noor: &Peer, network: impl FnOnce()) {
    let (_camera, _pictures) = camille.show_small_pattern().await;
    let (_camera, _pictures) = noor.show_small_pattern().await;
    let before = noor.sees("camille", |p| !p.tracks.is_empty()).await;
    let (mut up, mut down) = (noor.watch().await, camille.watch().await);
    numbers(&mut up, 5).await;
    numbers(&mut down, 5).await;
    let mut state = camille.session.state();
    state.mark_unchanged();
    network();
    camille.session.network_changed().await;
    let resuming = state.wait_for(|state| *state == State::Resuming);
    soon("a new path is looked for", resuming).await.unwrap();
    let connected = async {
        let back = state.wait_for(|state| *state == State::Connected);
        soon("found", back).await.unwrap();
    };
    let pauses = async { tokio::join!(longest_pause(&mut up, 60), longest_pause(&mut down, 60)) };
    let (pauses, ()) = tokio::join!(pauses, connected);
    println!("the network changed: pauses of {pauses:?}, up and down");
    // A tenth of a second, and what a busy machine adds. Joining anew would take longer, and be seen.
    assert!(
        pauses.0.max(pauses.1) < Duration::from_secs(3),
        "{pauses:?}"
    );
    let after = noor.sees("camille", |p| p.identity == "camille").await;
    assert_eq!(after.sid, before.sid);
    assert_eq!(after.tracks, before.tracks);
}

/// From whatever addresses this machine has, as outside of tests.
async fn join_from_anywhere(place: &Workplace, room: &str, identity: &str) -> Peer {
    let access = Access {
        url: place.meetings(),
        token: place.meeting_token(room, identity).unwrap(),
    };
    let options = Options {
        network: Network::default(),
        ..options(None)
    };
    let (session, events) = soon("join", Session::join(access, options)).await.unwrap();
    Peer { session, events }
}
