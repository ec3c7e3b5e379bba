//! Where the gateway is, and the TLS connection to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::source::Ended;
use crate::tls::{self, Stream};

/// An AnyConnect gateway.
#[derive(Clone)]
pub struct Gateway {
    host: String,
    port: u16,
    group: Option<String>,
    tls: Arc<rustls::ClientConfig>,
}

impl Gateway {
    /// `host` is looked up by the system, named in the TLS handshake and compared with the certificate. `tls` must
    /// offer no application protocol but HTTP/1.1.
    pub fn new(host: impl Into<String>, port: u16, tls: Arc<rustls::ClientConfig>) -> Self {
        Self {
            host: host.into(),
            port,
            group: None,
            tls,
        }
    }

    /// Names the group to sign in to, where a gateway has several.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    pub(super) fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// `host:port`, without the port where it is the usual one.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == 443 {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    pub(super) async fn resolve(&self) -> Result<Vec<SocketAddr>, Ended> {
        let found = tls::resolve(&self.host, self.port).await;
        found.map_err(|_| Ended::Unreachable)
    }

    pub(super) async fn connect(&self, addresses: &[SocketAddr]) -> Result<Stream, Ended> {
        let connected = tls::connect(addresses, &self.host, &self.tls).await;
        connected.map_err(|error| ended_by(&error))
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway(…)")
    }
}

/// What a failed read, write or handshake means for the session.
pub(super) fn ended_by(error: &io::Error) -> Ended {
    match tls::behind(error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Ended::WrongCertificate
        }
        Some(_) => Ended::Protocol("TLS"),
        None => Ended::from(io::Error::from(error.kind())),
    }
}
