//! Tokio's sockets, with room for what arrives while our thread is not scheduled.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

use super::repeating::RepeatingSocket;

/// The system's 208 KiB overflow when 24 videos arrive and the thread waits for 100 ms.
const RECEIVE_BUFFER: usize = 4 << 20;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Everything as [`TokioRuntime`] does it, except for the size of the UDP receive buffer and handshakes that are
/// repeated.
#[derive(Debug, Default)]
pub(super) struct RoomyRuntime {
    #[cfg(feature = "testing")]
    pub line: super::Line,
}

impl Runtime for RoomyRuntime {
    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        // The system may allow less than we ask for; then it is the most that it allows.
        if let Err(error) = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER) {
            tracing::warn!(kind = ?error.kind(), "The receive buffer stays as it is");
        }
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        #[cfg(feature = "testing")]
        let socket = self.line.wrap(socket);
        Ok(RepeatingSocket::wrap(socket))
    }

    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn spawn_reactor(&self, pool_size: usize, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn_reactor(pool_size, future)
    }

    fn wrap_tcp_listener(&self, listener: TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp(&self, remote: SocketAddr) -> Boxed<'_, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        TokioRuntime.resolve_host(host)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        TokioRuntime.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Boxed<'static, ()> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "tokio, roomy"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn the_receive_buffer_is_larger_than_the_systems_own() {
        let plain = UdpSocket::bind("127.0.0.1:0").unwrap();
        let before = SockRef::from(&plain).recv_buffer_size().unwrap();
        let ours = plain.try_clone().unwrap();
        plain.set_nonblocking(true).unwrap();
        let _wrapped = RoomyRuntime::default().wrap_udp_socket(plain).unwrap();
        assert!(SockRef::from(&ours).recv_buffer_size().unwrap() > before);
    }
}
