#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::rtp::vp8::Packetiser;

const MS: Duration = Duration::from_millis(1);

fn frame(number: u8, key_frame: bool, length: usize) -> Vec<u8> {
    let mut frame = vec![number; length];
    frame[0] = if key_frame { 0x10 } else { 0x11 };
    frame
}

/// A key frame and then delta frames of three packets each.
fn stream(frames: u8, first_sequence: u16) -> (Vec<Vec<u8>>, Vec<Packet>) {
    let mut packetiser = Packetiser::new(0);
    let mut sequence = first_sequence;
    let frames: Vec<_> = (0..frames).map(|n| frame(n, n == 0, 3000)).collect();
    let mut packets = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let payloads = packetiser.pack(frame);
        let last = payloads.len() - 1;
        for (at, payload) in payloads.into_iter().enumerate() {
            packets.push(Packet {
                sequence,
                timestamp: number as u32 * 3000,
                marker: at == last,
                payload,
            });
            sequence = sequence.wrapping_add(1);
        }
    }
    (frames, packets)
}

fn popped(assembler: &mut Assembler, now: Instant) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| assembler.pop(now))
        .map(|frame| frame.data.to_vec())
        .collect()
}

#[test]
fn whoever_has_a_key_frame_wishes_for_none() {
    let start = Instant::now();
    let (_, mut packets) = stream(3, 0);
    // What follows a key frame that was never seen, and then one.
    let mut payloads = Packetiser::new(3).pack(&frame(3, true, 900));
    packets.drain(..3);
    packets.push(Packet {
        sequence: 9,
        timestamp: 9000,
        marker: true,
        payload: payloads.remove(0),
    });
    let mut assembler = Assembler::new();
    for packet in packets.drain(..6) {
        assembler.push(packet);
    }
    assert!(popped(&mut assembler, start).is_empty());
    assert!(assembler.take_key_frame_wish());
    assembler.wait_for_key_frame();
    assembler.push(packets.remove(0));
    assert_eq!(popped(&mut assembler, start).len(), 1);
    assert!(!assembler.take_key_frame_wish());
}

#[test]
fn lost_padding_between_two_pictures_is_not_waited_for() {
    let start = Instant::now();
    let (frames, packets) = stream(3, 65_530);
    let mut assembler = Assembler::new();
    for (at, mut packet) in packets.into_iter().enumerate() {
        // Two packets of padding after the first frame, and one more that arrives.
        if at >= 3 {
            packet.sequence = packet.sequence.wrapping_add(3);
        }
        if at == 3 {
            assembler.push(Packet {
                sequence: packet.sequence.wrapping_sub(1),
                timestamp: packet.timestamp,
                marker: false,
                payload: Bytes::new(),
            });
        }
        assembler.push(packet);
    }
    assert_eq!(popped(&mut assembler, start), frames);
    assert_eq!(assembler.counts().gaps, 0);
    assert!(assembler.missing(start + 9 * MS).is_empty());
}

#[test]
fn a_lost_packet_is_asked_for_and_holds_the_frame_until_it_comes() {
    let start = Instant::now();
    let (frames, packets) = stream(3, 65_533);
    let mut assembler = Assembler::new();
    for packet in packets.iter().filter(|packet| packet.sequence != 1) {
        assembler.push(packet.clone());
    }
    assert_eq!(popped(&mut assembler, start), [frames[0].clone()]);
    assert!(assembler.missing(start).is_empty());
    assert_eq!(assembler.due(), Some(start + REORDERING));
    assert_eq!(assembler.missing(start + 9 * MS), [1]);
    assert_eq!(assembler.due(), Some(start + 9 * MS + BETWEEN_REQUESTS));
    assert!(assembler.missing(start + 20 * MS).is_empty());
    assert_eq!(assembler.missing(start + 70 * MS), [1]);
    let lost = packets.iter().find(|packet| packet.sequence == 1).unwrap();
    assembler.push(lost.clone());
    assert_eq!(popped(&mut assembler, start + 80 * MS), frames[1..]);
    let counts = assembler.counts();
    assert_eq!((counts.requested, counts.recovered, counts.gaps), (2, 1, 0));
}

#[test]
fn a_gap_is_given_up_in_time_and_the_next_key_frame_shows_again() {
    let start = Instant::now();
    let (frames, packets) = stream(4, 0);
    let mut assembler = Assembler::new();
    for packet in packets.iter().filter(|packet| packet.sequence != 4) {
        assembler.push(packet.clone());
    }
    assert_eq!(popped(&mut assembler, start).len(), 1);
    assert!(!assembler.take_key_frame_wish());
    assert_eq!(popped(&mut assembler, start + WAIT), Vec::<Vec<u8>>::new());
    assert!(assembler.take_key_frame_wish());
    assert_eq!(assembler.counts().gaps, 1);
    let (_, again) = stream(1, 12);
    for packet in again {
        assembler.push(packet);
    }
    assert_eq!(popped(&mut assembler, start + WAIT + MS), frames[..1]);
}

#[test]
fn a_packet_is_asked_for_only_so_often() {
    let start = Instant::now();
    let (_, packets) = stream(2, 0);
    let mut assembler = Assembler::new();
    for packet in packets.iter().filter(|packet| packet.sequence != 1) {
        assembler.push(packet.clone());
    }
    let asked: usize = (0..100)
        .map(|at| assembler.missing(start + at * 10 * MS).len())
        .sum();
    assert_eq!(asked, usize::from(MOST_REQUESTS));
}

#[test]
fn padding_between_frames_is_passed_over() {
    let now = Instant::now();
    let (frames, packets) = stream(2, 0);
    let mut assembler = Assembler::new();
    for mut packet in packets {
        if packet.sequence == 3 {
            assembler.push(Packet {
                payload: Bytes::new(),
                marker: false,
                ..packet.clone()
            });
        }
        packet.sequence += u16::from(packet.sequence >= 3);
        assembler.push(packet);
    }
    assert_eq!(popped(&mut assembler, now), frames);
}

#[test]
fn a_stream_that_starts_without_a_key_frame_asks_for_one() {
    let (_, packets) = stream(2, 0);
    let mut assembler = Assembler::new();
    for packet in packets.into_iter().skip(3) {
        assembler.push(packet);
    }
    assert_eq!(assembler.pop(Instant::now()), None);
    assert!(assembler.take_key_frame_wish());
}

proptest! {
    #[test]
    fn reordered_and_repeated_packets_give_the_same_frames(
        first: u16,
        swaps in prop::collection::vec((1_usize..24, 1_usize..24), 0..20),
        repeats in prop::collection::vec(0_usize..24, 0..10),
    ) {
        let (frames, mut packets) = stream(8, first);
        for (a, b) in swaps {
            packets.swap(a, b);
        }
        for at in repeats {
            packets.push(packets[at].clone());
        }
        let now = Instant::now();
        let mut assembler = Assembler::new();
        let mut seen = Vec::new();
        for packet in packets {
            assembler.push(packet);
            seen.extend(popped(&mut assembler, now));
        }
        prop_assert_eq!(seen, frames);
    }

    #[test]
    fn whatever_arrives_stays_within_bounds(
        packets in prop::collection::vec((any::<u16>(), any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..20)), 0..300),
    ) {
        let start = Instant::now();
        let mut assembler = Assembler::new();
        for (at, (sequence, timestamp, marker, payload)) in packets.into_iter().enumerate() {
            let now = start + MS * at as u32 * 5;
            assembler.push(Packet { sequence, timestamp, marker, payload: payload.into() });
            prop_assert!(assembler.missing(now).len() <= MOST_MISSING as usize);
            while assembler.pop(now).is_some() {}
            prop_assert!(assembler.held.len() as u64 <= MOST_PACKETS);
        }
    }
}
