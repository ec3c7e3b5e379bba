//! Where the sign-in service answers (OpenID Connect Discovery 1.0 §4).

use network::{Clients, Failure};
use openidconnect::core::CoreJsonWebKeySet;
use serde::Deserialize;
use url::Url;

use super::wire;
use crate::clock::Clock;
use crate::error::SignInError;

/// The service's addresses, each checked to be https.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Exactly as the service writes it: the ID token must repeat it to the letter.
    pub issuer: String,
    pub authorization: Url,
    pub token: Url,
    pub keys: Url,
    pub userinfo: Option<Url>,
    pub revocation: Option<Url>,
    pub end_session: Option<Url>,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    userinfo_endpoint: Option<Url>,
    revocation_endpoint: Option<Url>,
    end_session_endpoint: Option<Url>,
}

pub async fn discover(
    issuer: &str,
    clients: &Clients,
    clock: &dyn Clock,
) -> Result<Provider, SignInError> {
    let place = well_known(issuer).ok_or(SignInError::TokenInvalid("issuer"))?;
    let answer = wire::send(clients.single_step().get(place), clock).await?;
    if !answer.status.is_success() {
        return Err(SignInError::Network(Failure::Protocol));
    }
    read(issuer, &answer.body)
}

/// The keys that the service signs with now.
pub async fn keys(
    provider: &Provider,
    clients: &Clients,
    clock: &dyn Clock,
) -> Result<CoreJsonWebKeySet, SignInError> {
    let answer = wire::send(clients.single_step().get(provider.keys.clone()), clock).await?;
    if !answer.status.is_success() {
        return Err(SignInError::Network(Failure::Protocol));
    }
    serde_json::from_slice(&answer.body).map_err(|_| SignInError::Network(Failure::Protocol))
}

/// §4.1: appended to the issuer's path, whether or not that ends in a slash.
fn well_known(issuer: &str) -> Option<Url> {
    let issuer = issuer.trim_end_matches('/');
    Url::parse(&format!("{issuer}/.well-known/openid-configuration")).ok()
}

fn read(issuer: &str, body: &[u8]) -> Result<Provider, SignInError> {
    let metadata: Metadata =
        serde_json::from_slice(body).map_err(|_| SignInError::Network(Failure::Protocol))?;
    // §4.3, but for the final slash, which people forget or add when they copy an address. Tokens
    // are compared with what the service itself writes.
    if metadata.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
        return Err(SignInError::TokenInvalid("issuer of the metadata"));
    }
    let provider = Provider {
        issuer: metadata.issuer,
        authorization: metadata.authorization_endpoint,
        token: metadata.token_endpoint,
        keys: metadata.jwks_uri,
        userinfo: metadata.userinfo_endpoint,
        revocation: metadata.revocation_endpoint,
        end_session: metadata.end_session_endpoint,
    };
    let places = [&provider.authorization, &provider.token, &provider.keys].into_iter();
    let maybe = [
        &provider.userinfo,
        &provider.revocation,
        &provider.end_session,
    ];
    if places
        .chain(maybe.into_iter().flatten())
        .any(|place| place.scheme() != "https")
    {
        return Err(SignInError::TokenInvalid("an endpoint without https"));
    }
    Ok(provider)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn metadata(issuer: &str, token: &str) -> Vec<u8> {
        format!(
            r#"{{"issuer":"{issuer}","authorization_endpoint":"https://auth.example/authorize",
            "token_endpoint":"{token}","jwks_uri":"https://auth.example/jwks",
            "token_endpoint_auth_methods_supported":["client_secret_post"],
            "grant_types_supported":["authorization_code"],"response_modes_supported":["zebra"]}}"#
        )
        .into_bytes()
    }

    #[test]
    fn the_metadata_of_lemonldap_is_enough_although_it_omits_public_clients_and_refresh() {
        let issuer = "https://auth.example/";
        let provider = read(
            issuer,
            &metadata("https://auth.example", "https://auth.example/token"),
        )
        .unwrap();
        assert_eq!(provider.issuer, "https://auth.example");
        assert!(provider.revocation.is_none());
    }

    #[test]
    fn metadata_of_another_issuer_is_refused() {
        let issuer = "https://auth.example/";
        let refused = read(
            issuer,
            &metadata("https://evil.example", "https://auth.example/token"),
        );
        assert!(matches!(refused, Err(SignInError::TokenInvalid(_))));
    }

    #[test]
    fn an_endpoint_without_tls_is_refused() {
        let issuer = "https://auth.example/";
        let refused = read(
            issuer,
            &metadata("https://auth.example", "http://auth.example/token"),
        );
        assert!(matches!(refused, Err(SignInError::TokenInvalid(_))));
    }

    #[test]
    fn the_configuration_is_looked_for_below_the_issuers_path() {
        for (issuer, place) in [
            (
                "https://a.example",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "https://a.example/realms/h",
                "https://a.example/realms/h/.well-known/openid-configuration",
            ),
            (
                "https://a.example/realms/h/",
                "https://a.example/realms/h/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(well_known(issuer).unwrap().as_str(), place);
        }
    }
}
