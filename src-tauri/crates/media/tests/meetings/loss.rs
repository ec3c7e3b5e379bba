use std::time::{Duration, Instant};

use ::media::{Access, JoinError, Network, Options, Session};

use crate::place::{Peer, join, numbers, options, room, shared};

async fn try_to_join(
    place: &workplace::Workplace,
    room: &str,
    identity: &str,
    loss: f64,
) -> Result<Peer, JoinError> {
    let access = Access {
        url: place.meetings(),
        token: place.meeting_token(room, identity).unwrap(),
    };
    let options = Options {
        network: Network {
            loss,
            ..Network::loopback()
        },
        ..options(None)
    };
    let (session, events) = Session::join(access, options).await?;
    Ok(Peer { session, events })
}

/// A handshake that lost a flight would wait for ever: the connection is then built anew.
#[tokio::test(flavor = "multi_thread")]
async fn joins_that_lose_every_fifth_packet_are_connected() {
    let place = shared().await;
    let name = room();
    let mut times = Vec::new();
    for number in 0..20 {
        let began = Instant::now();
        let joined = try_to_join(place, &name, &format!("noor-{number}"), 0.2).await;
        if let Ok(peer) = joined {
            times.push(began.elapsed());
            peer.session.leave().await;
        }
    }
    times.sort_unstable();
    println!("joins at 20 % loss: {times:?}");
    // The goal is all of them within five seconds; it is not reached yet (docs/known-issues.md).
    assert!(times.len() >= 18, "{} of 20 joined", times.len());
    assert!(times[9] < Duration::from_secs(5), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_go_on_both_ways_while_every_twentieth_packet_is_lost() {
    let place = shared().await;
    let name = room();
    let camille = try_to_join(place, &name, "camille", 0.05).await.unwrap();
    let (_camera, _pictures) = camille.show_small_pattern().await;
    let noor = join(place, &name, "noor").await;
    let (_camera, _pictures) = noor.show_small_pattern().await;
    for (peer, way) in [(&noor, "up"), (&camille, "down")] {
        let mut watched = peer.watch().await;
        numbers(&mut watched, 1).await;
        let began = Instant::now();
        let seen = numbers(&mut watched, 150).await;
        let shown = seen.len() * 100 / (1 + (seen.last().unwrap() - seen[0]) as usize);
        println!(
            "pictures in {way}: {shown} % in {} ms",
            began.elapsed().as_millis()
        );
        assert!(shown >= 80, "{shown} % of the pictures {way}");
    }
    let statistics = camille.session.statistics().transport;
    println!("pictures in both: {statistics:?}");
    // Both repairs were at work.
    assert!(statistics.retransmitted_packets_sent > 0);
    assert!(statistics.recovered_packets > 0);
}
