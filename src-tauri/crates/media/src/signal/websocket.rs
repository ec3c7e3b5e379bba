//! The websocket below the signalling client, with the TLS configuration that the caller chose.
//!
//! The client takes one factory per process, and sessions may differ in whom they trust: so the configuration is
//! handed over beside it, in the task that connects.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_net::{
    Header, HttpClient, HttpMethod, HttpResponse, TransportError, WsClient, WsConnectResult,
    WsConnection,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Duration, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::Url;

use super::credible::credible;

/// The state of a room of 50 has about 100 kB.
const LARGEST_MESSAGE: usize = 4 << 20;

tokio::task_local! {
    static TLS: Option<Arc<rustls::ClientConfig>>;
}

/// Makes this module the process's websocket factory. Whoever was first stays.
pub(super) fn register() {
    livekit_net::set_ws_client(Arc::new(Factory));
    livekit_net::set_http_client(Arc::new(NoHttp));
}

/// `connecting` uses this configuration for `wss`.
pub(super) async fn with_tls<T>(
    tls: Option<Arc<rustls::ClientConfig>>,
    connecting: impl Future<Output = T>,
) -> T {
    TLS.scope(tls, connecting).await
}

struct Factory;

#[async_trait]
impl WsClient for Factory {
    async fn connect(
        &self,
        url: String,
        headers: Vec<Header>,
        timeout_ms: u64,
    ) -> Result<WsConnectResult, TransportError> {
        let tls = TLS.try_with(Clone::clone).ok().flatten();
        let connection = timeout(
            Duration::from_millis(timeout_ms),
            connect(&url, headers, tls),
        )
        .await
        .map_err(|_| TransportError::Timeout)??;
        Ok(WsConnectResult { connection })
    }
}

async fn connect(
    address: &str,
    headers: Vec<Header>,
    tls: Option<Arc<rustls::ClientConfig>>,
) -> Result<Arc<dyn WsConnection>, TransportError> {
    let other = |what: &str| TransportError::Other(what.to_owned());
    let url = Url::parse(address).map_err(|_| other("address"))?;
    let host = url.host_str().ok_or_else(|| other("host"))?;
    let port = url.port_or_known_default().ok_or_else(|| other("port"))?;
    let mut request = address
        .into_client_request()
        .map_err(|_| other("address"))?;
    for Header { name, value } in headers {
        let name: tungstenite::http::HeaderName = name.parse().map_err(|_| other("header"))?;
        let value = value.parse().map_err(|_| other("header"))?;
        request.headers_mut().insert(name, value);
    }
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port))
        .await
        .map_err(|error| TransportError::Connection(error.kind().to_string()))?;
    // Signals are small and each one is waited for.
    let _ = stream.set_nodelay(true);
    if url.scheme() == "ws" {
        return open(request, stream).await;
    }
    let tls = tls.ok_or_else(|| other("no TLS configuration"))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| other("host"))?;
    let stream = tokio_rustls::TlsConnector::from(tls)
        .connect(name, stream)
        .await
        .map_err(|error| TransportError::Connection(error.kind().to_string()))?;
    open(request, stream).await
}

async fn open<S>(
    request: tungstenite::handshake::client::Request,
    stream: S,
) -> Result<Arc<dyn WsConnection>, TransportError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = WebSocketConfig::default()
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE));
    let (socket, _) = client_async_with_config(request, stream, Some(limits))
        .await
        .map_err(|error| match error {
            tungstenite::Error::Http(response) => TransportError::Http {
                status: response.status().as_u16(),
            },
            _ => TransportError::Connection("handshake".to_owned()),
        })?;
    let (sink, stream) = socket.split();
    Ok(Arc::new(Socket {
        sink: Mutex::new(sink),
        stream: Mutex::new(stream),
    }))
}

struct Socket<S> {
    sink: Mutex<SplitSink<WebSocketStream<S>, Message>>,
    stream: Mutex<SplitStream<WebSocketStream<S>>>,
}

#[async_trait]
impl<S> WsConnection for Socket<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    async fn send(&self, frame: Vec<u8>) -> Result<(), TransportError> {
        let mut sink = self.sink.lock().await;
        sink.send(Message::binary(frame))
            .await
            .map_err(|_| TransportError::Closed)
    }

    async fn recv(&self) -> Result<Option<Vec<u8>>, TransportError> {
        let mut stream = self.stream.lock().await;
        loop {
            match stream.next().await {
                Some(Ok(Message::Binary(frame))) => {
                    let frame = credible(frame.into());
                    return frame.map(Some).ok_or(TransportError::Closed);
                }
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                // Pings are answered below us; LiveKit sends no text.
                Some(Ok(_)) => {}
                Some(Err(_)) => return Err(TransportError::Closed),
            }
        }
    }

    async fn close(&self) {
        let _ = self.sink.lock().await.close().await;
    }
}

/// The client would ask by HTTP why a handshake failed. The status of the handshake says enough, and HTTP clients are
/// made elsewhere.
struct NoHttp;

#[async_trait]
impl HttpClient for NoHttp {
    async fn request(
        &self,
        _: HttpMethod,
        _: String,
        _: Vec<Header>,
        _: Option<Vec<u8>>,
    ) -> Result<HttpResponse, TransportError> {
        Err(TransportError::Other("there is no HTTP here".to_owned()))
    }
}
