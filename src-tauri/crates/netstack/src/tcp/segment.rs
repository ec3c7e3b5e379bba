//! TCP segments as they travel (RFC 9293 §3.1, RFC 7323, RFC 2018).

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpProtocol, TcpControl, TcpOption, TcpPacket, TcpRepr, TcpSeqNumber, TcpTimestampRepr,
};

use super::rope::Rope;
use crate::packet::{self, Ip};

/// Bytes of the header without options.
pub const HEADER: usize = 20;

/// Bytes that the timestamp takes in every segment, padding included.
pub const TIMESTAMP: usize = 12;

/// Room for options (RFC 9293 §3.1: the header length has four bits).
const OPTIONS_MAX: usize = 40;

/// Everything of a segment but its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub control: TcpControl,
    pub sequence: u32,
    pub acknowledgement: Option<u32>,
    /// As it travels, not scaled.
    pub window: u16,
    pub mss: Option<u16>,
    pub window_scale: Option<u8>,
    pub sack_permitted: bool,
    pub timestamp: Option<Timestamp>,
    /// Ranges that were received out of order, `first..after_last`.
    pub sack: [Option<(u32, u32)>; 3],
}

impl Header {
    /// Without options and without a window.
    pub const fn bare(control: TcpControl, sequence: u32, acknowledgement: Option<u32>) -> Self {
        Self {
            control,
            sequence,
            acknowledgement,
            window: 0,
            mss: None,
            window_scale: None,
            sack_permitted: false,
            timestamp: None,
            sack: [None; 3],
        }
    }
}

/// RFC 7323 §3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    pub value: u32,
    /// The other side's value; means nothing in a segment without acknowledgement.
    pub echo: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub header: Header,
    pub payload: Bytes,
}

impl Segment {
    /// Sequence numbers that the segment takes: SYN and FIN count as one.
    pub fn sequence_len(&self) -> u64 {
        self.payload.len() as u64 + self.header.control.len() as u64
    }
}

/// Reads what an IP packet carries: sender's port, our port, segment. `None` when it is malformed
/// or damaged.
pub fn parse(ip: &Ip, packet: &Bytes) -> Option<(u16, u16, Segment)> {
    let bytes = packet.get(ip.payload.clone())?;
    if packet::checksum(ip.source, ip.destination, IpProtocol::Tcp, bytes) != 0 {
        return None;
    }
    let tcp = TcpPacket::new_checked(bytes).ok()?;
    let repr = TcpRepr::parse(
        &tcp,
        &ip.source.into(),
        &ip.destination.into(),
        &ChecksumCapabilities::ignored(),
    )
    .ok()?;
    let start = ip.payload.start + usize::from(tcp.header_len());
    let header = Header {
        control: repr.control,
        sequence: repr.seq_number.0.cast_unsigned(),
        acknowledgement: repr.ack_number.map(|number| number.0.cast_unsigned()),
        window: repr.window_len,
        mss: repr.max_seg_size,
        window_scale: repr.window_scale,
        sack_permitted: repr.sack_permitted,
        timestamp: repr.timestamp.map(|stamp| Timestamp {
            value: stamp.tsval,
            echo: stamp.tsecr,
        }),
        sack: repr.sack_ranges,
    };
    Some((
        repr.src_port,
        repr.dst_port,
        Segment {
            header,
            payload: packet.slice(start..ip.payload.end),
        },
    ))
}

/// Writes a whole IP packet: `header`, then `payload` bytes of `rope` from number `from` on.
/// `None` when the addresses are of different families.
pub fn emit(
    ours: SocketAddr,
    theirs: SocketAddr,
    header: &Header,
    rope: &Rope,
    from: u64,
    payload: usize,
) -> Option<BytesMut> {
    let mut options = [0; OPTIONS_MAX];
    let options_len = write_options(header, &mut options);
    let segment_len = HEADER + options_len + payload;
    let ip_len = packet::header_len(theirs.ip());

    let mut bytes = BytesMut::with_capacity(ip_len + segment_len);
    packet::write_header(
        &mut bytes,
        ours.ip(),
        theirs.ip(),
        IpProtocol::Tcp,
        segment_len,
    )?;
    bytes.resize(ip_len + HEADER, 0);
    bytes.extend_from_slice(&options[..options_len]);
    rope.copy(from, payload, &mut bytes);

    let mut tcp = TcpPacket::new_unchecked(&mut bytes[ip_len..]);
    tcp.set_src_port(ours.port());
    tcp.set_dst_port(theirs.port());
    tcp.set_seq_number(TcpSeqNumber(header.sequence.cast_signed()));
    tcp.set_ack_number(TcpSeqNumber(
        header.acknowledgement.unwrap_or(0).cast_signed(),
    ));
    #[expect(clippy::cast_possible_truncation, reason = "at most 60")]
    tcp.set_header_len((HEADER + options_len) as u8);
    match header.control {
        TcpControl::None => {}
        TcpControl::Psh => tcp.set_psh(true),
        TcpControl::Syn => tcp.set_syn(true),
        TcpControl::Fin => tcp.set_fin(true),
        TcpControl::Rst => tcp.set_rst(true),
    }
    tcp.set_ack(header.acknowledgement.is_some());
    tcp.set_window_len(header.window);

    let checksum = packet::checksum(ours.ip(), theirs.ip(), IpProtocol::Tcp, &bytes[ip_len..]);
    bytes[ip_len + 16..ip_len + 18].copy_from_slice(&checksum.to_ne_bytes());
    Some(bytes)
}

/// Writes options so that each ends on a word; receivers have a fast path for exactly the order
/// "no-operation, no-operation, timestamp" (RFC 7323 appendix A). Gives their length.
fn write_options(header: &Header, buffer: &mut [u8; OPTIONS_MAX]) -> usize {
    let mut rest = &mut buffer[..];
    let pad =
        |rest, count: usize| (0..count).fold(rest, |rest, _| TcpOption::NoOperation.emit(rest));
    if let Some(mss) = header.mss {
        rest = TcpOption::MaxSegmentSize(mss).emit(rest);
    }
    if let Some(scale) = header.window_scale {
        rest = TcpOption::WindowScale(scale).emit(pad(rest, 1));
    }
    if header.sack_permitted {
        rest = TcpOption::SackPermitted.emit(pad(rest, 2));
    }
    if let Some(stamp) = header.timestamp {
        let stamp = TcpTimestampRepr::new(stamp.value, stamp.echo);
        rest = TcpOption::TimeStamp {
            tsval: stamp.tsval,
            tsecr: stamp.tsecr,
        }
        .emit(pad(rest, 2));
    }
    if header.sack[0].is_some() {
        rest = TcpOption::SackRange(header.sack).emit(pad(rest, 2));
    }
    let left = rest.len();
    OPTIONS_MAX - left
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn headers() -> impl Strategy<Value = Header> {
        let control = prop_oneof![
            Just(TcpControl::None),
            Just(TcpControl::Psh),
            Just(TcpControl::Syn),
            Just(TcpControl::Fin),
            Just(TcpControl::Rst),
        ];
        let numbers = (any::<u32>(), any::<Option<u32>>(), any::<u16>());
        let ranges = prop::collection::vec(any::<(u32, u32)>(), 0..4);
        let syn = any::<Option<(u16, u8)>>();
        (control, numbers, syn, any::<Option<(u32, u32)>>(), ranges).prop_map(
            |(control, (sequence, acknowledgement, window), syn, stamp, ranges)| Header {
                control,
                sequence,
                acknowledgement,
                window,
                mss: syn.map(|(mss, _)| mss),
                window_scale: syn.map(|(_, scale)| scale % 15),
                sack_permitted: syn.is_some(),
                timestamp: stamp.map(|(value, echo)| Timestamp { value, echo }),
                // A SYN has no ranges, and with one the options would be too long.
                sack: std::array::from_fn(|at| ranges.get(at).copied().filter(|_| syn.is_none())),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            header in headers(),
            payload in prop::collection::vec(any::<u8>(), 0..3000),
            v6 in any::<bool>(),
        ) {
            let (ours, theirs): (SocketAddr, SocketAddr) = if v6 {
                ("[fd00::1]:4000".parse().unwrap(), "[fd00::2]:80".parse().unwrap())
            } else {
                ("10.0.0.1:4000".parse().unwrap(), "10.0.0.2:80".parse().unwrap())
            };
            let mut rope = Rope::new(1);
            rope.push(&payload);
            let bytes = emit(ours, theirs, &header, &rope, 1, payload.len()).unwrap().freeze();
            let ip = packet::parse(&bytes).unwrap();
            let (from, to, segment) = parse(&ip, &bytes).unwrap();
            prop_assert_eq!((from, to), (4000, 80));
            prop_assert_eq!(segment.header, header);
            prop_assert_eq!(&segment.payload[..], &payload[..]);
        }

        #[test]
        fn one_wrong_bit_is_noticed(at in 20_usize..72, bit in 0..8) {
            let rope = Rope::new(1);
            let header = Header {
                control: TcpControl::None,
                sequence: 77,
                acknowledgement: Some(78),
                window: 500,
                mss: None,
                window_scale: None,
                sack_permitted: false,
                timestamp: Some(Timestamp { value: 1, echo: 2 }),
                sack: [Some((3, 4)), Some((5, 6)), None],
            };
            let (ours, theirs) = ("10.0.0.1:4000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
            let mut bytes = emit(ours, theirs, &header, &rope, 1, 0).unwrap();
            bytes[at] ^= 1_u8 << bit;
            let bytes = bytes.freeze();
            let ip = packet::parse(&bytes).unwrap();
            prop_assert!(parse(&ip, &bytes).is_none());
        }
    }
}
