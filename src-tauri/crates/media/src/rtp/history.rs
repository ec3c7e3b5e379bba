//! Packets that were sent, kept so that they can be sent again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// About one second of 720p.
const KEPT: usize = 512;
/// A packet that left this long ago is of no use to a receiver any more.
const USEFUL: Duration = Duration::from_secs(1);
/// Two requests at once ask for the same loss. livekit-server lets 20 ms pass between two, of which the way may take some
/// away again.
const PAUSE: Duration = Duration::from_millis(12);

/// The newest packets of one stream. `P` is whatever the transport sends.
pub(crate) struct History<P> {
    sent: VecDeque<Sent<P>>,
}

struct Sent<P> {
    sequence: u16,
    at: Instant,
    again: Option<Instant>,
    packet: P,
}

impl<P: Clone> History<P> {
    pub fn new() -> Self {
        Self {
            sent: VecDeque::with_capacity(KEPT),
        }
    }

    pub fn keep(&mut self, sequence: u16, packet: P, now: Instant) {
        if self.sent.len() == KEPT {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            sequence,
            at: now,
            again: None,
            packet,
        });
    }

    pub fn newest(&self) -> Option<&P> {
        self.sent.back().map(|sent| &sent.packet)
    }

    pub fn all_newest_first(&self) -> impl Iterator<Item = &P> {
        self.sent.iter().rev().map(|sent| &sent.packet)
    }

    /// The packet to send again, unless it is gone, too old, or was repeated a moment ago.
    pub fn again(&mut self, sequence: u16, now: Instant) -> Option<P> {
        let newest = self.sent.back()?.sequence;
        let back = usize::from(newest.wrapping_sub(sequence));
        let at = self.sent.len().checked_sub(back + 1)?;
        let sent = self.sent.get_mut(at)?;
        let recently = |then: Instant| now.saturating_duration_since(then) < PAUSE;
        if sent.sequence != sequence
            || now.saturating_duration_since(sent.at) > USEFUL
            || sent.again.is_some_and(recently)
        {
            return None;
        }
        sent.again = Some(now);
        Some(sent.packet.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_repeated_once_per_request_and_only_while_it_helps() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut history = History::new();
        for sequence in 65_530..=65_535 {
            history.keep(sequence, sequence, start);
        }
        history.keep(0, 0, start);
        assert_eq!(history.again(65_533, after(30)), Some(65_533));
        assert_eq!(history.again(65_533, after(41)), None);
        assert_eq!(history.again(65_533, after(43)), Some(65_533));
        assert_eq!(history.again(0, after(1001)), None);
        assert_eq!(history.again(1, after(30)), None);
        assert_eq!(history.again(65_529, after(30)), None);
    }

    #[test]
    fn the_oldest_give_way() {
        let now = Instant::now();
        let mut history = History::new();
        for sequence in 0..=u16::try_from(KEPT).unwrap_or(u16::MAX) {
            history.keep(sequence, sequence, now);
        }
        assert_eq!(history.again(0, now), None);
        assert_eq!(history.again(1, now), Some(1));
    }
}
