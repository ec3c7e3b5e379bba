//! UDP with segmentation offload: one system call and one pass through the kernel for up to 64
//! equal datagrams (GSO/GRO on Linux, USO/URO on Windows, `sendmsg_x` on macOS).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::{Carrier, Channel};

/// What we ask of the kernel for each direction, in bytes. The default (208 KiB on Linux) loses
/// bursts: download fell from 772 to 201 Mbit/s with it. The kernel caps it without a word.
const SOCKET_BUFFER: usize = 4 << 20;

/// Longest train of equal datagrams in one call, bytes. An IP packet ends at 65,535.
const LONGEST_TRAIN: usize = 65_000;

/// Largest datagram that a receive buffer must hold: a GRO train.
const RECEIVE_BUFFER: usize = 65_536;

/// UDP to one gateway.
pub struct Udp {
    host: String,
    port: u16,
    resolved: Mutex<Option<SocketAddr>>,
}

impl Udp {
    /// `host` is a name or an address; a name is resolved by the system each time it is opened.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        let resolved = host
            .parse::<IpAddr>()
            .ok()
            .map(|address| SocketAddr::new(address, port));
        Self {
            host,
            port,
            resolved: Mutex::new(resolved),
        }
    }

    async fn open_fresh(&self) -> io::Result<Arc<dyn Channel>> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for gateway in tokio::net::lookup_host((self.host.as_str(), self.port)).await? {
            match bind_towards(gateway) {
                Ok(channel) => {
                    *self.resolved.lock() = Some(gateway);
                    return Ok(Arc::new(channel));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Carrier for Udp {
    fn open(&self) -> BoxFuture<'_, io::Result<Arc<dyn Channel>>> {
        Box::pin(self.open_fresh())
    }

    fn name(&self) -> &'static str {
        "udp"
    }

    fn gateway(&self) -> Option<SocketAddr> {
        *self.resolved.lock()
    }
}

struct UdpChannel {
    socket: UdpSocket,
    state: UdpSocketState,
    gateway: SocketAddr,
    /// One buffer per batch slot, kept between calls; the lock is never contended because one
    /// task receives.
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// Port 0 always: a port that was ours a moment ago may still be taken.
fn bind_towards(gateway: SocketAddr) -> io::Result<UdpChannel> {
    let any: SocketAddr = match gateway {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // Says at once when there is no route to this family or address.
    super::source_towards(gateway)?;
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(any),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    // Refused sizes are no reason to fail: the tunnel is slower then.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.bind(&any.into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    let state = UdpSocketState::new((&socket).into())?;
    Ok(UdpChannel {
        socket,
        state,
        gateway,
        buffers: Mutex::new(vec![Vec::new(); BATCH_SIZE]),
    })
}

impl UdpChannel {
    async fn transmit(&self, contents: &[u8], segment: Option<usize>) -> io::Result<()> {
        let transmit = Transmit {
            destination: self.gateway,
            ecn: None,
            contents,
            segment_size: segment,
            src_ip: None,
        };
        loop {
            self.socket.writable().await?;
            let sent = self.socket.try_io(Interest::WRITABLE, || {
                self.state.try_send((&self.socket).into(), &transmit)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    async fn send_trains(&self, batch: &mut Vec<BytesMut>) -> io::Result<()> {
        let longest = self.state.max_gso_segments().max(1);
        let mut train = Vec::new();
        let mut rest = batch.as_slice();
        let mut failed = None;
        while let Some(first) = rest.first() {
            let count = train_length(rest, longest);
            let (now, later) = rest.split_at(count);
            let sent = if count == 1 {
                self.transmit(first, None).await
            } else {
                train.clear();
                for datagram in now {
                    train.extend_from_slice(datagram);
                }
                self.transmit(&train, Some(first.len())).await
            };
            match sent {
                // What does not fit on the path is lost like any packet: the size is probed above.
                Err(error) if !quinn_udp::is_msg_size_err(&error) => failed = Some(error),
                _ => {}
            }
            rest = later;
        }
        batch.clear();
        failed.map_or(Ok(()), Err)
    }

    async fn receive_batch(&self, into: &mut Vec<BytesMut>) -> io::Result<()> {
        loop {
            self.socket.readable().await?;
            let before = into.len();
            let received = self
                .socket
                .try_io(Interest::READABLE, || self.receive_now(into));
            match received {
                Ok(()) if into.len() > before => return Ok(()),
                Ok(()) => {}
                Err(error) => match error.kind() {
                    // ICMP answers to what was sent before (Windows: WSAECONNRESET). The way may
                    // be back in a moment.
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionRefused => {}
                    _ => return Err(error),
                },
            }
        }
    }

    fn receive_now(&self, into: &mut Vec<BytesMut>) -> io::Result<()> {
        let mut buffers = self.buffers.lock();
        for buffer in buffers.iter_mut() {
            buffer.resize(RECEIVE_BUFFER, 0);
        }
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        let mut slices: Vec<IoSliceMut<'_>> = buffers
            .iter_mut()
            .map(|buffer| IoSliceMut::new(buffer))
            .collect();
        let count = self
            .state
            .recv((&self.socket).into(), &mut slices, &mut meta)?;
        drop(slices);
        for (meta, buffer) in meta.iter().zip(buffers.iter()).take(count) {
            // Only the gateway is of interest. This is no protection (a source address proves
            // nothing), it saves arithmetic.
            if meta.addr.ip().to_canonical() != self.gateway.ip().to_canonical() {
                continue;
            }
            let Some(bytes) = buffer.get(..meta.len) else {
                continue;
            };
            let mut train = BytesMut::from(bytes);
            let stride = meta.stride.max(1);
            while train.len() > stride {
                into.push(train.split_to(stride));
            }
            if !train.is_empty() {
                into.push(train);
            }
        }
        Ok(())
    }
}

impl Channel for UdpChannel {
    fn send<'a>(&'a self, batch: &'a mut Vec<BytesMut>) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(self.send_trains(batch))
    }

    fn receive<'a>(&'a self, into: &'a mut Vec<BytesMut>) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(self.receive_batch(into))
    }
}

/// How many datagrams at the front of `rest` leave as one train: equal sizes, and at most one
/// shorter one as the last.
fn train_length(rest: &[BytesMut], longest: usize) -> usize {
    let Some(first) = rest.first() else { return 0 };
    let size = first.len();
    let mut total = size;
    let mut count = 1;
    for next in rest.iter().skip(1) {
        total += next.len();
        if count >= longest || next.is_empty() || next.len() > size || total > LONGEST_TRAIN {
            break;
        }
        count += 1;
        if next.len() < size {
            break;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(sizes: &[usize]) -> Vec<BytesMut> {
        sizes.iter().map(|&size| BytesMut::zeroed(size)).collect()
    }

    #[test]
    fn a_train_is_of_equal_datagrams_with_one_shorter_at_its_end() {
        assert_eq!(train_length(&sizes(&[100, 100, 60, 60]), 64), 3);
        assert_eq!(train_length(&sizes(&[100, 120]), 64), 1);
        assert_eq!(train_length(&sizes(&[100; 80]), 64), 64);
        assert_eq!(train_length(&sizes(&[1400; 64]), 64), 46);
        assert_eq!(train_length(&[], 64), 0);
    }

    #[tokio::test]
    async fn datagrams_arrive_whole_and_in_order() {
        let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let carrier = Udp::new("127.0.0.1", far.local_addr().unwrap().port());
        let channel = carrier.open().await.unwrap();
        let mut batch: Vec<BytesMut> = (0..50u8)
            .map(|n| BytesMut::from(vec![n; if n == 49 { 7 } else { 900 }].as_slice()))
            .collect();
        channel.send(&mut batch).await.unwrap();
        assert!(batch.is_empty());
        let mut buffer = [0; 2000];
        let mut from = None;
        for n in 0..50u8 {
            let (length, address) = far.recv_from(&mut buffer).await.unwrap();
            assert_eq!(
                (length, buffer[0]),
                (if n == 49 { 7 } else { 900 }, n),
                "datagram {n}"
            );
            from = Some(address);
        }
        far.send_to(b"hello", from.unwrap()).await.unwrap();
        let mut received = Vec::new();
        channel.receive(&mut received).await.unwrap();
        assert_eq!(received, [BytesMut::from(&b"hello"[..])]);
    }

    #[tokio::test]
    async fn each_opening_has_a_port_of_its_own_while_the_former_is_open() {
        let carrier = Udp::new("127.0.0.1", 9);
        let first = carrier.open().await.unwrap();
        let second = carrier.open().await.unwrap();
        drop((first, second));
        assert_eq!(carrier.gateway(), Some("127.0.0.1:9".parse().unwrap()));
    }
}
