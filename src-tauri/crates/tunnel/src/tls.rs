//! A TLS connection to a gateway, for the sources that need one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::io::BufWriter;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What packets travel on. Records are gathered before they go out, so that a batch of packets costs one call.
pub type Stream = TlsStream<BufWriter<TcpStream>>;

/// Bytes of records that are gathered.
const GATHERED: usize = 64 * 1024;
/// Pause before the next address of the same name is tried beside the one that does not answer (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// The addresses of a name, as the system knows them now. Never empty.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    }
    Ok(addresses)
}

/// Connects to the first of these addresses that answers, and makes sure that the certificate is the host's. Can be
/// cancelled; the caller has the deadline.
pub async fn connect(
    addresses: &[SocketAddr],
    host: &str,
    tls: &Arc<rustls::ClientConfig>,
) -> io::Result<Stream> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let tcp = first_that_answers(addresses).await?;
    tcp.set_nodelay(true)?;
    TlsConnector::from(tls.clone())
        .connect(name, BufWriter::with_capacity(GATHERED, tcp))
        .await
}

/// The TLS error behind a failed read, write or handshake.
pub fn behind(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

async fn first_that_answers(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut tries = FuturesUnordered::new();
    for (turn, address) in (0_u32..).zip(addresses) {
        tries.push(async move {
            tokio::time::sleep(HEAD_START * turn).await;
            TcpStream::connect(address).await
        });
    }
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    while let Some(result) = tries.next().await {
        match result {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
