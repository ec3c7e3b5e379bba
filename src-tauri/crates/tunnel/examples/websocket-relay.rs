//! The relay beside a `WireGuard` gateway, for clients whose network lets nothing but TLS out:
//!
//! `websocket-relay LISTEN CERTIFICATE KEY PATH TARGET`, for example
//! `websocket-relay 0.0.0.0:443 fullchain.pem key.pem /wireguard 127.0.0.1:51820`.
//!
//! The certificate and key are read at the start: start it again after they were renewed.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tunnel::websocket::{Relay, RelayLimits};

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    // Two providers may be in one program; rustls then wants to be told.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, certificate, key, path, target] = arguments.as_slice() else {
        bail!("websocket-relay LISTEN CERTIFICATE KEY PATH TARGET");
    };
    let target: SocketAddr = target.parse().context("TARGET is no address with a port")?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let relay = Relay::new(tls(certificate, key)?, path, target, RelayLimits::default());
    tracing::info!(
        "passing {path} on {} to the WireGuard port",
        listener.local_addr()?
    );
    Err(relay.serve(listener).await.into())
}

fn tls(certificate: &str, key: &str) -> Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .with_context(|| format!("cannot read {certificate}"))?;
    let chain = chain
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{certificate} is no PEM file"))?;
    let key =
        PrivateKeyDer::from_pem_file(key).with_context(|| format!("{key} holds no private key"))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}
