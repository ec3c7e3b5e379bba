//! A socket that loses packets both ways, for tests on machines whose network loses none.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

#[derive(Debug)]
pub(super) struct LossySocket {
    socket: Arc<dyn AsyncUdpSocket>,
    loss: f64,
}

impl LossySocket {
    pub fn wrap(socket: Arc<dyn AsyncUdpSocket>, loss: f64) -> Arc<dyn AsyncUdpSocket> {
        if loss > 0.0 {
            Arc::new(Self { socket, loss })
        } else {
            socket
        }
    }

    fn loses(&self) -> bool {
        rand::random::<f64>() < self.loss
    }
}

impl AsyncUdpSocket for LossySocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if self.loses() {
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
                if self.loses() {
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
