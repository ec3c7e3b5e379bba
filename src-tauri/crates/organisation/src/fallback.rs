//! What a domain tells without Cordée's document.

use network::Clients;
use serde::Deserialize;
use url::Url;

use crate::Address;
use crate::discover::{self, DiscoverError};
use crate::document::{Document, Identity};

/// WebFinger's name for an OpenID Connect issuer (OpenID Connect Discovery §2).
pub(crate) const OIDC_ISSUER: &str = "http://openid.net/specs/connect/1.0/issuer";

const LARGEST: usize = 64 * 1024;

/// `None` when nothing at the domain answers usefully. An error only when the network fails: the
/// absence of one of the two is normal.
pub(crate) async fn document(
    address: &Address,
    clients: &Clients,
) -> Result<Option<Document>, DiscoverError> {
    let (homeserver, issuer) = tokio::join!(homeserver(address, clients), issuer(address, clients));
    let (homeserver, issuer) = match (homeserver, issuer) {
        (Err(error @ DiscoverError::Network(_)), Err(_)) => return Err(error),
        (homeserver, issuer) => (homeserver.ok().flatten(), issuer.ok().flatten()),
    };
    if homeserver.is_none() && issuer.is_none() {
        return Ok(None);
    }
    Ok(Some(Document::of_fallback(
        address.host(),
        issuer.map(Identity::usual),
        homeserver,
    )))
}

#[derive(Deserialize)]
struct MatrixClient {
    #[serde(rename = "m.homeserver")]
    homeserver: BaseUrl,
}

#[derive(Deserialize)]
struct BaseUrl {
    base_url: Url,
}

/// Matrix client-server API, "Server Discovery".
async fn homeserver(address: &Address, clients: &Clients) -> Result<Option<Url>, DiscoverError> {
    let url = address.https("/.well-known/matrix/client");
    let found: Option<MatrixClient> = json(address, clients, url).await?;
    Ok(found
        .map(|found| found.homeserver.base_url)
        .filter(is_https))
}

#[derive(Deserialize)]
struct WebFinger {
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    rel: String,
    #[serde(default)]
    href: Option<String>,
}

/// RFC 7033.
async fn issuer(address: &Address, clients: &Clients) -> Result<Option<String>, DiscoverError> {
    let found: Option<WebFinger> = json(address, clients, address.webfinger_url()).await?;
    Ok(found
        .into_iter()
        .flat_map(|found| found.links)
        .filter(|link| link.rel == OIDC_ISSUER)
        .filter_map(|link| link.href)
        .find(|href| Url::parse(href).is_ok_and(|url| is_https(&url))))
}

/// `None` for anything but a success with the JSON that was looked for.
async fn json<T: for<'de> Deserialize<'de>>(
    address: &Address,
    clients: &Clients,
    url: Option<Url>,
) -> Result<Option<T>, DiscoverError> {
    let url = url.ok_or(DiscoverError::BadAddress)?;
    let answer = discover::get(clients, url, address, None).await?;
    if !answer.status().is_success() {
        return Ok(None);
    }
    let body = discover::body(answer, LARGEST).await?;
    Ok(serde_json::from_slice(&body).ok())
}

fn is_https(url: &Url) -> bool {
    url.scheme() == "https" && url.host().is_some()
}
