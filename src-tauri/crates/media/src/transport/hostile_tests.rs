//! RTCP packets, answers and candidates, damaged, as the stack and we read them.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use proptest::prelude::*;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use tokio::sync::mpsc;

use super::uplink::Uplink;
use super::{Detours, Network, Relay, RtcTransport, Transport as _};
use crate::hostile::{bound, corpus, damaged, expect, foreign_panics, peak};
use crate::incoming::Incoming;

/// Requests that one datagram can hold, each for 17 packets.
const MOST_WANTED: usize = 17 * 400;
/// In an offer at a join: three for sound, three for pictures, and data.
const SECTIONS: usize = 7;

/// What becomes of feedback: as `interceptors` and `send` do it.
fn take(datagram: &[u8], uplink: &Uplink) -> Option<usize> {
    let mut bytes = Bytes::copy_from_slice(datagram);
    let packets = rtc::rtcp::packet::unmarshal(&mut bytes).ok()?;
    let mut wanted = 0;
    for packet in &packets {
        if let Some(report) = packet.as_any().downcast_ref::<TransportLayerCc>() {
            uplink.report(report, Instant::now());
        }
        if let Some(nack) = packet.as_any().downcast_ref::<TransportLayerNack>() {
            wanted += nack.nacks.iter().flat_map(NackPair::packet_list).count();
        }
    }
    Some(wanted)
}

#[test]
fn each_report_of_the_corpus_is_read_as_its_name_says() {
    expect("rtcp", |datagram| take(datagram, &Uplink::new()).is_some());
}

/// An answer to what we offer at a join.
async fn answer(text: &str) -> bool {
    let (sender, _events) = mpsc::channel(64);
    let incoming = Arc::new(Incoming::new(None));
    let network = Network::loopback();
    let detours = Detours::default();
    let transport = RtcTransport::new(&network, &detours, incoming, sender);
    let transport = Box::pin(transport).await.unwrap();
    transport.add_receivers(3, 3).await.unwrap();
    transport.offer(false).await.unwrap();
    let answered = transport.answer(text).await.is_ok();
    let candidate = serde_json::json!({ "candidate": text, "sdpMid": "0" });
    let _ = transport.add_candidate(&candidate.to_string()).await;
    let _ = transport.add_candidate(text).await;
    transport.close().await;
    answered
}

#[test]
fn each_answer_of_the_corpus_is_taken_by_the_stack() {
    let before = foreign_panics();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut taken = 0;
    for entry in corpus("answer").iter().filter(|entry| !entry.is_bad()) {
        let text = String::from_utf8_lossy(&entry.bytes);
        // Of a later answer there are more sections than we offer here.
        if text.matches("\nm=").count() == SECTIONS {
            assert!(runtime.block_on(answer(&text)), "{}", entry.name);
            taken += 1;
        }
    }
    assert!(taken > 1);
    assert_eq!(foreign_panics(), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_reports_are_refused_or_taken_within_bounds(
        datagrams in prop::collection::vec(damaged("rtcp"), 1..8),
    ) {
        let uplink = Uplink::new();
        for _ in 0..20 {
            uplink.sent(1000, false);
        }
        for datagram in &datagrams {
            let mut wanted = None;
            let took = peak(|| wanted = take(datagram, &uplink));
            // A report says with two bytes that thousands of packets did not arrive.
            prop_assert!(took <= bound(datagram.len()) + (4 << 20), "{took} bytes");
            prop_assert!(wanted.unwrap_or_default() <= MOST_WANTED);
        }
        prop_assert!(uplink.known_rate() <= 1_000_000_000);
    }
}

proptest! {
    // Each has sockets of its own, and takes some milliseconds.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_damaged_answer_is_refused_or_taken_and_panics_nobody(text in damaged("answer")) {
        let before = foreign_panics();
        let text = String::from_utf8_lossy(&text).into_owned();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(answer(&text));
        drop(runtime);
        prop_assert_eq!(foreign_panics(), before);
    }
}

proptest! {
    #[test]
    fn a_relay_of_a_damaged_name_is_one_or_none(url in damaged("relay")) {
        let url = String::from_utf8_lossy(&url);
        Relay::offered(&url, "name", "word");
    }
}

#[test]
fn each_relay_of_the_corpus_is_read_as_its_name_says() {
    expect("relay", |url| {
        Relay::offered(&String::from_utf8_lossy(url), "name", "word").is_some()
    });
}
