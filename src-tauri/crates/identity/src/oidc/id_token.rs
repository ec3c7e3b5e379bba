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
