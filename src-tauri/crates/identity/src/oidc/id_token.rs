//! Validation of the ID token (OpenID Connect Core §3.1.3.7).

use std::str::FromStr as _;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use network::clock::Skew;
use openidconnect::core::{
    CoreIdToken, CoreIdTokenClaims, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm,
};
use openidconnect::{
    AccessToken, AccessTokenHash, ClaimsVerificationError, ClientId, IssuerUrl, Nonce,
};

use crate::error::SignInError;
use crate::secret::Secret;

/// Difference between honest clocks that is not worth a word.
const TOLERATED: Duration = Skew::TOLERATED;

/// Asymmetric ones only: a public client shares no key with the service.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 5] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// What the token must fit.
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a Nonce,
    pub keys: CoreJsonWebKeySet,
    pub access_token: &'a Secret,
    pub now: SystemTime,
    pub skew: Option<Skew>,
}

/// The claims of a token whose signature, issuer, audience, party, times, nonce and binding to the
/// access token all hold.
pub fn verify(raw: &Secret, expected: Expected<'_>) -> Result<CoreIdTokenClaims, SignInError> {
    let token = raw
        .expose_text()
        .and_then(|text| CoreIdToken::from_str(text).ok())
        .ok_or(SignInError::TokenInvalid("form"))?;
    let issuer = IssuerUrl::new(expected.issuer.to_owned())
        .map_err(|_| SignInError::TokenInvalid("issuer"))?;
    let client = ClientId::new(expected.client_id.to_owned());
    let now = DateTime::<Utc>::from(expected.now);
    let verifier = CoreIdTokenVerifier::new_public_client(client.clone(), issuer, expected.keys)
        .set_allowed_algs(ALGORITHMS)
        .set_time_fn(move || now - TOLERATED)
        .set_issue_time_verifier_fn(move |issued| {
            if issued > now + TOLERATED {
                Err("issued in the future".into())
            } else {
                Ok(())
            }
        });
    let claims = token
        .claims(&verifier, expected.nonce)
        .map_err(|error| explain(&error, expected.skew))?;
    if claims
        .authorized_party()
        .is_some_and(|party| *party != client)
    {
        return Err(SignInError::TokenInvalid("authorized party"));
    }
    if let Some(hash) = claims.access_token_hash() {
        let access = AccessToken::new(
            expected
                .access_token
                .expose_text()
                .unwrap_or_default()
                .to_owned(),
        );
        let fits = token
            .signing_alg()
            .ok()
            .zip(token.signing_key(&verifier).ok())
            .and_then(|(algorithm, key)| AccessTokenHash::from_token(&access, algorithm, key).ok())
            .is_some_and(|computed| computed == *hash);
        if !fits {
            return Err(SignInError::TokenInvalid("hash of the access token"));
        }
    }
    Ok(claims.clone())
}

/// A token out of its time is this computer's fault when its clock is off, and worth saying so.
fn explain(error: &ClaimsVerificationError, skew: Option<Skew>) -> SignInError {
    match (error, skew) {
        (ClaimsVerificationError::Expired(_), Some(skew)) if skew.matters() => {
            SignInError::ClockOff {
                minutes: skew.minutes(),
                ahead: skew.seconds > 0,
            }
        }
        (ClaimsVerificationError::Expired(_), _) => SignInError::TokenInvalid("time"),
        (ClaimsVerificationError::InvalidAudience(_), _) => SignInError::TokenInvalid("audience"),
        (ClaimsVerificationError::InvalidIssuer(_), _) => SignInError::TokenInvalid("issuer"),
        (ClaimsVerificationError::InvalidNonce(_), _) => SignInError::TokenInvalid("nonce"),
        (ClaimsVerificationError::SignatureVerification(_), _) => {
            SignInError::TokenInvalid("signature")
        }
        _ => SignInError::TokenInvalid("claims"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    fn check(token: &str) -> Result<CoreIdTokenClaims, SignInError> {
        let expected = Expected {
            issuer: "https://a",
            client_id: "cordee",
            nonce: &Nonce::new("n".into()),
            keys: CoreJsonWebKeySet::new(Vec::new()),
            access_token: &Secret::from("access"),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
            skew: None,
        };
        verify(&Secret::from(token), expected)
    }

    fn with_header(header: &str) -> String {
        let claims = r#"{"iss":"https://a","aud":"cordee","sub":"s","nonce":"n","iat":1000000,"exp":1000300}"#;
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(header), part(claims), part("signature"))
    }

    #[test]
    fn a_token_that_is_not_signed_by_the_services_own_key_pair_is_refused() {
        for algorithm in [
            "none", "HS256", "RS256", "ES256", "RSA-OAEP", "dir", "made up",
        ] {
            let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
            let refused = check(&with_header(&header));
            assert!(
                matches!(refused, Err(SignInError::TokenInvalid(_))),
                "{algorithm}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_token_from_outside_can_break_the_reader(
            header in r#"\{("alg":"(RS256|ES256|none)")?,?("kid":"[a-z]{0,3}")?\}"#,
            claims in r#"\{("exp":-?[0-9]{1,20})?,?("iat":-?[0-9]{1,20}(\.5)?)?,?("aud":\[?"c"?\]?)?\}"#,
            garbage in ".{0,60}",
        ) {
            let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
            let _ = check(&format!("{}.{}.{}", part(&header), part(&claims), garbage));
            let _ = check(&garbage);
        }
    }
}
