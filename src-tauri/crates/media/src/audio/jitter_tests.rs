#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::prelude::*;

use super::*;

/// 20 ms at 48 kHz.
const TICKS_PER_PACKET: u32 = 960;
const MS: Duration = Duration::from_millis(1);

fn sound(number: u16) -> Bytes {
    Bytes::copy_from_slice(&u32::from(number).to_be_bytes())
}

/// Plays packets that arrive at the given milliseconds (`None`: lost), one pull each 20 ms.
fn play(arrivals: &[Option<u32>], pulls: u32) -> (Vec<Playout>, JitterBuffer) {
    let start = Instant::now();
    let mut buffer = JitterBuffer::new();
    let mut events: Vec<_> = arrivals
        .iter()
        .enumerate()
        .filter_map(|(number, at)| Some(((*at)?, number as u16)))
        .collect();
    events.sort_unstable();
    let mut events = events.into_iter().peekable();
    let mut played = Vec::new();
    for pull in 0..pulls {
        while let Some((at, number)) = events.next_if(|(at, _)| *at <= pull * 20) {
            let timestamp = u32::from(number) * TICKS_PER_PACKET;
            buffer.push(number, timestamp, sound(number), start + at * MS);
        }
        played.push(buffer.pull());
    }
    (played, buffer)
}

fn heard(played: &[Playout]) -> Vec<Bytes> {
    played
        .iter()
        .filter_map(|playout| match playout {
            Playout::Packet { data, .. } => Some(data.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn steady_packets_are_played_in_order_with_a_short_delay() {
    let arrivals: Vec<_> = (0..100).map(|number| Some(number * 20)).collect();
    let (played, buffer) = play(&arrivals, 100);
    let expected: Vec<_> = (0..100).map(sound).collect();
    assert_eq!(heard(&played), expected);
    assert_eq!(buffer.target(), LEAST);
    assert_eq!(buffer.counts().concealed, 0);
}

#[test]
fn a_lost_packet_is_recovered_from_the_next_one() {
    let mut arrivals: Vec<_> = (0..50_u32).map(|number| Some((number / 2) * 40)).collect();
    arrivals[20] = None;
    let (played, buffer) = play(&arrivals, 60);
    assert!(played.contains(&Playout::Recover { next: sound(21) }));
    assert_eq!(buffer.counts().recovered, 1);
}

#[test]
fn the_target_grows_with_jitter_and_then_little_is_concealed() {
    // Every fourth packet is 60 ms late.
    let arrivals: Vec<_> = (0..500_u32)
        .map(|number| Some(number * 20 + if number % 4 == 3 { 60 } else { 0 }))
        .collect();
    let (played, buffer) = play(&arrivals, 500);
    assert!(buffer.target() >= 60 * MS);
    let concealed = |played: &[Playout]| {
        played
            .iter()
            .filter(|playout| !matches!(playout, Playout::Packet { .. }))
            .count()
    };
    assert_eq!(concealed(&played[100..]), 0);
}

#[test]
fn after_a_pause_the_sound_goes_on() {
    let arrivals: Vec<_> = (0..100_u32)
        .map(|number| Some(number * 20 + if number >= 50 { 3000 } else { 0 }))
        .collect();
    let (played, buffer) = play(&arrivals, 300);
    assert_eq!(heard(&played).last(), Some(&sound(99)));
    // The pause and the end are each filled for a moment, and then silent.
    assert!(buffer.counts().concealed <= 2 * u64::from(MOST_CONCEALED));
}

#[test]
fn a_backlog_may_be_skipped_where_it_is_quiet() {
    let arrivals: Vec<_> = (0..30_u32).map(|_| Some(0)).collect();
    let (played, _) = play(&arrivals, 30);
    assert!(played.iter().any(|playout| matches!(
        playout,
        Playout::Packet {
            skip: Skip::IfQuiet,
            ..
        }
    )));
}

#[test]
fn a_delay_that_nobody_would_bear_is_shortened_at_once() {
    let arrivals: Vec<_> = (0..30_u32).map(|_| Some(0)).collect();
    let (played, _) = play(&arrivals, 40);
    let now = |playout: &Playout| {
        matches!(
            playout,
            Playout::Packet {
                skip: Skip::Now,
                ..
            }
        )
    };
    let at_once = played.iter().filter(|playout| now(playout)).count();
    // From 580 ms down to the longest target and 120 ms more.
    assert_eq!(at_once, 3);
}

#[test]
fn a_pause_that_the_sender_told_of_is_no_loss() {
    let start = Instant::now();
    let mut buffer = JitterBuffer::new();
    // 200 ms of speech, one sign of silence, a second of nothing, a sign that it goes on, and speech again.
    let speech = Bytes::from_static(b"speech");
    let mut sent: Vec<(u32, Bytes)> = (0..10).map(|at| (at * 20, speech.clone())).collect();
    sent.push((200, Bytes::from_static(b"!")));
    sent.push((600, Bytes::from_static(b"!")));
    sent.extend((0..10).map(|at| (1200 + at * 20, speech.clone())));
    let mut sent = sent.into_iter().zip(0_u16..).peekable();
    let mut played = Vec::new();
    for pull in 0..70_u32 {
        while let Some(((at, data), number)) = sent.next_if(|((at, _), _)| *at <= pull * 20) {
            buffer.push(number, at * 48, data, start + at * MS);
        }
        played.push(buffer.pull());
    }
    let counts = buffer.counts();
    assert_eq!((counts.played, counts.concealed, counts.late), (22, 0, 0));
    assert!(!played[1..].contains(&Playout::Silence));
}

proptest! {
    #[test]
    fn whatever_arrives_is_bounded_and_never_played_twice(
        packets in prop::collection::vec((any::<u16>(), any::<u32>(), 0_u32..2000), 0..300),
    ) {
        let start = Instant::now();
        let mut buffer = JitterBuffer::new();
        let mut seen = std::collections::HashSet::new();
        for (at, (sequence, timestamp, jitter)) in packets.into_iter().enumerate() {
            let unique = Bytes::from((at as u64).to_be_bytes().to_vec());
            buffer.push(sequence, timestamp, unique, start + jitter * MS);
            if let Playout::Packet { data, .. } = buffer.pull() {
                prop_assert!(seen.insert(data));
            }
            prop_assert!(buffer.held.len() <= MOST_PACKETS);
            prop_assert!(buffer.target() <= MOST && buffer.target() >= LEAST);
        }
    }
}
