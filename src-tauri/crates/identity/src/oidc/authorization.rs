//! The request that the person's browser carries to the sign-in service (RFC 6749 §4.1.1, PKCE of
//! RFC 7636), and what comes back.

use std::collections::BTreeMap;

use openidconnect::{Nonce, PkceCodeChallenge, PkceCodeVerifier};
use url::Url;

use super::discovery::Provider;
use crate::error::SignInError;
use crate::random;
use crate::secret::Secret;

/// One attempt's unguessable values.
pub struct Proof {
    /// Ties the answer to this attempt.
    pub state: String,
    /// Ties the ID token to this attempt.
    pub nonce: Nonce,
    /// Ties the code to this program.
    pub verifier: PkceCodeVerifier,
}

impl Proof {
    pub fn new() -> Result<Self, SignInError> {
        Ok(Self {
            state: random::token()?,
            nonce: Nonce::new(random::token()?),
            verifier: PkceCodeVerifier::new(random::token()?),
        })
    }
}

/// The address to open in the browser.
pub fn request(
    provider: &Provider,
    client_id: &str,
    scopes: &[String],
    redirect: &Url,
    proof: &Proof,
) -> Url {
    let challenge = PkceCodeChallenge::from_code_verifier_sha256(&proof.verifier);
    let mut url = provider.authorization.clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", client_id)
        .append_pair("redirect_uri", redirect.as_str())
        .append_pair("scope", &scopes.join(" "))
        .append_pair("state", &proof.state)
        .append_pair("nonce", proof.nonce.secret())
        .append_pair("code_challenge", challenge.as_str())
        .append_pair("code_challenge_method", "S256");
    url
}

/// Reads the parameters of the redirect back to us. `state` comes first: nothing else in an answer
/// that was not asked for is believed.
pub fn answer(
    query: &BTreeMap<String, String>,
    state: &str,
    issuer: &str,
) -> Result<Secret, SignInError> {
    if query.get("state").map(String::as_str) != Some(state) {
        return Err(SignInError::StateMismatch);
    }
    // RFC 9207: another service's answer, mixed up with ours.
    if query.get("iss").is_some_and(|iss| iss != issuer) {
        return Err(SignInError::StateMismatch);
    }
    if let Some(error) = query.get("error") {
        return Err(refusal(
            error,
            query.get("error_description").map(String::as_str),
        ));
    }
    match query.get("code") {
        Some(code) if !code.is_empty() => Ok(Secret::from(code.as_str())),
        _ => Err(SignInError::TokenInvalid("an answer without a code")),
    }
}

/// RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6, and what services say about blocked accounts.
fn refusal(error: &str, description: Option<&str>) -> SignInError {
    let said = |words: &[&str]| {
        let description = description.unwrap_or_default().to_lowercase();
        words
            .iter()
            .any(|word| error.contains(word) || description.contains(word))
    };
    match error {
        "server_error" | "temporarily_unavailable" => {
            SignInError::Network(network::Failure::Server { status: 503 })
        }
        _ if said(&["locked", "blocked", "disabled", "brute"]) => SignInError::Blocked,
        _ => SignInError::Refused,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn query(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn an_answer_with_another_state_is_not_believed_even_when_it_is_an_error() {
        for pairs in [
            &[("state", "other"), ("code", "c")][..],
            &[("code", "c")],
            &[("state", "other"), ("error", "access_denied")],
        ] {
            assert_eq!(
                answer(&query(pairs), "mine", "https://a"),
                Err(SignInError::StateMismatch)
            );
        }
    }

    #[test]
    fn an_answer_of_another_issuer_is_a_mix_up() {
        let mixed = query(&[("state", "mine"), ("code", "c"), ("iss", "https://b")]);
        assert_eq!(
            answer(&mixed, "mine", "https://a"),
            Err(SignInError::StateMismatch)
        );
    }

    #[test]
    fn refusals_are_told_apart() {
        let refused = |error: &str, description: &str| {
            let pairs = [
                ("state", "s"),
                ("error", error),
                ("error_description", description),
            ];
            answer(&query(&pairs), "s", "https://a").unwrap_err()
        };
        assert_eq!(refused("access_denied", ""), SignInError::Refused);
        assert_eq!(
            refused("access_denied", "Account is locked"),
            SignInError::Blocked
        );
        assert_eq!(refused("account_disabled", ""), SignInError::Blocked);
        assert!(matches!(
            refused("temporarily_unavailable", ""),
            SignInError::Network(_)
        ));
    }

    #[test]
    fn the_request_carries_an_s256_challenge_and_never_the_verifier() {
        let provider = Provider {
            issuer: "https://a".into(),
            authorization: Url::parse("https://a/authorize?tenant=h").unwrap(),
            token: Url::parse("https://a/token").unwrap(),
            keys: Url::parse("https://a/keys").unwrap(),
            userinfo: None,
            revocation: None,
            end_session: None,
        };
        let proof = Proof::new().unwrap();
        let back = Url::parse("http://127.0.0.1:47811/callback").unwrap();
        let url = request(
            &provider,
            "cordee",
            &["openid".into(), "email".into()],
            &back,
            &proof,
        );
        let sent: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(sent["tenant"], "h");
        assert_eq!(sent["scope"], "openid email");
        assert_eq!(sent["code_challenge_method"], "S256");
        assert_eq!(sent["redirect_uri"], "http://127.0.0.1:47811/callback");
        assert!(!url.as_str().contains(proof.verifier.secret()));
    }
}
