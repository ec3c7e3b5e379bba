//! A local TLS server with its own authority, for tests.
//!
//! It speaks HTTP/1.1, one request per connection, and answers exactly what the test says, also
//! what no well-behaved server would.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::trust::{Trust, provider};
use crate::{Clients, install_crypto_provider};

/// A certificate authority that exists for one test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// # Panics
    /// When a key can't be made.
    #[allow(clippy::expect_used)]
    pub fn new() -> Self {
        install_crypto_provider();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("a self-signed certificate");
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// # Panics
    /// Never with our own certificate.
    #[allow(clippy::expect_used)]
    pub fn trust(&self) -> Trust {
        Trust::from_pem(self.pem.as_bytes()).expect("our own authority")
    }

    /// Clients that trust this authority.
    ///
    /// # Panics
    /// When no client can be made.
    #[allow(clippy::expect_used)]
    pub fn clients(&self) -> Clients {
        Clients::new(&self.trust()).expect("clients")
    }

    #[allow(clippy::expect_used)]
    fn server(&self, names: &[&str]) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let certificate = CertificateParams::new(names)
            .expect("names")
            .signed_by(&key, &self.issuer)
            .expect("a signed certificate");
        ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .expect("a server configuration")
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// What a client asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What the server sends back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub behaviour: Behaviour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Head and body, then close.
    Complete,
    /// The head, then silence until the client gives up.
    StallAfterHead,
    /// Nothing until the client gives up.
    Stall,
    /// Body without announcing its length.
    Unannounced,
    /// Close without a byte.
    HangUp,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            behaviour: Behaviour::Complete,
        }
    }

    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status)
            .header("content-type", "application/json")
            .body(body)
    }

    pub fn page(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status)
            .header("content-type", "text/html; charset=utf-8")
            .body(body)
    }

    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(status).header("location", location)
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    #[must_use]
    pub fn behaving(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} Test\r\nconnection: close\r\n", self.status);
        if self.behaviour != Behaviour::Unannounced {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        head
    }
}

type Answers = Arc<Mutex<Box<dyn FnMut(&Request) -> Answer + Send>>>;

/// A server on 127.0.0.1 that lives as long as this value.
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    answers: Answers,
    requests: Arc<Mutex<Vec<Request>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Server {
    /// With a certificate for `localhost`, `*.localhost` and 127.0.0.1.
    pub async fn start(
        authority: &Authority,
        answers: impl FnMut(&Request) -> Answer + Send + 'static,
    ) -> Self {
        Self::named(
            authority,
            &["localhost", "*.localhost", "127.0.0.1"],
            answers,
        )
        .await
    }

    /// With a certificate for other names.
    pub async fn named(
        authority: &Authority,
        names: &[&str],
        answers: impl FnMut(&Request) -> Answer + Send + 'static,
    ) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(authority.server(names)));
        Self::listen("https", Some(acceptor), answers).await
    }

    /// Without encryption.
    pub async fn plain(answers: impl FnMut(&Request) -> Answer + Send + 'static) -> Self {
        Self::listen("http", None, answers).await
    }

    #[allow(clippy::expect_used)]
    async fn listen(
        scheme: &'static str,
        acceptor: Option<TlsAcceptor>,
        answers: impl FnMut(&Request) -> Answer + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("the port");
        let answers: Answers = Arc::new(Mutex::new(Box::new(answers)));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let serving = tokio::spawn(serve(
            listener,
            acceptor,
            Arc::clone(&answers),
            Arc::clone(&requests),
        ));
        Self {
            address,
            scheme,
            answers,
            requests,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `localhost:PORT`
    pub fn authority(&self) -> String {
        format!("localhost:{}", self.port())
    }

    /// An address on this server; `path` begins with `/`.
    ///
    /// # Panics
    /// When `path` makes no address.
    #[allow(clippy::expect_used)]
    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("{}://{}{path}", self.scheme, self.authority())).expect("an address")
    }

    /// From now on answers differently.
    pub fn answer_with(&self, answers: impl FnMut(&Request) -> Answer + Send + 'static) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(answers);
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    answers: Answers,
    requests: Arc<Mutex<Vec<Request>>>,
) {
    let mut conversations = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        let answers = Arc::clone(&answers);
        let requests = Arc::clone(&requests);
        // A client that hangs up is the test's business, not an error here.
        conversations.spawn(async move {
            let _ = converse(stream, acceptor, &answers, &requests).await;
        });
        while conversations.try_join_next().is_some() {}
    }
}

async fn converse(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    answers: &Answers,
    requests: &Mutex<Vec<Request>>,
) -> io::Result<()> {
    match acceptor {
        Some(acceptor) => speak(acceptor.accept(stream).await?, answers, requests).await,
        None => speak(stream, answers, requests).await,
    }
}

async fn speak(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: &Answers,
    requests: &Mutex<Vec<Request>>,
) -> io::Result<()> {
    let request = read(&mut stream).await?;
    requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request.clone());
    let answer = answers.lock().unwrap_or_else(PoisonError::into_inner)(&request);
    match answer.behaviour {
        Behaviour::HangUp => return Ok(()),
        Behaviour::Stall => return until_gone(&mut stream).await,
        Behaviour::StallAfterHead => {
            stream.write_all(answer.head().as_bytes()).await?;
            stream.flush().await?;
            return until_gone(&mut stream).await;
        }
        Behaviour::Complete | Behaviour::Unannounced => {}
    }
    stream.write_all(answer.head().as_bytes()).await?;
    stream.write_all(&answer.body).await?;
    stream.shutdown().await
}

async fn until_gone(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let gone = async { while stream.read_u8().await.is_ok() {} };
    // A bound for a client that never gives up.
    let _ = tokio::time::timeout(Duration::from_mins(1), gone).await;
    Ok(())
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await?;
        if !byte.is_ascii() {
            // A TLS greeting to a server without encryption.
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let path = first.next().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Request {
        method,
        path,
        headers,
        body,
    })
}
