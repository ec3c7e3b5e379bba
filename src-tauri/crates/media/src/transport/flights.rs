//! Which packets of a DTLS handshake to send again, and when. No sockets, no clock.
//!
//! The stack stops its own timer as soon as *anything* of the handshake arrives, also when that is only the other
//! side's repeat of what it sent before: then neither side says anything new and the handshake hangs for ever. One of
//! our packets in five lost means one join in five. So the flight that we sent last (RFC 6347 §4.2.4) is sent again
//! from here, packet by packet as it was, until the other side has answered it. For the other side that is a network
//! that doubles packets: what it has already, its replay window drops (§4.1.2.6).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Before the first repeat; each further pause is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(60);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// A flight that was repeated this often, over about three seconds, has nobody to read it.
const MOST_REPEATS: u32 = 14;
/// The packets of a flight leave together: one that comes this much later begins a new flight.
const TOGETHER: Duration = Duration::from_millis(20);
/// A flight has one to four packets; a certificate chain may have more.
const MOST_PACKETS: usize = 16;

/// What the first byte of a packet says about it (RFC 7983 §7, RFC 6347 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Part of a handshake.
    Handshake,
    /// Only sent by somebody whose handshake is complete: data, RTP or RTCP.
    Media,
    Other,
}

impl Kind {
    fn of(packet: &[u8]) -> Self {
        match packet.first() {
            // change_cipher_spec, handshake
            Some(20 | 22) => Self::Handshake,
            // application_data; RTP and RTCP
            Some(23 | 128..=191) => Self::Media,
            _ => Self::Other,
        }
    }
}

/// The last flight that we sent on one socket.
#[derive(Debug, Default)]
pub(super) struct Flights {
    packets: Vec<(SocketAddr, Bytes)>,
    sent: Option<Instant>,
    /// The other side said something since.
    answered: bool,
    repeats: u32,
    next: Option<Instant>,
}

impl Flights {
    /// Takes note of a packet that leaves. True when [`Flights::due`] has a new answer.
    pub fn sent(&mut self, to: SocketAddr, packet: &[u8], now: Instant) -> bool {
        if Kind::of(packet) != Kind::Handshake {
            return false;
        }
        let late = |sent| now.saturating_duration_since(sent) > TOGETHER;
        if self.answered || self.sent.is_none_or(late) {
            *self = Self::default();
            self.next = Some(now + FIRST_PAUSE);
        }
        self.sent = Some(now);
        if self.packets.len() < MOST_PACKETS {
            self.packets.push((to, Bytes::copy_from_slice(packet)));
        }
        true
    }

    /// Takes note of a packet that arrived.
    pub fn received(&mut self, packet: &[u8]) {
        match Kind::of(packet) {
            Kind::Handshake => self.answered = true,
            Kind::Media if self.sent.is_some() => *self = Self::default(),
            Kind::Media | Kind::Other => {}
        }
    }

    /// When to ask for [`Flights::repeat`].
    pub fn due(&self) -> Option<Instant> {
        self.next
    }

    /// The packets to send again now.
    pub fn repeat(&mut self, now: Instant) -> Vec<(SocketAddr, Bytes)> {
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        self.repeats += 1;
        let pause = FIRST_PAUSE.mul_f64(1.5_f64.powi(self.repeats.min(16).cast_signed()));
        let again = self.repeats < MOST_REPEATS;
        self.next = again.then(|| now + pause.min(LONGEST_PAUSE));
        self.packets.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const HELLO: &[u8] = &[22, 254, 253, 1];
    const DONE: &[u8] = &[22, 254, 253, 2];
    const DATA: &[u8] = &[23, 254, 253];
    const RTP: &[u8] = &[0x80, 96];
    const STUN: &[u8] = &[0, 1];

    fn peer() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 7))
    }

    fn after(began: Instant, milliseconds: u64) -> Instant {
        began + Duration::from_millis(milliseconds)
    }

    fn contents(packets: Vec<(SocketAddr, Bytes)>) -> Vec<Bytes> {
        packets.into_iter().map(|(_, packet)| packet).collect()
    }

    #[test]
    fn a_flight_that_nobody_answers_is_repeated_whole_and_not_for_ever() {
        let began = Instant::now();
        let mut flights = Flights::default();
        assert!(flights.sent(peer(), HELLO, began));
        assert!(flights.sent(peer(), DONE, began));
        assert_eq!(flights.repeat(after(began, 59)), []);
        let mut repeats = 0;
        while let Some(due) = flights.due() {
            assert!(due <= after(began, 4_000));
            assert_eq!(contents(flights.repeat(due)), [HELLO, DONE]);
            repeats += 1;
        }
        assert_eq!(repeats, MOST_REPEATS);
    }

    #[test]
    fn the_other_sides_repeat_does_not_stop_ours() {
        let began = Instant::now();
        let mut flights = Flights::default();
        flights.sent(peer(), HELLO, began);
        flights.received(HELLO);
        assert_eq!(contents(flights.repeat(after(began, 60))), [HELLO]);
    }

    #[test]
    fn the_next_flight_takes_the_place_of_the_one_before() {
        let began = Instant::now();
        let mut flights = Flights::default();
        flights.sent(peer(), HELLO, began);
        flights.received(HELLO);
        flights.sent(peer(), DONE, after(began, 1));
        assert_eq!(contents(flights.repeat(after(began, 61))), [DONE]);
        // The stack's own repeat, too.
        flights.sent(peer(), DONE, after(began, 1_000));
        assert_eq!(contents(flights.repeat(after(began, 1_060))), [DONE]);
    }

    #[test]
    fn media_of_the_other_side_ends_the_handshake() {
        for media in [DATA, RTP] {
            let began = Instant::now();
            let mut flights = Flights::default();
            flights.sent(peer(), DONE, began);
            flights.received(STUN);
            assert!(flights.due().is_some());
            flights.received(media);
            assert_eq!(flights.due(), None);
        }
    }

    #[test]
    fn what_is_no_handshake_is_never_repeated() {
        let mut flights = Flights::default();
        for packet in [DATA, RTP, STUN, &[]] {
            assert!(!flights.sent(peer(), packet, Instant::now()));
        }
        assert_eq!(flights.due(), None);
    }

    proptest! {
        #[test]
        fn memory_and_repeats_are_bounded_whatever_passes(
            packets in proptest::collection::vec((any::<bool>(), any::<Vec<u8>>(), 0_u64..200), 0..100)
        ) {
            let mut now = Instant::now();
            let mut flights = Flights::default();
            for (leaves, packet, pause) in packets {
                now = after(now, pause);
                if leaves {
                    flights.sent(peer(), &packet, now);
                } else {
                    flights.received(&packet);
                }
                prop_assert!(flights.repeat(now).len() <= MOST_PACKETS);
            }
            for _ in 0..MOST_REPEATS {
                if let Some(due) = flights.due() {
                    flights.repeat(due);
                }
            }
            prop_assert_eq!(flights.due(), None);
        }
    }
}
