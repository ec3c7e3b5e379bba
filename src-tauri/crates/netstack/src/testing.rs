//! The other side for tests: a small host at the far end of a link, made of the same connections
//! without a stack. Port 7 echoes, 9 swallows, 19 sends a million bytes and closes, 53 answers
//! questions for names; every other port refuses.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use parking_lot::Mutex;
use smoltcp::wire::{IpProtocol, TcpControl};
use tokio::time::Instant;

use crate::packet::{self, Ip};
use crate::tcp::testing::{Connection, Limits, Packets, State};
use crate::tcp::{Time, testing};
use crate::{Config, Link, Netstack, udp};

pub const SOURCE_BYTES: usize = 1_000_000;

/// What a test may look at and change while the host runs.
pub struct World {
    /// Questions that came over UDP, and over TCP.
    pub asked: [AtomicUsize; 2],
    /// Addresses that do not answer anything.
    pub dead: Mutex<HashSet<IpAddr>>,
    /// Addresses behind a router that says "unreachable".
    pub unreachable: Mutex<HashSet<IpAddr>>,
    /// Larger packets meet a router that says "too big".
    pub narrow: AtomicUsize,
    /// Answers over UDP are cut to nothing.
    pub truncates: Mutex<bool>,
    /// What happens to each answer of the resolver before it leaves.
    pub spoilt: Mutex<Spoilt>,
}

/// Damage to an answer: bytes that are exchanged, where it ends early, and what follows it.
#[derive(Debug, Clone, Default)]
pub struct Spoilt {
    pub exchanged: Vec<(usize, u8)>,
    pub kept: Option<usize>,
    pub appended: Vec<u8>,
}

impl Spoilt {
    fn spoil(&self, mut answer: Vec<u8>) -> Vec<u8> {
        for (place, value) in &self.exchanged {
            let place = place % answer.len();
            answer[place] = *value;
        }
        answer.truncate(self.kept.unwrap_or(usize::MAX));
        answer.extend_from_slice(&self.appended);
        answer
    }
}

/// A stack with both families, resolvers at `dns`, and the host at the other end of its link.
pub fn stack(dns: &[&str], search: &[&str]) -> (Netstack, Link, Arc<World>) {
    let (stack, link) = Netstack::new(Config {
        v4: Some([10, 77, 0, 2].into()),
        v6: Some("fd00::2".parse().unwrap()),
        dns: dns.iter().map(|address| address.parse().unwrap()).collect(),
        search: search.iter().map(ToString::to_string).collect(),
        ..Config::default()
    });
    let world = Arc::new(World {
        asked: Default::default(),
        dead: Mutex::default(),
        unreachable: Mutex::default(),
        narrow: AtomicUsize::new(usize::MAX),
        truncates: Mutex::default(),
        spoilt: Mutex::default(),
    });
    let host = Host {
        link: link.clone(),
        world: Arc::clone(&world),
        epoch: Instant::now(),
        open: HashMap::new(),
    };
    tokio::spawn(host.run());
    (stack, link, world)
}

struct Host {
    link: Link,
    world: Arc<World>,
    epoch: Instant,
    open: HashMap<(SocketAddr, SocketAddr), Serving>,
}

struct Serving {
    connection: Connection,
    out: Packets,
    /// Bytes that were read and not answered yet.
    kept: Vec<u8>,
    /// Bytes to send.
    answer: Vec<u8>,
}

impl Host {
    async fn run(mut self) {
        let mut packets = Vec::new();
        loop {
            let deadline = self
                .open
                .values()
                .filter_map(|serving| serving.connection.deadline())
                .min()
                .map_or(Duration::from_hours(1), Time::since_epoch);
            tokio::select! {
                count = self.link.next_batch(&mut packets, 64) => {
                    if count == 0 {
                        return;
                    }
                }
                () = tokio::time::sleep_until(self.epoch + deadline) => {}
            }
            for packet in packets.drain(..) {
                self.received(&packet.freeze());
            }
            self.work();
        }
    }

    fn now(&self) -> Time {
        Time::from_epoch(self.epoch.elapsed())
    }

    fn received(&mut self, packet: &Bytes) {
        let ip = packet::parse(packet).unwrap();
        if self.world.dead.lock().contains(&ip.destination) {
            return;
        }
        let narrow = self.world.narrow.load(Ordering::Relaxed);
        if packet.len() > narrow {
            self.complain(&ip, packet, Some(narrow));
        } else if self.world.unreachable.lock().contains(&ip.destination) {
            self.complain(&ip, packet, None);
        } else if ip.protocol == IpProtocol::Tcp {
            self.received_segment(&ip, packet);
        } else if ip.protocol == IpProtocol::Udp {
            let (port, from, question) = udp::parse(&ip, packet).unwrap();
            if port == 53 {
                self.world.asked[0].fetch_add(1, Ordering::Relaxed);
                let answer = answer(&question, *self.world.truncates.lock());
                let answer = self.world.spoilt.lock().spoil(answer);
                let ours = SocketAddr::new(ip.destination, 53);
                self.link.input(udp::build(ours, from, &answer).unwrap());
            }
        } else {
            self.echo(&ip, packet);
        }
    }

    fn received_segment(&mut self, ip: &Ip, packet: &Bytes) {
        let (from, to, segment) = testing::parse(ip, packet).unwrap();
        let theirs = SocketAddr::new(ip.source, from);
        let ours = SocketAddr::new(ip.destination, to);
        let now = self.now();
        let serves = [7, 9, 19, 53].contains(&to);
        if segment.header.control == TcpControl::Syn && serves {
            let limits = Limits {
                mtu: 1420,
                receive: 4 << 20,
                send: 4 << 20,
            };
            self.open.insert(
                (ours, theirs),
                Serving {
                    connection: Connection::connect(ours, theirs, limits, rand::random(), 5, now),
                    out: Packets::new(ours, theirs),
                    kept: Vec::new(),
                    answer: if to == 19 {
                        vec![19; SOURCE_BYTES]
                    } else {
                        Vec::new()
                    },
                },
            );
        }
        if let Some(serving) = self.open.get_mut(&(ours, theirs)) {
            serving.connection.arrived(segment, now);
        } else if segment.header.control != TcpControl::Rst {
            let reset = testing::refusal(&segment);
            let mut out = Packets::new(ours, theirs);
            out.put(&reset);
            out.made
                .drain(..)
                .for_each(|packet| self.link.input(packet));
        }
    }

    fn work(&mut self) {
        let now = self.now();
        for ((ours, _), serving) in &mut self.open {
            serving.serve(ours.port(), &self.world, now);
            serving
                .out
                .made
                .drain(..)
                .for_each(|packet| self.link.input(packet));
        }
        self.open
            .retain(|_, serving| serving.connection.state() != State::Closed);
    }

    fn echo(&self, ip: &Ip, packet: &Bytes) {
        let mut message = BytesMut::from(&packet[ip.payload.clone()]);
        message[0] = if ip.protocol == IpProtocol::Icmp {
            0
        } else {
            129
        };
        self.send_icmp(ip, &mut message);
    }

    /// A router tells about a packet.
    fn complain(&self, ip: &Ip, packet: &Bytes, too_big: Option<usize>) {
        let v4 = ip.source.is_ipv4();
        let (kind, code) = match (v4, too_big) {
            (true, Some(_)) => (3, 4),
            (true, None) => (3, 1),
            (false, Some(_)) => (2, 0),
            (false, None) => (1, 0),
        };
        let mut message = BytesMut::from(&[kind, code, 0, 0, 0, 0, 0, 0][..]);
        if let Some(size) = too_big {
            let size = u16::try_from(size).unwrap();
            message[6..8].copy_from_slice(&size.to_be_bytes());
        }
        message.extend_from_slice(&packet[..packet.len().min(64)]);
        self.send_icmp(ip, &mut message);
    }

    fn send_icmp(&self, ip: &Ip, message: &mut BytesMut) {
        let (ours, theirs) = (ip.destination, ip.source);
        let protocol = if theirs.is_ipv4() {
            IpProtocol::Icmp
        } else {
            IpProtocol::Icmpv6
        };
        message[2..4].fill(0);
        let checksum = match protocol {
            IpProtocol::Icmp => packet::plain_checksum(message),
            _ => packet::checksum(ours, theirs, protocol, message),
        };
        message[2..4].copy_from_slice(&checksum.to_ne_bytes());
        let mut whole = BytesMut::new();
        packet::write_header(&mut whole, ours, theirs, protocol, message.len()).unwrap();
        whole.extend_from_slice(message);
        self.link.input(whole);
    }
}

impl Serving {
    fn serve(&mut self, port: u16, world: &World, now: Time) {
        let mut buffer = [0; 16_384];
        let mut ended = false;
        while self.connection.is_readable() {
            match self.connection.read(&mut buffer, now) {
                Ok(count) if count > 0 => match port {
                    7 => self.answer.extend_from_slice(&buffer[..count]),
                    53 => self.kept.extend_from_slice(&buffer[..count]),
                    _ => {}
                },
                _ => {
                    ended = true;
                    break;
                }
            }
        }
        while self.kept.len() >= 2 {
            let length = usize::from(u16::from_be_bytes([self.kept[0], self.kept[1]]));
            if self.kept.len() < 2 + length {
                break;
            }
            world.asked[1].fetch_add(1, Ordering::Relaxed);
            let question: Vec<u8> = self.kept.drain(..2 + length).skip(2).collect();
            let answer = world.spoilt.lock().spoil(answer(&question, false));
            self.answer
                .extend(u16::try_from(answer.len()).unwrap().to_be_bytes());
            self.answer.extend(answer);
        }
        if self.connection.is_open() {
            let taken = self.connection.write(&self.answer).unwrap_or(0);
            self.answer.drain(..taken);
            if self.answer.is_empty() && (ended || port == 19) {
                self.connection.close();
            }
        }
        self.connection.poll(now, &mut self.out);
    }
}

/// `intra.example` has one address of each family, `only4.example` one of IPv4, `empty.example`
/// none, `broken.example` makes the resolver fail; nothing else exists.
fn answer(question: &[u8], truncated: bool) -> Vec<u8> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let name = query.name().to_ascii().to_lowercase();
    match name.as_str() {
        _ if truncated => answer.metadata.truncation = true,
        "intra.example." | "only4.example." => {
            let data = match query.query_type() {
                RecordType::A => Some(RData::A("10.50.0.80".parse().unwrap())),
                RecordType::AAAA if name == "intra.example." => {
                    Some(RData::AAAA("fd00::80".parse().unwrap()))
                }
                _ => None,
            };
            if let Some(data) = data {
                answer.add_answer(Record::from_rdata(query.name().clone(), 60, data));
            }
        }
        "empty.example." => {}
        "broken.example." => answer.metadata.response_code = ResponseCode::ServFail,
        _ => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.to_vec().unwrap()
}
