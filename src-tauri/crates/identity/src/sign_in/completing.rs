//! After the browser: from the code to a session in the keyring, while the second leg runs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::browser::{Listening, Visited};
use super::exchange::Arrival;
use super::{SignIn, SignedIn};
use crate::error::SignInError;
use crate::oidc::claims::{self, Claims};
use crate::oidc::discovery::{self, Provider};
use crate::oidc::id_token::{self, Expected};
use crate::oidc::tokens::{self, TokenFailure, Tokens};
use crate::session::{Record, Session};

/// The second service usually knows the person already; it may still ask for a click.
const SECOND_LEG: Duration = Duration::from_mins(2);

pub async fn complete(sign_in: &SignIn, visited: Visited) -> Result<SignedIn, SignInError> {
    let Visited {
        provider,
        proof,
        redirect,
        code,
        way_back,
        second_expected,
    } = visited;
    let first = async {
        let (clients, clock) = (&sign_in.clients, sign_in.clock.as_ref());
        let client_id = &sign_in.identity.client_id;
        let verifier = proof.verifier.secret();
        let exchange = async {
            tokens::exchange(
                &provider.token,
                client_id,
                &code,
                verifier,
                &redirect,
                clients,
                clock,
            )
            .await
            .map_err(|failure| match failure {
                TokenFailure::Network(failure) => SignInError::Network(failure),
                TokenFailure::Refused => SignInError::TokenInvalid("code"),
            })
        };
        let (tokens, keys) =
            tokio::try_join!(exchange, discovery::keys(&provider, clients, clock))?;
        let raw = tokens
            .id_token
            .as_ref()
            .ok_or(SignInError::TokenInvalid("no ID token"))?;
        let expected = Expected {
            issuer: &provider.issuer,
            client_id,
            nonce: &proof.nonce,
            keys,
            access_token: &tokens.access,
            now: clock.now(),
            skew: tokens.skew,
        };
        let token_claims = id_token::verify(raw, expected)?;
        let claims = match claims(sign_in, &provider, &tokens, token_claims.subject()).await? {
            Some(claims) => claims,
            None => Claims::of_id_token(&token_claims),
        };
        Ok((tokens, claims))
    };
    let ((tokens, claims), second) = tokio::try_join!(first, returned(way_back, second_expected))?;

    let record = Record::new(
        &sign_in.organisation,
        &sign_in.identity.client_id,
        &provider,
        claims.clone(),
        tokens,
        sign_in.clock.now(),
    );
    record.save(&sign_in.vault).await?;
    let session = Session::start(
        record,
        sign_in.clients.clone(),
        sign_in.vault.clone(),
        sign_in.clock.clone(),
    );
    Ok(SignedIn {
        session,
        claims,
        second,
    })
}

/// `None` when the service does not say who it is; a wrong answer is an error, a missing one not.
async fn claims(
    sign_in: &SignIn,
    provider: &Provider,
    tokens: &Tokens,
    subject: &str,
) -> Result<Option<Claims>, SignInError> {
    let Some(endpoint) = &provider.userinfo else {
        return Ok(None);
    };
    let (clients, clock) = (&sign_in.clients, sign_in.clock.as_ref());
    match claims::userinfo(endpoint, subject, &tokens.access, clients, clock).await {
        Ok(claims) => Ok(Some(claims)),
        Err(SignInError::Network(failure)) => {
            tracing::warn!(%failure, "userinfo did not answer");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn returned(
    mut way_back: Listening,
    second_expected: bool,
) -> Result<BTreeMap<String, String>, SignInError> {
    let mut second = BTreeMap::new();
    if second_expected {
        let arrival = tokio::time::timeout(SECOND_LEG, way_back.arrivals.recv()).await;
        second = match arrival.map_err(|_| SignInError::TimedOut)? {
            Some(Arrival::Second(query)) => query,
            _ => return Err(SignInError::Internal("the way back closed")),
        };
    }
    // The last page is still on its way to the browser.
    let _ = way_back.task.await;
    Ok(second)
}
