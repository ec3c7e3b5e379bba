//! A minute of 720p over lines that lose packets, with a server that repeats them as livekit-server does.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::rtp::vp8::Packetiser;

const MS: Duration = Duration::from_millis(1);
const MINUTE: u64 = 60_000;
/// Bytes: seven packets, or forty, as at 1.7 Mbit/s.
const FRAME: usize = 7_000;
const KEY_FRAME: usize = 40_000;

/// What arrives then.
type Way<T> = Vec<(u64, T)>;

/// Round trip and the share of packets that are lost each way.
struct Line {
    half: u64,
    lost: f64,
    chance: StdRng,
}

impl Line {
    fn pass<T>(&mut self, way: &mut Way<T>, now: u64, what: T) {
        if !self.chance.random_bool(self.lost) {
            way.push((now + self.half, what));
        }
    }
}

fn arrived<T>(way: &mut Way<T>, now: u64) -> Vec<T> {
    way.extract_if(.., |(at, _)| *at <= now)
        .map(|(_, what)| what)
        .collect()
}

enum Feedback {
    Nack(Vec<u16>),
    Pli,
}

/// What it knows of a packet: when it sent it last, and how often again.
struct Kept {
    packet: Packet,
    last: u64,
    repeats: u8,
}

/// `sfu/sequencer` and `sfu/downtrack`.
struct Server {
    packetiser: Packetiser,
    kept: Vec<Kept>,
    /// In milliseconds, while it does not listen after it sent a packet.
    deaf: u64,
    key_frame_wanted: bool,
    repeats_nothing: bool,
}

impl Server {
    fn picture(&mut self, now: u64) -> Vec<Packet> {
        let key_frame = std::mem::take(&mut self.key_frame_wanted);
        self.repeats_nothing &= !key_frame;
        let mut frame = vec![1; if key_frame { KEY_FRAME } else { FRAME }];
        frame[0] = if key_frame { 0x10 } else { 0x11 };
        let payloads = self.packetiser.pack(&frame);
        let last = payloads.len() - 1;
        let from = self.kept.len();
        for (at, payload) in payloads.into_iter().enumerate() {
            let packet = Packet {
                sequence: u16::try_from(self.kept.len() & 0xffff).unwrap(),
                timestamp: u32::try_from(now * 90).unwrap(),
                marker: at == last,
                payload,
            };
            self.kept.push(Kept {
                packet,
                last: now,
                repeats: 0,
            });
        }
        let sent = self.kept[from..].iter();
        sent.map(|kept| kept.packet.clone()).collect()
    }

    fn again(&mut self, sequence: u16, now: u64) -> Option<Packet> {
        let deaf = self.deaf;
        // The newest one with this number.
        let newest = self.kept.len().checked_sub(1)?;
        let back = (newest & 0xffff).wrapping_sub(sequence.into()) & 0xffff;
        let kept = self.kept.get_mut(newest.checked_sub(back)?)?;
        if self.repeats_nothing || kept.repeats == 3 || now - kept.last <= deaf {
            return None;
        }
        kept.repeats += 1;
        kept.last = now;
        Some(kept.packet.clone())
    }
}

#[derive(Debug)]
struct Seen {
    pictures: u64,
    /// Pauses over 150 ms, each less 33 ms.
    frozen: Duration,
    requested: u64,
    lost: u64,
}

/// `known`: the server knows how long a round trip takes.
fn minute(round_trip: u64, known: bool, lost: f64, seed: u64) -> Seen {
    let mut line = Line {
        half: round_trip / 2,
        lost,
        chance: StdRng::seed_from_u64(seed),
    };
    let mut server = Server {
        packetiser: Packetiser::new(7),
        kept: Vec::new(),
        deaf: if known { 100.min(2 * round_trip) } else { 100 },
        key_frame_wanted: true,
        repeats_nothing: false,
    };
    let start = Instant::now();
    let mut assembler = Assembler::new();
    let (mut down, mut up) = (Way::new(), Way::new());
    let (mut shown, mut asked): (Vec<u64>, Option<u64>) = Default::default();
    for now in 0..MINUTE {
        if now * 30 / 1000 != (now + 1) * 30 / 1000 {
            for packet in server.picture(now) {
                line.pass(&mut down, now, packet);
            }
        }
        for feedback in arrived(&mut up, now) {
            match feedback {
                Feedback::Pli => {
                    server.key_frame_wanted = true;
                    server.repeats_nothing = true;
                }
                Feedback::Nack(wanted) => {
                    for sequence in wanted {
                        if let Some(packet) = server.again(sequence, now) {
                            line.pass(&mut down, now, packet);
                        }
                    }
                }
            }
        }
        let at = start + MS * u32::try_from(now).unwrap();
        let packets = arrived(&mut down, now);
        if packets.is_empty() && assembler.due().is_none_or(|due| due > at) {
            continue;
        }
        for packet in packets {
            assembler.push(packet);
        }
        let missing = assembler.missing(at);
        if !missing.is_empty() {
            line.pass(&mut up, now, Feedback::Nack(missing));
        }
        while assembler.pop(at).is_some() {
            shown.push(now);
        }
        // The caller asks so often at most, see `transport::receive`.
        let rested = asked.is_none_or(|asked| now - asked >= 300);
        if rested && !assembler.key_frame_is_coming() && assembler.take_key_frame_wish() {
            asked = Some(now);
            line.pass(&mut up, now, Feedback::Pli);
        }
        assert!(assembler.due().is_none_or(|due| due > at), "it is not idle");
    }
    let pauses = shown.windows(2).map(|pair| pair[1] - pair[0]);
    let frozen: u64 = pauses.filter(|ms| *ms > 150).map(|ms| ms - 33).sum();
    Seen {
        pictures: shown.len() as u64,
        frozen: Duration::from_millis(frozen),
        requested: assembler.counts().requested,
        lost: assembler.counts().gaps,
    }
}

/// The mean of four.
fn frozen(round_trip: u64, known: bool, lost: f64) -> Duration {
    let minutes: Vec<_> = (0..4)
        .map(|seed| minute(round_trip, known, lost, seed))
        .collect();
    println!("{round_trip} ms, known: {known}, {lost}: {minutes:?}");
    minutes.iter().map(|seen| seen.frozen).sum::<Duration>() / 4
}

#[test]
fn nothing_is_asked_for_where_nothing_is_lost() {
    let seen = minute(20, true, 0.0, 1);
    assert!(seen.pictures >= 1798, "{seen:?}");
    assert_eq!((seen.requested, seen.lost), (0, 0));
    assert_eq!(seen.frozen, Duration::ZERO);
}

#[test]
fn pictures_hardly_ever_stand_still_while_every_twentieth_packet_is_lost_each_way() {
    for round_trip in [2, 10, 20] {
        let frozen = frozen(round_trip, true, 0.05);
        assert!(
            frozen <= Duration::from_millis(500),
            "{round_trip}: {frozen:?}"
        );
    }
}

/// What is left is the server's: it lets two round trips pass before each of its repeats.
#[test]
fn on_longer_ways_they_stand_still_for_no_longer_than_the_server_makes_them() {
    for (round_trip, seconds) in [(40, 5), (100, 10)] {
        let frozen = frozen(round_trip, true, 0.05);
        assert!(
            frozen <= Duration::from_secs(seconds),
            "{round_trip}: {frozen:?}"
        );
    }
}

#[test]
fn a_server_that_is_deaf_for_long_is_heard_as_soon_as_it_listens() {
    let frozen = frozen(2, false, 0.05);
    assert!(frozen <= Duration::from_secs(8), "{frozen:?}");
}

#[test]
fn a_whole_key_frame_is_shown_although_something_before_it_is_missing() {
    let now = Instant::now();
    let mut packetiser = Packetiser::new(0);
    let mut assembler = Assembler::new();
    let push = |packetiser: &mut Packetiser, assembler: &mut Assembler, sequence, first| {
        let mut payloads = packetiser.pack(&[first, 1, 2]);
        assembler.push(Packet {
            sequence,
            timestamp: 0,
            marker: true,
            payload: payloads.pop().unwrap_or_default(),
        });
    };
    push(&mut packetiser, &mut assembler, 1, 0x10);
    // Numbers of packets and pictures alike say that one is missing.
    packetiser.pack(&[0x11]);
    push(&mut packetiser, &mut assembler, 3, 0x11);
    assert!(assembler.pop(now).is_some_and(|frame| frame.key_frame));
    assert_eq!(assembler.pop(now), None);
    push(&mut packetiser, &mut assembler, 4, 0x10);
    assert!(assembler.key_frame_is_coming());
    assert!(assembler.pop(now).is_some_and(|frame| frame.key_frame));
    assert!(!assembler.key_frame_is_coming());
    assert!(!assembler.take_key_frame_wish());
    assert_eq!(assembler.due(), None);
}
