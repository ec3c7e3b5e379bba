//! TURN over TCP and TLS: packets that the stack sends to a relay's stand-in go into a stream, and what the stream
//! brings comes from the stand-in.
//!
//! ```text
//! stack ──to 192.0.2.1──▶ RelaySocket ─frames─▶ TLS ─▶ relay        stack ──to anywhere else──▶ the socket itself
//! ```

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::frames::{Frames, write};
use super::{Over, Relay, stand_in};

/// From the first packet to a stream that takes it.
const CONNECTING: Duration = Duration::from_secs(5);
/// Packets that wait for the stream, and for the stack: a quarter of a second of 720p. Later ones are dropped, as a
/// router does.
const QUEUE: usize = 256;
/// Written at once.
const MOST_AT_ONCE: usize = 64 << 10;

/// The relays of one connection, and the streams of those that need one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams {
    relays: Arc<[Stream]>,
}

#[derive(Debug)]
struct Stream {
    stand_in: SocketAddr,
    relay: Relay,
    tls: Option<Arc<rustls::ClientConfig>>,
    /// The socket that has it: the others of the same connection need no second one.
    taken: Mutex<Weak<()>>,
}

impl Streams {
    /// Relays over TLS are of no use without `tls`, which says whom to trust.
    pub fn of(relays: &[Relay], tls: Option<&Arc<rustls::ClientConfig>>) -> Self {
        let usable = relays
            .iter()
            .filter(|relay| !relay.over_tls() || tls.is_some());
        let relays = usable.enumerate().map(|(number, relay)| Stream {
            stand_in: stand_in(number),
            relay: relay.clone(),
            tls: tls.cloned(),
            taken: Mutex::default(),
        });
        Self {
            relays: relays.collect(),
        }
    }

    /// Those of `relays` that these are, with what lets us use them now, as the stack is to know them.
    pub fn servers(&self, relays: &[Relay]) -> Vec<rtc::peer_connection::transport::RTCIceServer> {
        let known = |relay: &Relay| self.relays.iter().find(|known| known.relay.is(relay));
        let servers = relays
            .iter()
            .filter_map(|relay| Some(relay.server(known(relay)?.stand_in)));
        servers.collect()
    }

    pub fn wrap(&self, socket: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        if self
            .relays
            .iter()
            .all(|known| known.relay.over == Over::Udp)
        {
            return socket;
        }
        let (arrive, arrived) = mpsc::channel(QUEUE);
        Arc::new(RelaySocket {
            socket,
            streams: self.clone(),
            alive: Arc::new(()),
            open: Mutex::default(),
            arrive,
            arrived: Mutex::new(arrived),
            end: CancellationToken::new().drop_guard(),
        })
    }

    fn at(&self, address: SocketAddr) -> Option<&Stream> {
        let mut streams = self
            .relays
            .iter()
            .filter(|known| known.relay.over != Over::Udp);
        streams.find(|stream| stream.stand_in == address)
    }
}

impl Stream {
    /// True for one socket at a time.
    fn take(&self, socket: &Arc<()>) -> bool {
        let mut taken = lock(&self.taken);
        if taken.strong_count() > 0 {
            return false;
        }
        *taken = Arc::downgrade(socket);
        true
    }
}

/// A socket whose packets to relays take their streams. The streams end with it.
#[derive(Debug)]
pub(crate) struct RelaySocket {
    socket: Arc<dyn AsyncUdpSocket>,
    streams: Streams,
    alive: Arc<()>,
    open: Mutex<HashMap<SocketAddr, mpsc::Sender<Bytes>>>,
    arrive: mpsc::Sender<(SocketAddr, Bytes)>,
    arrived: Mutex<mpsc::Receiver<(SocketAddr, Bytes)>>,
    end: DropGuard,
}

impl RelaySocket {
    fn send(&self, stream: &Stream, transmit: &Transmit<'_>) {
        let mut open = lock(&self.open);
        if !open.contains_key(&transmit.destination) && stream.take(&self.alive) {
            let (packets, queue) = mpsc::channel(QUEUE);
            open.insert(transmit.destination, packets);
            let carrying = carry(
                stream.relay.clone(),
                stream.tls.clone(),
                queue,
                self.arrive.clone(),
                transmit.destination,
            );
            let end = self.end.token().clone();
            tokio::spawn(async move {
                end.run_until_cancelled(carrying).await;
            });
        }
        let Some(packets) = open.get(&transmit.destination) else {
            return;
        };
        let size = transmit.segment_size.unwrap_or(usize::MAX).max(1);
        for packet in transmit.contents.chunks(size) {
            // A stream that has ended or does not keep up loses packets, as a network does.
            let _ = packets.try_send(Bytes::copy_from_slice(packet));
        }
    }

    fn poll_arrived(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<usize> {
        let (Some(buf), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Pending;
        };
        // Empty or too long for the stack: it would mean nothing to it.
        let fits = |packet: &Bytes| !packet.is_empty() && packet.len() <= buf.len();
        loop {
            match lock(&self.arrived).poll_recv(cx) {
                Poll::Ready(Some((from, packet))) if fits(&packet) => {
                    for (to, byte) in buf.iter_mut().zip(&packet) {
                        *to = *byte;
                    }
                    meta.addr = from;
                    meta.len = packet.len();
                    meta.stride = packet.len();
                    meta.ecn = None;
                    meta.dst_ip = None;
                    return Poll::Ready(1);
                }
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl AsyncUdpSocket for RelaySocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let Some(stream) = self.streams.at(transmit.destination) else {
            return self.socket.poll_send(cx, transmit);
        };
        self.send(stream, transmit);
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(count) = self.poll_arrived(cx, bufs, meta) {
            return Poll::Ready(Ok(count));
        }
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.socket.max_gro_segments()
    }
}

/// One stream from its beginning to its end, whoever ends it.
async fn carry(
    relay: Relay,
    tls: Option<Arc<rustls::ClientConfig>>,
    packets: mpsc::Receiver<Bytes>,
    arrive: mpsc::Sender<(SocketAddr, Bytes)>,
    from: SocketAddr,
) {
    let carrying = async {
        let host = relay.host.as_str();
        let stream = within(TcpStream::connect((host, relay.port))).await?;
        // What is small is waited for; what is large goes at once anyway.
        stream.set_nodelay(true)?;
        if !relay.over_tls() {
            return pump(stream, packets, arrive, from).await;
        }
        let tls = tls.ok_or(io::ErrorKind::InvalidInput)?;
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| io::ErrorKind::InvalidInput)?;
        let connecting = tokio_rustls::TlsConnector::from(tls).connect(name, stream);
        pump(within(connecting).await?, packets, arrive, from).await
    };
    let ended: io::Result<()> = carrying.await;
    let kind = ended.err().map(|error| error.kind());
    tracing::info!(over = ?relay.over, ?kind, "The stream to a relay has ended");
}

async fn within<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let connected = tokio::time::timeout(CONNECTING, connecting).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn pump(
    stream: impl AsyncRead + AsyncWrite,
    mut packets: mpsc::Receiver<Bytes>,
    arrive: mpsc::Sender<(SocketAddr, Bytes)>,
    from: SocketAddr,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sending = async {
        let mut waiting = BytesMut::new();
        while let Some(packet) = packets.recv().await {
            write(&packet, &mut waiting);
            while waiting.len() < MOST_AT_ONCE
                && let Ok(packet) = packets.try_recv()
            {
                write(&packet, &mut waiting);
            }
            writer.write_all(&waiting).await?;
            writer.flush().await?;
            waiting.clear();
        }
        Ok(())
    };
    let receiving = async {
        let mut frames = Frames::default();
        while reader.read_buf(frames.room()).await? > 0 {
            while let Some(message) = frames
                .next()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            {
                let _ = arrive.try_send((from, message));
            }
        }
        Ok(())
    };
    // Either end of it is the end.
    tokio::select! {
        ended = sending => ended,
        ended = receiving => ended,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
