//! A bad line, for tests on machines whose network is good: it loses packets both ways, and can be changed while it is
//! in use.

use std::collections::HashSet;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// The line that packets of a session take. Clones are the same line.
#[derive(Debug, Clone, Default)]
pub struct Line {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of a million packets.
    lost: AtomicU32,
    cut: AtomicBool,
    /// Bits per second that leave; 0 is without limit.
    limit: AtomicU32,
    loses_first_handshakes: AtomicBool,
}

impl Line {
    /// Loses this part of the packets each way, from 0 to 1.
    #[must_use]
    pub fn losing(share: f64) -> Self {
        let line = Self::default();
        line.lose(share);
        line
    }

    /// Loses each packet of a DTLS handshake once, in both directions and on every connection.
    #[must_use]
    pub fn losing_first_handshakes() -> Self {
        let line = Self::default();
        line.state.loses_first_handshakes.store(true, Relaxed);
        line
    }

    pub fn lose(&self, share: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let share = (share.clamp(0.0, 1.0) * 1e6) as u32;
        self.state.lost.store(share, Relaxed);
    }

    /// Lets no more than this leave, in bits per second; 0 is without limit. What is beyond it waits as in a router.
    pub fn limit(&self, limit: u32) {
        self.state.limit.store(limit, Relaxed);
    }

    /// Nothing passes while it is cut.
    pub fn cut(&self, cut: bool) {
        self.state.cut.store(cut, Relaxed);
    }

    pub(super) fn wrap(&self, socket: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        Arc::new(LineSocket {
            queue: Queue::start(socket.clone()),
            socket,
            line: self.clone(),
            lost_handshakes: Mutex::default(),
        })
    }

    fn loses(&self) -> bool {
        let lost = self.state.lost.load(Relaxed);
        self.state.cut.load(Relaxed) || (lost > 0 && rand::random_range(0..1_000_000) < lost)
    }
}

/// The queue in front of a narrow line. Its task ends with it.
#[derive(Debug)]
struct Queue {
    free: Mutex<Instant>,
    waiting: mpsc::Sender<(Instant, SocketAddr, Vec<u8>)>,
}

impl Queue {
    const LONGEST: Duration = Duration::from_millis(400);

    fn start(socket: Arc<dyn AsyncUdpSocket>) -> Self {
        let (waiting, mut packets) = mpsc::channel::<(Instant, _, Vec<u8>)>(4096);
        tokio::spawn(async move {
            while let Some((at, to, packet)) = packets.recv().await {
                tokio::time::sleep_until(at.into()).await;
                let _ = socket.send_to(&packet, to).await;
            }
        });
        Self {
            free: Mutex::new(Instant::now()),
            waiting,
        }
    }

    fn pass(&self, transmit: &Transmit<'_>, limit: u32) {
        let now = Instant::now();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = (*free).max(now);
        if begins - now > Self::LONGEST {
            return;
        }
        #[expect(clippy::cast_precision_loss)]
        let bits = transmit.contents.len() as f64 * 8.0;
        *free = begins + Duration::from_secs_f64(bits / f64::from(limit));
        let packet = transmit.contents.to_vec();
        // A full queue drops, as a router's does.
        let _ = self.waiting.try_send((*free, transmit.destination, packet));
    }
}

#[derive(Debug)]
struct LineSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    line: Line,
    queue: Queue,
    /// Handshake packets that were lost once.
    lost_handshakes: Mutex<HashSet<Vec<u8>>>,
}

impl LineSocket {
    fn loses(&self, packet: &[u8]) -> bool {
        self.line.loses()
            || (self.line.state.loses_first_handshakes.load(Relaxed)
                && self.is_first_handshake(packet))
    }

    fn is_first_handshake(&self, packet: &[u8]) -> bool {
        // RFC 6347 §4.1 and §4.2.2: kind and epoch of the record; kind, length and number of the message. A repeat has
        // another number of the record, and the end of a handshake is sealed: of that the epoch alone says what it is.
        let message = match packet {
            [22, _, _, 0, 0, rest @ ..] => rest.get(8..14).unwrap_or_default().to_vec(),
            [kind @ (20 | 22), _, _, _, epoch, ..] => vec![*kind, *epoch],
            _ => return false,
        };
        let mut lost = self
            .lost_handshakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lost.insert(message)
    }
}

impl AsyncUdpSocket for LineSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if self.loses(transmit.contents) {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        let limit = self.line.state.limit.load(Relaxed);
        if limit > 0 {
            self.queue.pass(transmit, limit);
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        self.socket.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let received = match self.socket.poll_recv(cx, bufs, meta) {
                Poll::Ready(Ok(received)) => received,
                other => return other,
            };
            let mut kept = 0;
            for at in 0..received {
                if self.loses(&bufs[at][..meta[at].len]) {
                    continue;
                }
                if kept != at {
                    // The caller owns the memory, so the bytes have to move.
                    let (to, from) = bufs.split_at_mut(at);
                    let length = meta[at].len;
                    to[kept][..length].copy_from_slice(&from[0][..length]);
                    meta.swap(kept, at);
                }
                kept += 1;
            }
            if kept > 0 {
                return Poll::Ready(Ok(kept));
            }
        }
    }
}
