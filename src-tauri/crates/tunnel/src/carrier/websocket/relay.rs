//! The end beside the gateway: takes WebSockets and passes their datagrams to one UDP port.
//!
//! It opens no door that was closed: the only place it leads to is that port, where `WireGuard` lets in who has a key.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use super::{BATCH, LARGEST, PROTOCOL, config};

/// What one relay bears.
#[derive(Debug, Clone, Copy)]
pub struct RelayLimits {
    /// WebSockets at the same time; more wait for their turn.
    pub sockets: usize,
    /// How long the handshakes may take.
    pub handshake: Duration,
    /// How long nothing may come from a client. `WireGuard` clients send something every 25 s.
    pub silence: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            sockets: 1024,
            handshake: Duration::from_secs(10),
            silence: Duration::from_mins(3),
        }
    }
}

/// Passes datagrams between WebSockets and one UDP port.
#[derive(Clone)]
pub struct Relay {
    tls: TlsAcceptor,
    path: Arc<str>,
    target: SocketAddr,
    limits: RelayLimits,
}

impl Relay {
    /// Serves `path` alone, and leads to `target` alone.
    pub fn new(
        tls: Arc<rustls::ServerConfig>,
        path: &str,
        target: SocketAddr,
        limits: RelayLimits,
    ) -> Self {
        Self {
            tls: TlsAcceptor::from(tls),
            path: path.into(),
            target,
            limits,
        }
    }

    /// Serves until the listener fails. Dropping the future ends all WebSockets.
    pub async fn serve(&self, listener: TcpListener) -> io::Error {
        let places = Arc::new(Semaphore::new(self.limits.sockets));
        let mut clients = JoinSet::new();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return io::ErrorKind::Other.into();
            };
            while clients.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => {
                    let relay = self.clone();
                    clients.spawn(async move {
                        if let Err(error) = relay.client(stream).await {
                            tracing::debug!(kind = ?error.kind(), "a client of the relay is gone");
                        }
                        drop(place);
                    });
                }
                // Out of descriptors, or a client that was gone before we looked: others still come.
                Err(error) if transient(&error) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return error,
            }
        }
    }

    async fn client(&self, stream: TcpStream) -> io::Result<()> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        stream.set_nodelay(true)?;
        let socket = timeout(self.limits.handshake, self.open(stream))
            .await
            .map_err(late)??;
        let (mut sink, mut messages) = socket.split();
        let udp = self.udp().await?;
        let up = async {
            loop {
                let message = timeout(self.limits.silence, messages.next())
                    .await
                    .map_err(late)?;
                match message {
                    // A full buffer or a gateway that is not there (ICMP): datagrams get lost.
                    Some(Ok(Message::Binary(datagram))) => drop(udp.send(&datagram).await),
                    Some(Ok(Message::Close(_))) | None => return Ok(()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(super::io_error(error)),
                }
            }
        };
        let down = async {
            let mut buffer = vec![0; LARGEST];
            loop {
                let mut next = Some(udp.recv(&mut buffer).await);
                let mut count = 0;
                while let Some(received) = next.take() {
                    if let Ok(size) = received {
                        let message = Message::Binary(Bytes::copy_from_slice(&buffer[..size]));
                        sink.feed(message).await.map_err(super::io_error)?;
                    }
                    count += 1;
                    if count < BATCH {
                        next = udp.recv(&mut buffer).now_or_never();
                    }
                }
                sink.flush().await.map_err(super::io_error)?;
            }
        };
        tokio::select! { end = up => end, end = down => end }
    }

    // The error type of the callback is the library's.
    #[allow(clippy::result_large_err)]
    async fn open(
        &self,
        stream: TcpStream,
    ) -> io::Result<tokio_tungstenite::WebSocketStream<tokio_rustls::server::TlsStream<TcpStream>>>
    {
        let stream = self.tls.accept(stream).await?;
        let check = |request: &Request,
                     mut response: Response|
         -> Result<Response, ErrorResponse> {
            let spoken = request.headers().get(SEC_WEBSOCKET_PROTOCOL);
            if request.uri().path() != &*self.path || spoken.is_none_or(|name| name != PROTOCOL) {
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = StatusCode::NOT_FOUND;
                return Err(refusal);
            }
            let headers = response.headers_mut();
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
            Ok(response)
        };
        let opened = tokio_tungstenite::accept_hdr_async_with_config(stream, check, Some(config()));
        opened.await.map_err(super::io_error)
    }

    async fn udp(&self) -> io::Result<UdpSocket> {
        let any: SocketAddr = match self.target {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(self.target).await?;
        Ok(socket)
    }
}

fn transient(error: &io::Error) -> bool {
    // EMFILE and ENFILE have no kind of their own.
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
    ) || matches!(error.raw_os_error(), Some(23 | 24))
}
