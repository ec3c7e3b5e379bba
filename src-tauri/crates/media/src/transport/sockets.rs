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

use super::relay::Streams;
use super::repeating::RepeatingSocket;

/// The system's 208 KiB overflow when 24 videos arrive and the thread waits for 100 ms.
const RECEIVE_BUFFER: usize = 4 << 20;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Everything as [`TokioRuntime`] does it, except for the size of the UDP receive buffer, handshakes that are repeated
/// and relays that need a stream.
#[derive(Debug, Default)]
pub(super) struct RoomyRuntime {
    pub streams: Streams,
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
        Ok(RepeatingSocket::wrap(self.streams.wrap(socket)))
    }

    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn spawn_reactor(&self, pool_size: usize, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn_reactor(pool_size, future)
    }

    fn wrap_tcp_listener(&self, listener: TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        Ok(Arc::new(DeafListener(listener.local_addr()?)))
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

/// Stands for an address that TCP connections may leave from. The stack wants to listen there; nobody is to connect
/// to us, so the port is free again.
#[derive(Debug)]
struct DeafListener(SocketAddr);

impl AsyncTcpListener for DeafListener {
    fn accept(&self) -> Boxed<'_, io::Result<(Arc<dyn AsyncTcpStream>, SocketAddr)>> {
        Box::pin(std::future::pending())
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn nobody_can_connect_to_us() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = RoomyRuntime::default().wrap_tcp_listener(listener).unwrap();
        let address = ours.local_addr().unwrap();
        assert!(std::net::TcpStream::connect(address).is_err());
    }

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
