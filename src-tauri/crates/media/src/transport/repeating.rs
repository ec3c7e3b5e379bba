//! A socket that sends handshake packets again until they are answered; `flights` says why.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::flights::Flights;

#[derive(Debug)]
pub(super) struct RepeatingSocket {
    shared: Arc<Shared>,
    /// Ends the task that repeats.
    _end: DropGuard,
}

#[derive(Debug)]
struct Shared {
    socket: Arc<dyn AsyncUdpSocket>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    flights: Flights,
    /// The stack waits until the socket takes more. A socket wakes whoever asked last, so we do not ask meanwhile.
    blocked: bool,
}

impl RepeatingSocket {
    /// Needs a runtime around it, for the task that repeats.
    pub fn wrap(socket: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        let shared = Arc::new(Shared {
            socket,
            state: Mutex::default(),
            changed: Notify::new(),
        });
        let end = CancellationToken::new();
        let (repeating, ended) = (shared.clone(), end.clone());
        tokio::spawn(async move {
            ended.run_until_cancelled(repeating.repeat()).await;
        });
        Arc::new(Self {
            shared,
            _end: end.drop_guard(),
        })
    }
}

impl Shared {
    async fn repeat(&self) {
        loop {
            let Some(due) = self.state().flights.due() else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(due.into()) => self.repeat_now(),
            }
        }
    }

    fn repeat_now(&self) {
        let mut state = self.state();
        for (destination, packet) in state.flights.repeat(Instant::now()) {
            let transmit = Transmit {
                destination,
                ecn: None,
                contents: &packet,
                segment_size: None,
                src_ip: None,
            };
            if !state.blocked {
                // What does not leave now is repeated once more.
                let mut nobody = Context::from_waker(Waker::noop());
                let _ = self.socket.poll_send(&mut nobody, &transmit);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncUdpSocket for RepeatingSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let mut state = self.shared.state();
        let sent = self.shared.socket.poll_send(cx, transmit);
        state.blocked = sent.is_pending();
        if matches!(sent, Poll::Ready(Ok(_))) {
            let size = transmit.segment_size.unwrap_or(usize::MAX).max(1);
            let now = Instant::now();
            for packet in transmit.contents.chunks(size) {
                if state.flights.sent(transmit.destination, packet, now) {
                    self.shared.changed.notify_one();
                }
            }
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.shared.socket.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = received {
            let mut state = self.shared.state();
            for (bytes, meta) in bufs.iter().zip(meta).take(count) {
                let bytes = bytes.get(..meta.len).unwrap_or(bytes);
                for packet in bytes.chunks(meta.stride.max(1)) {
                    state.flights.received(packet);
                }
            }
        }
        received
    }

    fn max_gso_segments(&self) -> usize {
        self.shared.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.shared.socket.max_gro_segments()
    }
}
