//! The token endpoint (RFC 6749 §4.1.3, §5, §6) and revocation (RFC 7009), as a public client.

use std::time::Duration;

use network::clock::Skew;
use network::{Clients, Failure};
use serde::Deserialize;
use url::Url;

use super::wire::{self, Answer};
use crate::clock::Clock;
use crate::secret::Secret;

/// Lifetime of an access token whose service does not tell it (§5.1 only recommends `expires_in`).
const UNTOLD_LIFETIME: Duration = Duration::from_mins(5);
const LONGEST_LIFETIME: Duration = Duration::from_hours(30 * 24);

#[derive(Debug)]
pub struct Tokens {
    pub access: Secret,
    /// `None` at a refresh means that the old one stays in use (§6).
    pub refresh: Option<Secret>,
    pub id_token: Option<Secret>,
    pub lifetime: Duration,
    pub skew: Option<Skew>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenFailure {
    Network(Failure),
    /// The service refuses this grant for good: `invalid_grant` and its kin.
    Refused,
}

impl From<Failure> for TokenFailure {
    fn from(failure: Failure) -> Self {
        Self::Network(failure)
    }
}

pub async fn exchange(
    endpoint: &Url,
    client_id: &str,
    code: &Secret,
    verifier: &str,
    redirect: &Url,
    clients: &Clients,
    clock: &dyn Clock,
) -> Result<Tokens, TokenFailure> {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", client_id),
        ("code", code.expose_text().unwrap_or_default()),
        ("code_verifier", verifier),
        ("redirect_uri", redirect.as_str()),
    ];
    let request = clients.single_step().post(endpoint.clone()).form(&form);
    read(&wire::send(request, clock).await?)
}

pub async fn refresh(
    endpoint: &Url,
    client_id: &str,
    token: &Secret,
    clients: &Clients,
    clock: &dyn Clock,
) -> Result<Tokens, TokenFailure> {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", client_id),
        ("refresh_token", token.expose_text().unwrap_or_default()),
    ];
    let request = clients.single_step().post(endpoint.clone()).form(&form);
    read(&wire::send(request, clock).await?)
}

/// Whether the service confirmed that `token` is of no use any more.
pub async fn revoke(
    endpoint: &Url,
    client_id: &str,
    token: &Secret,
    hint: &str,
    clients: &Clients,
    clock: &dyn Clock,
) -> Result<bool, Failure> {
    let form = [
        ("token", token.expose_text().unwrap_or_default()),
        ("token_type_hint", hint),
        ("client_id", client_id),
    ];
    let request = clients.single_step().post(endpoint.clone()).form(&form);
    Ok(wire::send(request, clock).await?.status.is_success())
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: String,
    refresh_token: Option<String>,
    id_token: Option<String>,
    expires_in: Option<Seconds>,
}

/// A number by the specification, a string in some services' answers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

#[derive(Deserialize)]
struct Error {
    error: String,
}

fn read(answer: &Answer) -> Result<Tokens, TokenFailure> {
    if !answer.status.is_success() {
        return Err(match serde_json::from_slice::<Error>(&answer.body) {
            Ok(error) if is_final(&error.error) => TokenFailure::Refused,
            _ => TokenFailure::Network(Failure::Protocol),
        });
    }
    let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| Failure::Protocol)?;
    if !granted.token_type.eq_ignore_ascii_case("bearer") || granted.access_token.is_empty() {
        return Err(TokenFailure::Network(Failure::Protocol));
    }
    Ok(Tokens {
        access: Secret::from(granted.access_token),
        refresh: granted
            .refresh_token
            .filter(|token| !token.is_empty())
            .map(Secret::from),
        id_token: granted.id_token.map(Secret::from),
        lifetime: granted
            .expires_in
            .map_or(UNTOLD_LIFETIME, |seconds| lifetime(&seconds)),
        skew: answer.skew,
    })
}

fn lifetime(seconds: &Seconds) -> Duration {
    let seconds = match seconds {
        Seconds::Number(number) => *number,
        Seconds::Text(text) => text.trim().parse().unwrap_or(UNTOLD_LIFETIME.as_secs_f64()),
    };
    Duration::try_from_secs_f64(seconds)
        .unwrap_or(UNTOLD_LIFETIME)
        .min(LONGEST_LIFETIME)
}

/// `LemonLDAP::NG` 2.16 answers `invalid_request` to a refresh token whose session was ended.
fn is_final(error: &str) -> bool {
    matches!(
        error,
        "invalid_grant"
            | "invalid_request"
            | "invalid_client"
            | "unauthorized_client"
            | "access_denied"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use network::reqwest::StatusCode;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
            skew: None,
        }
    }

    #[test]
    fn a_lifetime_is_read_from_numbers_and_from_texts_and_bounded() {
        for (given, seconds) in [
            (r#","expires_in":300"#, 300),
            (r#","expires_in":"120""#, 120),
            (r#","expires_in":-5"#, 300),
            (r#","expires_in":1e300"#, 300),
            (r#","expires_in":99999999"#, 30 * 24 * 3600),
            ("", 300),
        ] {
            let body = format!(r#"{{"access_token":"a","token_type":"Bearer"{given}}}"#);
            assert_eq!(
                read(&answer(200, &body)).unwrap().lifetime.as_secs(),
                seconds,
                "{given}"
            );
        }
    }

    #[test]
    fn only_an_answer_that_says_so_ends_a_session() {
        for error in ["invalid_grant", "invalid_request"] {
            let body = format!(r#"{{"error":"{error}"}}"#);
            assert_eq!(
                read(&answer(400, &body)).unwrap_err(),
                TokenFailure::Refused
            );
        }
        for (status, body) in [
            (400, "<html>"),
            (404, ""),
            (403, r#"{"error":"slow_down"}"#),
        ] {
            assert_eq!(
                read(&answer(status, body)).unwrap_err(),
                TokenFailure::Network(Failure::Protocol)
            );
        }
    }

    proptest! {
        #[test]
        fn no_answer_from_outside_can_break_the_reader(status in 200u16..600, body in ".{0,200}") {
            let _ = read(&answer(status, &body));
        }
    }

    #[test]
    fn what_is_granted_is_never_printed() {
        let body = r#"{"access_token":"hush","token_type":"bearer","refresh_token":"hush"}"#;
        let tokens = read(&answer(200, body)).unwrap();
        assert!(!format!("{tokens:?}").contains("hush"));
    }
}
