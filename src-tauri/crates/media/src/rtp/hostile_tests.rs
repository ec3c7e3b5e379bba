//! RTP packets, VP8 descriptors and the SDP lines that we read ourselves, damaged.

use std::time::Instant;

use bytes::Bytes;
use proptest::prelude::*;
use rtc::shared::marshal::Unmarshal as _;

use super::assembler::Assembler;
use super::{Packet, sdp, vp8};
use crate::hostile::{Entry, bound, corpus, damaged, expect, peak};

/// What becomes of a datagram that was opened: as `transport::receive` does it.
fn take(datagram: &[u8], assembler: &mut Assembler) -> bool {
    let mut bytes = Bytes::copy_from_slice(datagram);
    let Ok(packet) = rtc::rtp::Packet::unmarshal(&mut bytes) else {
        return false;
    };
    let part = vp8::unpack(&packet.payload);
    assembler.push(Packet {
        sequence: packet.header.sequence_number,
        timestamp: packet.header.timestamp,
        marker: packet.header.marker,
        payload: packet.payload,
    });
    part.is_some()
}

fn size(frame: &[u8]) -> bool {
    vp8::size(frame).is_some()
}

#[test]
fn each_packet_of_the_corpus_is_read_as_its_name_says() {
    expect("rtp", |datagram| take(datagram, &mut Assembler::new()));
    expect("vp8", size);
    let answers = corpus("answer");
    let sources = |entry: &Entry| {
        let text = String::from_utf8_lossy(&entry.bytes);
        sdp::sections_of_sources(&text).len()
    };
    assert!(answers.iter().any(|entry| sources(entry) > 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_packets_are_refused_or_taken_within_bounds(
        datagrams in prop::collection::vec(damaged("rtp"), 1..12),
    ) {
        let length: usize = datagrams.iter().map(Vec::len).sum();
        let took = peak(|| {
            let now = Instant::now();
            let mut assembler = Assembler::new();
            for datagram in &datagrams {
                take(datagram, &mut assembler);
                assembler.missing(now);
                while assembler.pop(now).is_some() {}
            }
            assembler
        });
        prop_assert!(took <= bound(length), "{took} bytes for {length}");
    }

    #[test]
    fn damaged_frames_have_a_size_or_none(frame in damaged("vp8")) {
        if size(&frame) {
            prop_assert!(vp8::is_key_frame(&frame));
        }
        vp8::unpack(&Bytes::from(frame));
    }

    #[test]
    fn the_sections_of_a_damaged_answer_are_bounded(text in damaged("answer")) {
        let text = String::from_utf8_lossy(&text).into_owned();
        let took = peak(|| sdp::sections_of_sources(&text));
        prop_assert!(took <= bound(text.len()), "{took} bytes for {}", text.len());
    }
}
