//! What is known about the way to the server: every packet that leaves gets a number of its own, and the server's
//! reports (draft-holmer-rmcat-transport-wide-cc-extensions-01) tell when each of them arrived.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, SymbolTypeTcc, TransportLayerCc,
};

use crate::rate::{Estimate, Ledger, Repeats};

/// Of IP, UDP, RTP with extensions, and the seal.
const HEADERS: usize = 28 + 28 + 10;

#[derive(Debug)]
pub(super) struct Uplink {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    estimate: Estimate,
    repeats: Repeats,
    /// Bits per second that we would like to send.
    wanted: f64,
    reported: bool,
}

impl Uplink {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                ledger: Ledger::default(),
                estimate: Estimate::new(),
                repeats: Repeats::new(),
                wanted: 0.0,
                reported: false,
            }),
        }
    }

    /// The number that a packet with this payload has to carry.
    pub fn sent(&self, payload: usize, probe: bool) -> u16 {
        let mut state = self.state();
        state.ledger.sent(payload + HEADERS, probe, Instant::now())
    }

    pub fn report(&self, report: &TransportLayerCc, now: Instant) {
        let mut state = self.state();
        let arrivals = state
            .ledger
            .reported(report.base_sequence_number, arrivals(report).into_iter());
        if !arrivals.is_empty() {
            state.reported = true;
            state.estimate.report(&arrivals, now);
        }
    }

    /// Whether a packet with this payload may go again now.
    pub fn may_repeat(&self, payload: usize) -> bool {
        let mut state = self.state();
        let rate = state.estimate.rate();
        state.repeats.allow(payload + HEADERS, rate, Instant::now())
    }

    /// Bits per second that the way carries; `None` while the server has not reported. `wanted` is what we would send
    /// without limit.
    pub fn rate(&self, wanted: f64) -> Option<f64> {
        let mut state = self.state();
        state.wanted = wanted;
        state.reported.then(|| state.estimate.rate())
    }

    /// For statistics; 0 while nothing is known.
    pub fn known_rate(&self) -> u64 {
        let state = self.state();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rate = state.estimate.rate() as u64;
        if state.reported { rate } else { 0 }
    }

    /// Bytes to send again now, to find out what fits.
    pub fn probe(&self) -> Option<usize> {
        let mut state = self.state();
        let wanted = state.wanted;
        let reported = state.reported;
        reported
            .then(|| state.estimate.probe(wanted, Instant::now()))
            .flatten()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For each packet of the report when it arrived, in microseconds of the server's clock.
fn arrivals(report: &TransportLayerCc) -> Vec<Option<i64>> {
    let mut clock = i64::from(report.reference_time) * 64_000;
    let mut deltas = report.recv_deltas.iter();
    let mut arrivals = Vec::new();
    let symbols = report.packet_chunks.iter().flat_map(|chunk| match chunk {
        PacketStatusChunk::RunLengthChunk(run) => {
            vec![run.packet_status_symbol; run.run_length.into()]
        }
        PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
    });
    for symbol in symbols.take(report.packet_status_count.into()) {
        arrivals.push(match symbol {
            SymbolTypeTcc::PacketReceivedSmallDelta | SymbolTypeTcc::PacketReceivedLargeDelta => {
                // A report that is cut short says nothing about the rest.
                let Some(delta) = deltas.next() else { break };
                clock = clock.saturating_add(delta.delta);
                Some(clock)
            }
            SymbolTypeTcc::PacketReceivedWithoutDelta => Some(clock),
            SymbolTypeTcc::PacketNotReceived => None,
        });
    }
    arrivals
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;
    use proptest::prelude::*;
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
        RecvDelta, RunLengthChunk, StatusChunkTypeTcc,
    };
    use rtc::shared::marshal::Unmarshal as _;

    use super::*;

    fn run(symbol: SymbolTypeTcc, length: u16) -> PacketStatusChunk {
        PacketStatusChunk::RunLengthChunk(RunLengthChunk {
            type_tcc: StatusChunkTypeTcc::RunLengthChunk,
            packet_status_symbol: symbol,
            run_length: length,
        })
    }

    #[test]
    fn a_report_tells_which_packets_arrived_and_when() {
        let report = TransportLayerCc {
            base_sequence_number: 0,
            packet_status_count: 4,
            reference_time: 2,
            packet_chunks: vec![
                run(SymbolTypeTcc::PacketReceivedSmallDelta, 2),
                run(SymbolTypeTcc::PacketNotReceived, 1),
                run(SymbolTypeTcc::PacketReceivedLargeDelta, 9),
            ],
            recv_deltas: [250, 500, -250]
                .map(|delta| RecvDelta {
                    type_tcc_packet: SymbolTypeTcc::PacketReceivedLargeDelta,
                    delta,
                })
                .to_vec(),
            ..TransportLayerCc::default()
        };
        let expected = [Some(128_250), Some(128_750), None, Some(128_500)];
        assert_eq!(arrivals(&report), expected);
    }

    proptest! {
        #[test]
        fn whatever_is_a_report_is_read_without_harm(mut bytes: Vec<u8>, count: u8) {
            bytes.splice(0..0, [0x8f, 205, 0, count]);
            let read = TransportLayerCc::unmarshal(&mut Bytes::from(bytes));
            let uplink = Uplink::new();
            uplink.sent(100, false);
            if let Ok(report) = read {
                prop_assert!(arrivals(&report).len() <= usize::from(report.packet_status_count));
                uplink.report(&report, Instant::now());
            }
        }
    }
}
