//! Segments that no honest side would send: nothing panics, no buffer grows without bound, and
//! what was received stays what was sent.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use smoltcp::wire::TcpControl;

use super::connection::{Connection, Limits, State};
use super::segment::{Header, Segment, Timestamp};
use super::testing::Packets;
use super::time::Time;

const INITIAL: u32 = 1_000_000;
const THEIR_INITIAL: u32 = u32::MAX - 2000;

/// A step of an attacker who knows ports and roughly the numbers.
#[derive(Debug, Clone)]
enum Step {
    Segment(Segment),
    Wait(u32),
    Write(u16),
    Read(u16),
    Close,
    Abandon,
    Nudge,
    Mtu(u16),
    Complaint(u16, i16),
}

fn near(middle: u32) -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => (-3000_i32..3000).prop_map(move |off| middle.wrapping_add(off.cast_unsigned())),
        1 => (-10_000_000_i32..10_000_000)
            .prop_map(move |off| middle.wrapping_add(off.cast_unsigned())),
        1 => any::<u32>(),
    ]
}

fn segments() -> impl Strategy<Value = Segment> {
    let control = prop_oneof![
        6 => Just(TcpControl::None),
        2 => Just(TcpControl::Psh),
        1 => Just(TcpControl::Syn),
        1 => Just(TcpControl::Fin),
        1 => Just(TcpControl::Rst),
    ];
    let ranges = prop::collection::vec((near(INITIAL), near(INITIAL)), 0..4);
    (
        control,
        near(THEIR_INITIAL),
        prop::option::weighted(0.9, near(INITIAL)),
        any::<u16>(),
        any::<Option<u16>>(),
        prop::option::of(0_u8..20),
        any::<bool>(),
        prop::option::weighted(0.6, (near(7), near(0))),
        ranges,
        0_usize..2000,
    )
        .prop_map(
            |(control, sequence, acknowledgement, window, mss, scale, sack, stamp, ranges, len)| {
                Segment {
                    header: Header {
                        control,
                        sequence,
                        acknowledgement,
                        window,
                        mss,
                        window_scale: scale,
                        sack_permitted: sack,
                        timestamp: stamp.map(|(value, echo)| Timestamp { value, echo }),
                        sack: std::array::from_fn(|at| ranges.get(at).copied()),
                    },
                    payload: Bytes::from(vec![7; len]),
                }
            },
        )
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => segments().prop_map(Step::Segment),
        3 => (0_u32..100_000).prop_map(Step::Wait),
        1 => (0_u32..400_000_000).prop_map(Step::Wait),
        3 => any::<u16>().prop_map(Step::Write),
        3 => any::<u16>().prop_map(Step::Read),
        1 => Just(Step::Nudge),
        1 => any::<u16>().prop_map(Step::Mtu),
        1 => (any::<u16>(), any::<i16>()).prop_map(|(size, off)| Step::Complaint(size, off)),
        1 => prop_oneof![Just(Step::Close), Just(Step::Abandon)],
    ]
}

fn addresses() -> (SocketAddr, SocketAddr) {
    (
        "10.0.0.1:40000".parse().unwrap(),
        "10.0.0.2:80".parse().unwrap(),
    )
}

/// An open connection whose numbers are known.
fn opened(now: Time, out: &mut Packets) -> Connection {
    let (ours, theirs) = addresses();
    let limits = Limits {
        mtu: 1420,
        receive: 1 << 20,
        send: 1 << 20,
    };
    let mut connection = Connection::connect(ours, theirs, limits, INITIAL, 0, now);
    connection.poll(now, out);
    let header = Header {
        control: TcpControl::Syn,
        sequence: THEIR_INITIAL,
        acknowledgement: Some(INITIAL + 1),
        window: 60_000,
        mss: Some(1380),
        window_scale: Some(7),
        sack_permitted: true,
        timestamp: Some(Timestamp { value: 7, echo: 0 }),
        sack: [None; 3],
    };
    connection.arrived(
        Segment {
            header,
            payload: Bytes::new(),
        },
        now,
    );
    connection.poll(now, out);
    assert_eq!(connection.state(), State::Established);
    connection
}

fn take(connection: &mut Connection, out: &mut Packets, now: &mut Time, step: Step) {
    match step {
        Step::Segment(segment) => connection.arrived(segment, *now),
        Step::Wait(pause) => {
            // At most a few timers: an attacker has no say in how often they ring.
            let end = *now + Duration::from_micros(pause.into());
            for _ in 0..50 {
                match connection.deadline().filter(|at| *at <= end) {
                    Some(at) => *now = (*now).max(at),
                    None => break,
                }
                connection.poll(*now, out);
                out.made.clear();
            }
            *now = (*now).max(end);
        }
        Step::Write(count) => {
            let _ = connection.write(&vec![1; count.into()]);
        }
        Step::Read(count) => {
            if connection.is_readable() {
                let _ = connection.read(&mut vec![0; count.into()], *now);
            }
        }
        Step::Close => connection.close(),
        Step::Abandon => connection.abandon(*now),
        Step::Nudge => connection.nudge(*now),
        Step::Mtu(mtu) => connection.set_mtu(usize::from(mtu).max(crate::config::MTU_MIN)),
        Step::Complaint(size, off) => {
            let sequence = INITIAL.wrapping_add_signed(off.into());
            connection.complained(crate::icmp::ComplaintKind::TooBig(size.into()), sequence);
        }
    }
    connection.poll(*now, out);
    assert!(
        out.made.len() < 5000,
        "one event made {} packets",
        out.made.len()
    );
    out.made.clear();
    if let Some(deadline) = connection.deadline() {
        assert!(deadline > *now, "a deadline that passed would spin");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn an_open_connection_takes_any_sequence_of_segments(steps in prop::collection::vec(steps(), 0..60)) {
        let mut now = Time::ZERO + Duration::from_secs(1);
        let (ours, theirs) = addresses();
        let mut out = Packets::new(ours, theirs);
        let mut connection = opened(now, &mut out);
        for step in steps {
            take(&mut connection, &mut out, &mut now, step);
        }
    }

    #[test]
    fn an_opening_connection_takes_any_sequence_of_segments(steps in prop::collection::vec(steps(), 0..40)) {
        let mut now = Time::ZERO + Duration::from_secs(1);
        let (ours, theirs) = addresses();
        let mut out = Packets::new(ours, theirs);
        let limits = Limits { mtu: 1420, receive: 1 << 20, send: 1 << 20 };
        let mut connection = Connection::connect(ours, theirs, limits, INITIAL, 0, now);
        connection.poll(now, &mut out);
        for step in steps {
            take(&mut connection, &mut out, &mut now, step);
        }
    }
}

#[test]
fn a_reset_that_is_only_near_is_challenged_not_obeyed() {
    let now = Time::ZERO;
    let (ours, theirs) = addresses();
    let mut out = Packets::new(ours, theirs);
    let mut connection = opened(now, &mut out);
    let reset = |sequence| Segment {
        header: Header::bare(TcpControl::Rst, sequence, None),
        payload: Bytes::new(),
    };
    out.made.clear();
    for off in 2..100 {
        connection.arrived(reset(THEIR_INITIAL.wrapping_add(off)), now);
        connection.poll(now, &mut out);
    }
    assert_eq!(connection.state(), State::Established);
    assert_eq!(out.made.len(), 10, "challenges are rationed");
    connection.arrived(reset(THEIR_INITIAL.wrapping_add(1)), now);
    assert_eq!(connection.state(), State::Closed);
}

#[test]
fn segments_with_an_old_clock_are_not_taken() {
    let now = Time::ZERO;
    let (ours, theirs) = addresses();
    let mut out = Packets::new(ours, theirs);
    let mut connection = opened(now, &mut out);
    let data = |value| Segment {
        header: Header {
            window: 500,
            timestamp: Some(Timestamp { value, echo: 0 }),
            ..Header::bare(
                TcpControl::Psh,
                THEIR_INITIAL.wrapping_add(1),
                Some(INITIAL + 1),
            )
        },
        payload: Bytes::from_static(b"late"),
    };
    connection.arrived(data(6), now);
    assert!(!connection.is_readable());
    connection.arrived(data(8), now);
    assert!(connection.is_readable());
}
