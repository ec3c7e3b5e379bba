//! TCP through a line: passed on, held, or answered by a captive portal.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::underlay::{Faults, Tcp};

const LOGIN: &str = "<!doctype html><title>Wi-Fi</title><p>Please sign in to our Wi-Fi.</p>";
/// TLS begins with a record of this type (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// Answers in everybody's name, with a certificate that nobody trusts.
pub struct Portal {
    tls: TlsAcceptor,
}

impl Portal {
    pub fn new(certificate: &str, key: &str) -> Result<Self> {
        let chain =
            CertificateDer::pem_file_iter(certificate).context("the portal's certificate")?;
        let chain = chain.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(key).context("the portal's key")?;
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Self {
            tls: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// A web server of somebody else on the internet.
    pub async fn serve_outside(self: &Arc<Self>, address: SocketAddr) -> Result<()> {
        let listener = TcpListener::bind(address).await?;
        tokio::spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(page(stream, "outside"));
                }
            }
        });
        Ok(())
    }

    async fn answer(&self, stream: TcpStream) -> io::Result<()> {
        let mut first = [0];
        stream.peek(&mut first).await?;
        if first[0] == HANDSHAKE {
            page(self.tls.accept(stream).await?, LOGIN).await
        } else {
            page(stream, LOGIN).await
        }
    }
}

/// Passes connections to `to`, or answers `open` where there is nothing behind. Gives its port.
pub async fn passing(
    address: IpAddr,
    to: Option<SocketAddr>,
    faults: watch::Receiver<Faults>,
    portal: Arc<Portal>,
) -> Result<u16> {
    let listener = TcpListener::bind((address, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let (mut faults, portal) = (faults.clone(), portal.clone());
            tokio::spawn(async move {
                let now = faults.borrow_and_update().tcp;
                match (now, to) {
                    (Tcp::Portal, _) => portal.answer(stream).await,
                    (Tcp::Hangs, _) => {
                        // Until somebody lets it go on; who waited that long has to call again.
                        let _ = faults.wait_for(|faults| faults.tcp != Tcp::Hangs).await;
                        Ok(())
                    }
                    (Tcp::Passes, None) => page(stream, "open").await,
                    (Tcp::Passes, Some(to)) => carry(stream, to, faults).await,
                }
            });
        }
    });
    Ok(port)
}

async fn carry(
    stream: TcpStream,
    to: SocketAddr,
    faults: watch::Receiver<Faults>,
) -> io::Result<()> {
    let inner = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    inner.set_nodelay(true)?;
    let (client_in, client_out) = stream.into_split();
    let (gateway_in, gateway_out) = inner.into_split();
    // Either end is the end of both, as for a router that forgets a connection.
    tokio::select! {
        end = copy(client_in, gateway_out, faults.clone()) => end,
        end = copy(gateway_in, client_out, faults) => end,
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut faults: watch::Receiver<Faults>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        // A portal lets nothing of before pass either.
        let _ = faults.wait_for(|faults| faults.tcp == Tcp::Passes).await;
        let delay = faults.borrow().delay;
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}

/// One answer to one request, whatever it asks.
async fn page(mut stream: impl AsyncRead + AsyncWrite + Unpin, body: &str) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        if request.len() > 16 * 1024 || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
