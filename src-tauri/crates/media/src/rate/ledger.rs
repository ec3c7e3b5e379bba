//! Packets that left, until the server tells what became of them.

use std::collections::VecDeque;
use std::time::Instant;

/// Two seconds of all layers; older ones are told about no more.
const KEPT: usize = 1024;

#[derive(Debug)]
struct Sent {
    number: u16,
    at: Instant,
    bytes: usize,
    probe: bool,
}

/// What became of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub sent: Instant,
    pub bytes: usize,
    /// Sent to find out how much fits, with others of its kind at once.
    pub probe: bool,
    /// When it arrived, in microseconds of the server's clock; `None` when it did not.
    pub arrived: Option<i64>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: u16,
    sent: VecDeque<Sent>,
}

impl Ledger {
    /// The number that the packet has to carry.
    pub fn sent(&mut self, bytes: usize, probe: bool, at: Instant) -> u16 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        if self.sent.len() == KEPT {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            number,
            at,
            bytes,
            probe,
        });
        number
    }

    /// Takes a report: the first number, and for each packet from there when it arrived. A packet is told about once;
    /// packets before those of the report are forgotten.
    pub fn reported(
        &mut self,
        first: u16,
        arrivals: impl Iterator<Item = Option<i64>>,
    ) -> Vec<Arrival> {
        let Some(oldest) = self.sent.front().map(|sent| sent.number) else {
            return Vec::new();
        };
        let start = first.wrapping_sub(oldest);
        // A report about what we do not know any more, or about what we never sent.
        if usize::from(start) >= self.sent.len() {
            return Vec::new();
        }
        self.sent.drain(..usize::from(start));
        arrivals
            .take(KEPT)
            .map_while(|arrived| {
                let sent = self.sent.pop_front()?;
                Some(Arrival {
                    sent: sent.at,
                    bytes: sent.bytes,
                    probe: sent.probe,
                    arrived,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_packet_is_told_about_once_also_when_numbers_wrap() {
        let now = Instant::now();
        let mut ledger = Ledger {
            next: u16::MAX,
            ..Ledger::default()
        };
        let numbers: Vec<_> = (1..=4).map(|size| ledger.sent(size, false, now)).collect();
        assert_eq!(numbers, [u16::MAX, 0, 1, 2]);
        let told = |arrivals: Vec<Arrival>| -> Vec<_> {
            arrivals.iter().map(|a| (a.bytes, a.arrived)).collect()
        };
        let first = ledger.reported(u16::MAX, [Some(7), None].into_iter());
        assert_eq!(told(first), [(1, Some(7)), (2, None)]);
        assert_eq!(ledger.reported(u16::MAX, [Some(7), None].into_iter()), []);
        let second = ledger.reported(2, [Some(9), Some(9)].into_iter());
        assert_eq!(told(second), [(4, Some(9))]);
    }

    proptest! {
        #[test]
        fn no_report_tells_more_than_was_sent(
            packets in 0_usize..2000,
            reports: Vec<(u16, u16)>,
        ) {
            let now = Instant::now();
            let mut ledger = Ledger::default();
            for _ in 0..packets {
                ledger.sent(1, false, now);
            }
            let told: usize = reports
                .into_iter()
                .map(|(first, count)| {
                    ledger.reported(first, std::iter::repeat_n(Some(0), count.into())).len()
                })
                .sum();
            prop_assert!(told <= packets.min(KEPT));
        }
    }
}
