//! `WireGuard`'s datagrams in a WebSocket over TLS, for networks that let nothing else out: one binary message each
//! (RFC 6455). The other end is [`Relay`], beside the gateway.
//!
//! ```text
//!   WireGuard ── datagrams ──▶ WebSocket ══ TLS 443 ══▶ Relay ── UDP ──▶ the gateway's WireGuard port
//! ```
//!
//! TCP below carries TCP inside: on a lossy line this is slow, therefore UDP comes first.

mod relay;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use parking_lot::Mutex;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Carrier, Channel};
use crate::tls::{self, Stream};

pub use relay::{Relay, RelayLimits};

/// The subprotocol's name (RFC 6455 §1.9): a web server that speaks another one refuses us.
const PROTOCOL: &str = "cordee-wireguard";
/// No datagram is larger (RFC 768).
const LARGEST: usize = 65_535;
/// Messages that are written before the connection pushes back.
const WRITTEN_AHEAD: usize = 256 * 1024;
/// Datagrams that one call gives at most.
const BATCH: usize = 128;

/// A way to the gateway through a [`Relay`].
pub struct WebSocket {
    url: Uri,
    host: String,
    port: u16,
    tls: Arc<rustls::ClientConfig>,
    resolved: Mutex<Option<SocketAddr>>,
}

impl WebSocket {
    /// `url` is `wss://host[:port]/path`; `tls` must offer no application protocol but HTTP/1.1.
    pub fn new(url: &str, tls: Arc<rustls::ClientConfig>) -> io::Result<Self> {
        let invalid = |why: &'static str| io::Error::new(io::ErrorKind::InvalidInput, why);
        let url: Uri = url.parse().map_err(|_| invalid("no address"))?;
        if url.scheme_str() != Some("wss") {
            return Err(invalid("the address has to begin with wss://"));
        }
        let host = url
            .host()
            .ok_or_else(|| invalid("the address names no host"))?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = url.port_u16().unwrap_or(443);
        Ok(Self {
            url,
            host,
            port,
            tls,
            resolved: Mutex::default(),
        })
    }

    async fn connect(&self) -> io::Result<Arc<dyn Channel>> {
        let addresses = tls::resolve(&self.host, self.port).await?;
        *self.resolved.lock() = addresses.first().copied();
        let stream = tls::connect(&addresses, &self.host, &self.tls).await?;
        let mut request = self.url.clone().into_client_request().map_err(io_error)?;
        let headers = request.headers_mut();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config()));
        let (socket, _) = opened.await.map_err(io_error)?;
        let (sink, stream) = socket.split();
        Ok(Arc::new(Open {
            sink: tokio::sync::Mutex::new(sink),
            stream: tokio::sync::Mutex::new(stream),
        }))
    }
}

impl Carrier for WebSocket {
    fn open(&self) -> BoxFuture<'_, io::Result<Arc<dyn Channel>>> {
        self.connect().boxed()
    }

    fn name(&self) -> &'static str {
        "websocket"
    }

    fn gateway(&self) -> Option<SocketAddr> {
        *self.resolved.lock()
    }
}

/// An open WebSocket. One task sends, another receives.
struct Open {
    sink: tokio::sync::Mutex<SplitSink<WebSocketStream<Stream>, Message>>,
    stream: tokio::sync::Mutex<SplitStream<WebSocketStream<Stream>>>,
}

impl Channel for Open {
    fn send<'a>(&'a self, batch: &'a mut Vec<BytesMut>) -> BoxFuture<'a, io::Result<()>> {
        async move {
            let mut sink = self.sink.lock().await;
            for datagram in batch.drain(..).filter(|datagram| datagram.len() <= LARGEST) {
                sink.feed(Message::Binary(datagram.freeze()))
                    .await
                    .map_err(io_error)?;
            }
            sink.flush().await.map_err(io_error)
        }
        .boxed()
    }

    fn receive<'a>(&'a self, into: &'a mut Vec<BytesMut>) -> BoxFuture<'a, io::Result<()>> {
        async move {
            let mut stream = self.stream.lock().await;
            let before = into.len();
            loop {
                let next = if into.len() == before {
                    stream.next().await
                } else {
                    match stream.next().now_or_never() {
                        Some(next) => next,
                        None => return Ok(()),
                    }
                };
                match next {
                    Some(Ok(Message::Binary(datagram))) => into.push(BytesMut::from(datagram)),
                    Some(Ok(Message::Close(_))) | None => {
                        // What came before the end is worth more than the end; it comes again with the next call.
                        return if into.len() > before {
                            Ok(())
                        } else {
                            Err(io::ErrorKind::UnexpectedEof.into())
                        };
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(io_error(error)),
                }
                if into.len() - before >= BATCH {
                    return Ok(());
                }
            }
        }
        .boxed()
    }
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST))
        .write_buffer_size(WRITTEN_AHEAD / 4)
        .max_write_buffer_size(WRITTEN_AHEAD)
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::UnexpectedEof.into(),
        // A web server that is not ours, or a portal that answers in its place.
        _ => io::ErrorKind::InvalidData.into(),
    }
}

#[cfg(test)]
#[path = "websocket/tests.rs"]
mod tests;
