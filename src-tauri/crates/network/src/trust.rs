//! Whom we believe: the platform's authorities and those the organisation adds.
//!
//! The verifier can be exchanged while clients exist, because some libraries keep the client they
//! were given for as long as they live.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, NamedGroup, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// The authorities an organisation adds to those of the platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    extra_authorities: Vec<CertificateDer<'static>>,
}

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not PEM, or no certificate in it.
    #[error("the text holds no PEM certificate")]
    NotPem,
    /// A certificate that can't be an authority, or no authority at all on this system.
    #[error("the authorities can't be used")]
    Unusable(#[source] rustls::Error),
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

impl Trust {
    /// Only the platform's authorities.
    pub fn platform() -> Self {
        Self::default()
    }

    /// The platform's authorities and every certificate in `pem` (one or many).
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustError> {
        let mut trust = Self::platform();
        trust.add_pem(pem)?;
        Ok(trust)
    }

    /// Adds every certificate in `pem` and says how many there were.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<usize, TrustError> {
        let found = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| TrustError::NotPem)?;
        if found.is_empty() {
            return Err(TrustError::NotPem);
        }
        // A certificate that is no authority must be refused here, where its place is known, and
        // not later when a client is made.
        let mut roots = rustls::RootCertStore::empty();
        for certificate in &found {
            roots
                .add(certificate.clone())
                .map_err(TrustError::Unusable)?;
        }
        let added = found.len();
        for certificate in found {
            if !self.extra_authorities.contains(&certificate) {
                self.extra_authorities.push(certificate);
            }
        }
        Ok(added)
    }

    /// How many authorities come on top of the platform's.
    pub fn extra_authorities(&self) -> usize {
        self.extra_authorities.len()
    }

    fn verifier(&self) -> Result<Arc<Verifier>, TrustError> {
        Verifier::new_with_extra_roots(self.extra_authorities.iter().cloned(), provider())
            .map(Arc::new)
            .map_err(TrustError::Unusable)
    }
}

/// Two providers meet in the program's graph, so rustls would panic without a default one.
/// Safe to call many times; every binary and every test calls it first.
pub fn install_crypto_provider() {
    // A second call, or a provider somebody else installed first, is fine: ours is passed
    // explicitly wherever we build a configuration.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The verifier and the session memory behind all clients of one [`crate::Clients`].
#[derive(Debug)]
pub(crate) struct LiveTrust {
    verifier: Arc<LiveVerifier>,
    sessions: Arc<Sessions>,
}

impl LiveTrust {
    pub(crate) fn new(trust: &Trust) -> Result<Self, TrustError> {
        Ok(Self {
            verifier: Arc::new(LiveVerifier(RwLock::new(trust.verifier()?))),
            sessions: Arc::new(Sessions(RwLock::new(empty_memory()))),
        })
    }

    /// From the next handshake on. Sessions are forgotten, because a resumed session would skip
    /// the verification.
    pub(crate) fn set(&self, trust: &Trust) -> Result<(), TrustError> {
        let verifier = trust.verifier()?;
        *self
            .verifier
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner) = verifier;
        *self
            .sessions
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner) = empty_memory();
        Ok(())
    }

    // The one place that may.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn configuration(&self, handshake: Handshake) -> Result<ClientConfig, TrustError> {
        let mut configuration = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&self.verifier) as _)
            .with_no_client_auth();
        configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        configuration.resumption = match handshake {
            Handshake::MayResume => Resumption::store(Arc::clone(&self.sessions) as _),
            Handshake::AlwaysWhole => Resumption::disabled(),
        };
        Ok(configuration)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    MayResume,
    /// Verifies the certificate each time: what a probe is for.
    AlwaysWhole,
}

#[derive(Debug)]
struct LiveVerifier(RwLock<Arc<Verifier>>);

impl LiveVerifier {
    fn current(&self) -> Arc<Verifier> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ServerCertVerifier for LiveVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.current().verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().supported_verify_schemes()
    }
}

/// rustls' own memory of sessions, exchangeable as a whole.
#[derive(Debug)]
struct Sessions(RwLock<Arc<ClientSessionMemoryCache>>);

fn empty_memory() -> Arc<ClientSessionMemoryCache> {
    Arc::new(ClientSessionMemoryCache::new(64))
}

impl Sessions {
    fn current(&self) -> Arc<ClientSessionMemoryCache> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.current().set_kx_hint(server_name, group);
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.current().kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.current().set_tls12_session(server_name, value);
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.current().tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.current().remove_tls12_session(server_name);
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        self.current().insert_tls13_ticket(server_name, value);
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.current().take_tls13_ticket(server_name)
    }
}
