//! Messages of the server and data of participants, damaged.

use livekit_protocol as proto;
use proptest::prelude::*;
use prost::Message as _;
use proto::signal_response::Message;

use super::{Room, Tried, data};
use crate::encryption::{KeyRing, Material};
use crate::hostile::{bound, damaged, expect, peak};
use crate::transport::Relay;

/// What becomes of a message: as `messages` and `joining` do it.
fn take(message: &[u8], room: &mut Room) -> bool {
    let Ok(response) = proto::SignalResponse::decode(message) else {
        return false;
    };
    let mut tried = Tried::default();
    match response.message {
        Some(Message::Join(join)) => {
            *room = Room::joined(&join);
            for server in &join.ice_servers {
                for url in &server.urls {
                    Relay::offered(url, &server.username, &server.credential);
                }
            }
        }
        Some(Message::Update(update)) => room.update(&update.participants),
        Some(Message::SpeakersChanged(changed)) => room.speakers(&changed.speakers),
        Some(Message::ConnectionQuality(update)) => room.qualities("PA_me", &update.updates),
        Some(Message::StreamStateUpdate(update)) => room.stream_states(&update.stream_states),
        Some(Message::Answer(answer)) => tried.described(&answer.sdp),
        Some(Message::Trickle(trickle)) => tried.offered(&trickle.candidate_init),
        _ => {}
    }
    true
}

fn keys() -> KeyRing {
    let keys = KeyRing::new();
    keys.set_shared(0, Material::raw([7; 16]));
    keys
}

#[test]
fn each_message_of_the_corpus_is_read_as_its_name_says() {
    expect("signal", |message| take(message, &mut Room::default()));
    expect("data", |packet| data::read(packet, None).is_some());
}

#[test]
fn a_server_that_makes_up_people_and_tracks_without_end_fills_no_memory() {
    let mut room = Room::default();
    let took = peak(|| {
        for crowd in 0..6_u32 {
            let infos: Vec<_> = (0..1000)
                .map(|number| proto::ParticipantInfo {
                    sid: format!("PA_{crowd}_{number}"),
                    identity: format!("{crowd}-{number}"),
                    ..Default::default()
                })
                .collect();
            room.update(&infos);
        }
        let tracks = (0..100_000).map(|number| proto::TrackInfo {
            sid: format!("TR_{number}"),
            ..Default::default()
        });
        room.update(&[proto::ParticipantInfo {
            sid: "PA_0_0".to_owned(),
            identity: "0-0".to_owned(),
            tracks: tracks.collect(),
            ..Default::default()
        }]);
    });
    assert_eq!(room.participants.len(), 4096);
    assert!(room.participants.iter().all(|p| p.tracks.len() <= 64));
    assert!(took < 128 << 20, "{took} bytes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_messages_are_refused_or_taken_within_bounds(
        messages in prop::collection::vec(damaged("signal"), 1..6),
    ) {
        let length: usize = messages.iter().map(Vec::len).sum();
        let took = peak(|| {
            let mut room = Room::default();
            for message in &messages {
                take(message, &mut room);
            }
            room
        });
        prop_assert!(took <= bound(length), "{took} bytes for {length}");
    }

    #[test]
    fn damaged_data_is_an_event_or_nothing_and_never_one_without_its_seal(packet in damaged("data")) {
        let took = peak(|| data::read(&packet, None));
        prop_assert!(took <= bound(packet.len()), "{took} bytes for {}", packet.len());
        prop_assert_eq!(data::read(&packet, Some(&keys())), None);
    }
}
