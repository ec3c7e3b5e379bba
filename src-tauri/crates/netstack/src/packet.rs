//! IP headers and the Internet checksum.

use std::net::IpAddr;
use std::ops::Range;

use bytes::BytesMut;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet};

/// Time to live of what we send; the value every system uses today.
const HOP_LIMIT: u8 = 64;

/// More extension headers than this in one packet are an attack, not a use.
const EXTENSIONS_MAX: usize = 4;

/// Who sent a packet to whom, and where what it carries is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: IpProtocol,
    pub payload: Range<usize>,
}

/// Reads the IP header. Fragments are refused: our own packets are never cut (IPv4 "don't
/// fragment", IPv6), TCP peers keep to our MSS, and DNS answers stay below every MTU.
pub fn parse(bytes: &[u8]) -> Option<Ip> {
    match bytes.first()? >> 4 {
        4 => {
            let packet = Ipv4Packet::new_checked(bytes).ok()?;
            if packet.more_frags() || packet.frag_offset() != 0 || !packet.verify_checksum() {
                return None;
            }
            Some(Ip {
                source: packet.src_addr().into(),
                destination: packet.dst_addr().into(),
                protocol: packet.next_header(),
                payload: usize::from(packet.header_len())..usize::from(packet.total_len()),
            })
        }
        6 => parse_v6(bytes),
        _ => None,
    }
}

/// Walks over extension headers (RFC 8200 §4) to what the packet carries.
fn parse_v6(bytes: &[u8]) -> Option<Ip> {
    let packet = Ipv6Packet::new_checked(bytes).ok()?;
    let end = packet.total_len();
    let mut start = packet.header_len();
    let mut protocol = packet.next_header();
    for _ in 0..=EXTENSIONS_MAX {
        match protocol {
            IpProtocol::HopByHop | IpProtocol::Ipv6Opts | IpProtocol::Ipv6Route => {
                let extension = bytes.get(start..end)?.get(..8)?;
                protocol = IpProtocol::from(extension[0]);
                start += (usize::from(extension[1]) + 1) * 8;
            }
            IpProtocol::Ipv6Frag => {
                let fragment = bytes.get(start..end)?.get(..8)?;
                // A whole packet that wears the header all the same: RFC 6946. The three lowest
                // bits are two reserved ones and "more fragments".
                if u16::from_be_bytes([fragment[2], fragment[3]]) & 0xfff9 != 0 {
                    return None;
                }
                protocol = IpProtocol::from(fragment[0]);
                start += 8;
            }
            _ => {
                return (start <= end).then(|| Ip {
                    source: packet.src_addr().into(),
                    destination: packet.dst_addr().into(),
                    protocol,
                    payload: start..end,
                });
            }
        }
    }
    None
}

/// Bytes of the header before what we send to `destination`.
pub const fn header_len(destination: IpAddr) -> usize {
    match destination {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    }
}

/// An IP packet whose `payload` bytes are zero, header written. `None` when the two addresses are
/// of different families or the payload is too long for one packet.
pub fn new(
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProtocol,
    payload: usize,
) -> Option<BytesMut> {
    let mut bytes = BytesMut::with_capacity(header_len(destination) + payload);
    write_header(&mut bytes, source, destination, protocol, payload)?;
    bytes.resize(header_len(destination) + payload, 0);
    Some(bytes)
}

/// Appends the header of a packet that carries `payload` bytes.
pub fn write_header(
    bytes: &mut BytesMut,
    source: IpAddr,
    destination: IpAddr,
    protocol: IpProtocol,
    payload: usize,
) -> Option<()> {
    if payload > usize::from(u16::MAX) - 40 {
        return None;
    }
    // Two families in one header would make `IpRepr` panic.
    if source.is_ipv4() != destination.is_ipv4() {
        return None;
    }
    let repr = IpRepr::new(
        source.into(),
        destination.into(),
        protocol,
        payload,
        HOP_LIMIT,
    );
    let mut header = [0; 40];
    repr.emit(&mut header, &ChecksumCapabilities::default());
    bytes.extend_from_slice(&header[..repr.header_len()]);
    Some(())
}

/// The checksum over `bytes` and the pseudo-header before them (RFC 9293 §3.1, RFC 8200 §8.1),
/// ready to be stored with `to_ne_bytes`. Zero when `bytes` hold a correct checksum already.
pub fn checksum(source: IpAddr, destination: IpAddr, protocol: IpProtocol, bytes: &[u8]) -> u16 {
    let addresses = match (source, destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => sum(&a.octets()) + sum(&b.octets()),
        (IpAddr::V6(a), IpAddr::V6(b)) => sum(&a.octets()) + sum(&b.octets()),
        _ => 0,
    };
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let kind = [0, u8::from(protocol)];
    !fold(addresses + sum(&length.to_be_bytes()) + sum(&kind) + sum(bytes))
}

/// The checksum over `bytes` alone, as ICMP for IPv4 has it.
pub fn plain_checksum(bytes: &[u8]) -> u16 {
    !fold(sum(bytes))
}

/// Sums 32-bit words in the machine's own byte order: a one's complement sum does not mind
/// (RFC 1071 §2B), and independent lanes let the compiler use vector instructions.
fn sum(bytes: &[u8]) -> u64 {
    let mut lanes = [0_u64; 8];
    let mut blocks = bytes.chunks_exact(32);
    for block in &mut blocks {
        for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(4)) {
            *lane += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        }
    }
    let mut total: u64 = lanes.iter().sum();
    for word in blocks.remainder().chunks(4) {
        let mut padded = [0; 4];
        padded[..word.len()].copy_from_slice(word);
        total += u64::from(u32::from_ne_bytes(padded));
    }
    total
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the loop left 16 bits")]
    let folded = sum as u16;
    folded
}
