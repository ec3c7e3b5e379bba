//! From an address to the organisation's document.
//!
//! ```text
//! https://DOMAIN/.well-known/cordee ── 200 JSON ─────────────▶ checked document
//!        │  one redirect inside the domain is followed
//!        └─ 404, or a web page ─▶ .well-known/matrix/client + WebFinger ─▶ what they tell
//!                                         └─ nothing ─▶ NotFound
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use network::reqwest::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use network::reqwest::{Response, StatusCode};
use network::{Clients, Failure, PortalCheck};
use problem::{Problem, Retry};
use url::Url;

use crate::Address;
use crate::document::{Document, DocumentError, LARGEST, Place};
use crate::{fallback, view};

/// Time for everything: the document, a redirect and the fallbacks.
pub const DEADLINE: Duration = Duration::from_secs(12);

/// Why an organisation was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoverError {
    #[error("not an address")]
    BadAddress,
    #[error("no document, no Matrix server and no identity provider at this domain")]
    NotFound,
    #[error("the document is wrong at {place}: {what}")]
    BadDocument { place: Place, what: String },
    #[error("the document has version {version}")]
    UnsupportedVersion { version: u64 },
    #[error("the address or a redirect is without encryption")]
    Insecure,
    /// To a host that does not belong to the domain.
    #[error("redirected to another domain")]
    Redirected { to: String },
    #[error("the document is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("the server took too long")]
    Slow,
    #[error(transparent)]
    Network(#[from] Failure),
}

impl DiscoverError {
    pub fn problem(&self) -> Problem {
        if let Self::Network(failure) = self {
            return failure.problem();
        }
        let (code, data) = self.code();
        let mut problem = Problem::new(code, self.retry());
        problem.data = data;
        problem
    }

    pub fn retry(&self) -> Retry {
        match self {
            Self::BadAddress | Self::NotFound => Retry::NeedsUser,
            Self::Slow => Retry::Network,
            Self::Network(failure) => failure.retry(),
            Self::BadDocument { .. }
            | Self::UnsupportedVersion { .. }
            | Self::Insecure
            | Self::Redirected { .. }
            | Self::TooLarge => Retry::Permanent,
        }
    }

    /// The code of the UI's contract and the values its sentence needs.
    pub(crate) fn code(&self) -> (&'static str, BTreeMap<String, String>) {
        let with = |key: &str, value: String| BTreeMap::from([(key.to_owned(), value)]);
        match self {
            Self::BadAddress => ("organisation.badAddress", BTreeMap::new()),
            Self::NotFound => ("organisation.notFound", BTreeMap::new()),
            Self::BadDocument { place, .. } => (
                "organisation.badDocument",
                with("place", place.as_str().to_owned()),
            ),
            Self::UnsupportedVersion { version } => (
                "organisation.unsupportedVersion",
                with("version", version.to_string()),
            ),
            Self::Insecure => ("organisation.insecure", BTreeMap::new()),
            Self::Redirected { to } => ("organisation.redirected", with("to", to.clone())),
            Self::TooLarge => ("organisation.tooLarge", with("max", LARGEST.to_string())),
            Self::Slow => ("organisation.slow", BTreeMap::new()),
            Self::Network(failure) => failure.code(),
        }
    }
}

impl From<DocumentError> for DiscoverError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::TooLarge => Self::TooLarge,
            DocumentError::Bad { place, what } => Self::BadDocument { place, what },
            DocumentError::UnsupportedVersion { version } => Self::UnsupportedVersion { version },
        }
    }
}

/// A document and how it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub document: Document,
    pub source: Source,
    /// The document's bytes and ETag, to keep and to ask again with. Empty for a fallback.
    pub(crate) body: Vec<u8>,
    pub etag: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The organisation's own document.
    Document,
    /// What other protocols publish at the domain.
    Fallback,
}

/// Finds the organisation of an address.
pub async fn discover(address: &Address, clients: &Clients) -> Result<Found, DiscoverError> {
    match refresh(address, clients, None, DEADLINE).await {
        Ok(Fetched::New(found)) => Ok(*found),
        // Nobody asked with an ETag.
        Ok(Fetched::Same) => Err(DiscoverError::Network(Failure::Protocol)),
        Err(error) => Err(explained(error, view::plain_page(address), clients).await),
    }
}

/// A person in a hotel should read "accept the terms first", not "wrong certificate".
async fn explained(
    error: DiscoverError,
    page: Option<PortalCheck>,
    clients: &Clients,
) -> DiscoverError {
    let perhaps_portal = matches!(
        error,
        DiscoverError::Slow
            | DiscoverError::Network(
                Failure::WrongCertificate | Failure::Timeout | Failure::Refused | Failure::Protocol
            )
    );
    if let Some(page) = page.filter(|_| perhaps_portal)
        && network::is_captive_portal(clients, page).await
    {
        DiscoverError::Network(Failure::CaptivePortal)
    } else {
        error
    }
}

pub(crate) enum Fetched {
    New(Box<Found>),
    /// 304: what one has is current.
    Same,
}

pub(crate) async fn refresh(
    address: &Address,
    clients: &Clients,
    etag: Option<&str>,
    deadline: Duration,
) -> Result<Fetched, DiscoverError> {
    tokio::time::timeout(deadline, find(address, clients, etag))
        .await
        .unwrap_or(Err(DiscoverError::Slow))
}

async fn find(
    address: &Address,
    clients: &Clients,
    etag: Option<&str>,
) -> Result<Fetched, DiscoverError> {
    let url = address.document_url().ok_or(DiscoverError::BadAddress)?;
    let answer = get(clients, url, address, etag).await?;
    let status = answer.status();
    if status == StatusCode::NOT_MODIFIED && etag.is_some() {
        return Ok(Fetched::Same);
    }
    if let Some(failure) = Failure::of_status(status) {
        return Err(failure.into());
    }
    if !status.is_success() || is_web_page(&answer) {
        let document = fallback::document(address, clients)
            .await?
            .ok_or(DiscoverError::NotFound)?;
        return Ok(Fetched::New(Box::new(Found {
            document,
            source: Source::Fallback,
            body: Vec::new(),
            etag: None,
        })));
    }
    let etag = answer
        .headers()
        .get(ETAG)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let body = body(answer, LARGEST).await?;
    let document = Document::parse(&body)?;
    Ok(Fetched::New(Box::new(Found {
        document,
        source: Source::Document,
        body,
        etag,
    })))
}

/// Many web sites answer any path with their front page.
fn is_web_page(answer: &Response) -> bool {
    answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .trim_start()
                .to_ascii_lowercase()
                .starts_with("text/html")
        })
}

/// Asks, and follows one redirect when it stays inside the domain.
pub(crate) async fn get(
    clients: &Clients,
    url: Url,
    address: &Address,
    etag: Option<&str>,
) -> Result<Response, DiscoverError> {
    let ask = async |url: Url| {
        let mut request = clients
            .single_step()
            .get(url)
            .header("accept", "application/json");
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        request.send().await.map_err(|error| unreachable(&error))
    };
    let answer = ask(url.clone()).await?;
    match redirect_target(&answer, &url)? {
        None => Ok(answer),
        Some(target) => {
            let target = inside(&target, address)?;
            let answer = ask(target.clone()).await?;
            match redirect_target(&answer, &target)? {
                None => Ok(answer),
                Some(next) => Err(match inside(&next, address) {
                    Ok(next) => DiscoverError::Redirected { to: host_of(&next) },
                    Err(error) => error,
                }),
            }
        }
    }
}

/// The whole body, or `TooLarge` as soon as that is known.
pub(crate) async fn body(mut answer: Response, most: usize) -> Result<Vec<u8>, DiscoverError> {
    let announced = answer.content_length();
    if announced.is_some_and(|length| usize::try_from(length).is_ok_and(|length| length > most)) {
        return Err(DiscoverError::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > most {
            return Err(DiscoverError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn unreachable(error: &network::reqwest::Error) -> DiscoverError {
    match Failure::of(error) {
        // The host is there and took the connection: it is the server that is slow.
        Failure::Timeout if !error.is_connect() => DiscoverError::Slow,
        failure => failure.into(),
    }
}

fn redirect_target(answer: &Response, asked: &Url) -> Result<Option<Url>, DiscoverError> {
    let moved = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    if !moved {
        return Ok(None);
    }
    answer
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| asked.join(value).ok())
        .map(Some)
        .ok_or(DiscoverError::Network(Failure::Protocol))
}

/// The domain itself or a name below it, and https.
fn inside(target: &Url, address: &Address) -> Result<Url, DiscoverError> {
    let host = host_of(target);
    let below = host
        .strip_suffix(address.host())
        .is_some_and(|front| front.is_empty() || front.ends_with('.'));
    if !below {
        Err(DiscoverError::Redirected { to: host })
    } else if target.scheme() == "https" {
        Ok(target.clone())
    } else {
        Err(DiscoverError::Insecure)
    }
}

fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
