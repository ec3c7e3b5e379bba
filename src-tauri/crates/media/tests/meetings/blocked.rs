//! Networks that block: the server's UDP, and more.

use std::sync::Arc;
use std::time::Instant;

use ::media::{Access, JoinError, Line, Network, Options, Session, State};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use workplace::Workplace;

use crate::loss::try_to_join;
use crate::namespace::{alone, block_udp_from, obey_rules};
use crate::place::{Peer, join, longest_pause, numbers, options, room, soon, with};

/// The server's TCP port is open on all interfaces, so it runs on a network of its own.
#[test]
fn where_udp_is_blocked_a_meeting_goes_over_tcp() {
    let test = "blocked::where_udp_is_blocked_a_meeting_goes_over_tcp";
    alone(test, async {
        let place = with(workplace::Options {
            meetings_tcp: true,
            ..workplace::Options::default()
        })
        .await;
        let name = room();
        let camille = try_to_join(&place, &name, "camille", Line::losing(1.0)).await;
        let camille = camille.unwrap();
        let noor = join(&place, &name, "noor").await;
        show_each_other(&camille, &noor).await;
        // The server waits for those who are still there.
        drop((camille, noor));
        place.down().await;
    });
}

/// A firewall that closes in the middle of a meeting, or a network without UDP after one with it.
#[test]
fn where_udp_is_blocked_midway_the_meeting_goes_on_over_tcp() {
    let test = "blocked::where_udp_is_blocked_midway_the_meeting_goes_on_over_tcp";
    alone(test, async {
        let place = with(workplace::Options {
            meetings_tcp: true,
            ..workplace::Options::default()
        })
        .await;
        let name = room();
        let line = Line::default();
        let camille = try_to_join(&place, &name, "camille", line.clone()).await;
        let camille = camille.unwrap();
        let noor = join(&place, &name, "noor").await;
        let (_ours, _pictures) = camille.show_small_pattern().await;
        let (_theirs, _others) = noor.show_small_pattern().await;
        see_each_other(&camille, &noor).await;
        let mut state = camille.session.state();
        state.mark_unchanged();
        line.cut(true);
        let began = Instant::now();
        let away = state.wait_for(|state| *state != State::Connected);
        soon("the block is noticed", away).await.unwrap();
        let back = state.wait_for(|state| matches!(state, State::Connected | State::Ended(_)));
        let back = soon("another way", back).await.unwrap().clone();
        assert_eq!(back, State::Connected);
        println!("UDP blocked midway: {} ms", began.elapsed().as_millis());
        see_each_other(&camille, &noor).await;
        drop((camille, noor));
        place.down().await;
    });
}

/// What a hospital's firewall often leaves: one UDP port to a relay. Media reaches nobody in any other way here.
#[test]
fn where_only_the_relays_udp_port_is_open_a_meeting_goes_over_it() {
    let test = "blocked::where_only_the_relays_udp_port_is_open_a_meeting_goes_over_it";
    alone(test, async {
        let place = relayed().await;
        let (media, _) = place.meeting_ports();
        block_udp_from(media, Some(&workplace::RELAY_PORTS));
        obey_rules();
        // The one over TLS is there, too, but whoever trusts nobody does not use it.
        meet_over_the_relay(&place, None).await;
        place.down().await;
    });
}

/// The narrowest of networks: TLS to port 443, and nothing else.
#[test]
fn where_only_tls_is_open_a_meeting_goes_over_a_relay_on_port_443() {
    let test = "blocked::where_only_tls_is_open_a_meeting_goes_over_a_relay_on_port_443";
    alone(test, async {
        let place = relayed().await;
        let (media, relay) = place.meeting_ports();
        block_udp_from(media, Some(&workplace::RELAY_PORTS));
        block_udp_from(relay, None);
        obey_rules();
        meet_over_the_relay(&place, Some(place.authority())).await;
        place.down().await;
    });
}

/// What lets us use a relay expires after minutes, and the server names new ones when the path is looked for anew.
#[test]
fn a_meeting_over_a_relay_survives_a_change_of_the_network_much_later() {
    let test = "blocked::a_meeting_over_a_relay_survives_a_change_of_the_network_much_later";
    alone(test, async {
        let place = relayed().await;
        let (media, relay) = place.meeting_ports();
        block_udp_from(media, Some(&workplace::RELAY_PORTS));
        block_udp_from(relay, None);
        obey_rules();
        let name = room();
        let began = Instant::now();
        let camille = join_trusting(&place, &name, "camille", Some(place.authority())).await;
        let noor = join_trusting(&place, &name, "noor", Some(place.authority())).await;
        let (camille, noor) = (camille.unwrap(), noor.unwrap());
        let (_camera, _pictures) = camille.show_small_pattern().await;
        let before = noor.sees("camille", |p| !p.tracks.is_empty()).await;
        let mut watched = noor.watch().await;
        while began.elapsed() < workplace::RELAY_LIFETIME * 3 / 2 {
            numbers(&mut watched, 1).await;
        }
        let mut state = camille.session.state();
        state.mark_unchanged();
        camille.session.network_changed().await;
        let resuming = state.wait_for(|state| *state == State::Resuming);
        soon("a new path is looked for", resuming).await.unwrap();
        let pause = longest_pause(&mut watched, 60).await;
        println!("the network changed behind a relay: a pause of {pause:?}");
        let after = noor.sees("camille", |p| p.identity == "camille").await;
        assert_eq!(after.sid, before.sid);
        drop((camille, noor));
        place.down().await;
    });
}

#[test]
fn a_relay_whose_certificate_nobody_vouches_for_is_not_used() {
    let test = "blocked::a_relay_whose_certificate_nobody_vouches_for_is_not_used";
    alone(test, async {
        let place = relayed().await;
        let (media, relay) = place.meeting_ports();
        block_udp_from(media, Some(&workplace::RELAY_PORTS));
        block_udp_from(relay, None);
        obey_rules();
        let joined = join_trusting(&place, &room(), "camille", Some("")).await;
        let Err(JoinError::NoPath(tried)) = joined.map(drop) else {
            panic!("there is no path");
        };
        assert_eq!(tried.relays, 2, "{tried}");
        place.down().await;
    });
}

async fn relayed() -> Workplace {
    with(workplace::Options {
        meetings_relay: true,
        ..workplace::Options::default()
    })
    .await
}

async fn meet_over_the_relay(place: &Workplace, authority: Option<&str>) {
    let name = room();
    let camille = join_trusting(place, &name, "camille", authority).await;
    let noor = join_trusting(place, &name, "noor", authority).await;
    show_each_other(&camille.unwrap(), &noor.unwrap()).await;
}

async fn show_each_other(camille: &Peer, noor: &Peer) {
    let (_camera, _pictures) = camille.show_small_pattern().await;
    let (_camera, _pictures) = noor.show_small_pattern().await;
    see_each_other(camille, noor).await;
}

async fn see_each_other(camille: &Peer, noor: &Peer) {
    for peer in [camille, noor] {
        let mut watched = peer.watch().await;
        numbers(&mut watched, 30).await;
    }
}

/// `authority` as PEM: who signs for relays over TLS.
async fn join_trusting(
    place: &Workplace,
    room: &str,
    identity: &str,
    authority: Option<&str>,
) -> Result<Peer, JoinError> {
    let access = Access {
        url: place.meetings(),
        token: place.meeting_token(room, identity).unwrap(),
    };
    let options = Options {
        network: Network::loopback(),
        tls: authority.map(|authority| Arc::new(trust(authority))),
        ..options(None)
    };
    let began = Instant::now();
    let (session, events) = Session::join(access, options).await?;
    println!(
        "joined over a relay after {} ms",
        began.elapsed().as_millis()
    );
    Ok(Peer { session, events })
}

#[allow(clippy::disallowed_methods)] // in place of `network`, which this engine does not know
fn trust(authority: &str) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
