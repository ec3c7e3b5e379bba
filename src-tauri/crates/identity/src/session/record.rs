//! What is kept of a session in the keyring: enough to go on without the network.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::oidc::claims::Claims;
use crate::oidc::discovery::Provider;
use crate::oidc::tokens::Tokens;
use crate::secret::Secret;
use crate::vault::{Vault, VaultError};

/// Name of the entry in the keyring.
pub const KEY: &str = "session";

/// Shape of the record.
const VERSION: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    pub organisation: String,
    pub client_id: String,
    pub token_endpoint: Url,
    pub revocation_endpoint: Option<Url>,
    pub end_session_endpoint: Option<Url>,
    pub claims: Claims,
    #[serde(serialize_with = "to_text", deserialize_with = "from_text")]
    pub access_token: Option<Secret>,
    #[serde(serialize_with = "to_text", deserialize_with = "from_text")]
    pub refresh_token: Option<Secret>,
    #[serde(serialize_with = "to_text", deserialize_with = "from_text")]
    pub id_token: Option<Secret>,
    pub issued_at: SystemTime,
    pub lifetime: Duration,
}

impl Record {
    pub fn new(
        organisation: &str,
        client_id: &str,
        provider: &Provider,
        claims: Claims,
        tokens: Tokens,
        now: SystemTime,
    ) -> Self {
        Self {
            version: VERSION,
            organisation: organisation.to_owned(),
            client_id: client_id.to_owned(),
            token_endpoint: provider.token.clone(),
            revocation_endpoint: provider.revocation.clone(),
            end_session_endpoint: provider.end_session.clone(),
            claims,
            access_token: Some(tokens.access),
            refresh_token: tokens.refresh,
            id_token: tokens.id_token,
            issued_at: now,
            lifetime: tokens.lifetime,
        }
    }

    /// The record after a refresh: a service that does not rotate sends no new refresh token, and
    /// the old one stays (RFC 6749 §6).
    pub fn renewed(&self, tokens: Tokens, now: SystemTime) -> Self {
        Self {
            access_token: Some(tokens.access),
            refresh_token: tokens.refresh.or_else(|| self.refresh_token.clone()),
            id_token: tokens.id_token.or_else(|| self.id_token.clone()),
            issued_at: now,
            lifetime: tokens.lifetime,
            ..self.clone()
        }
    }

    pub async fn save(&self, vault: &Vault) -> Result<(), VaultError> {
        let json =
            serde_json::to_vec(self).map_err(|_| VaultError::Failed("the session has no form"))?;
        vault.set(KEY, Secret::new(json)).await
    }

    /// `None`: nobody is signed in. A record of a shape that we do not know (written by a later
    /// program, or damaged) can only be replaced by signing in again; it stays until then.
    pub async fn load(vault: &Vault) -> Result<Option<Self>, VaultError> {
        let Some(json) = vault.get(KEY).await? else {
            return Ok(None);
        };
        let record = serde_json::from_slice::<Self>(json.expose()).ok();
        let known = record.filter(|record| record.version == VERSION);
        if known.is_none() {
            tracing::warn!("the kept session has an unknown shape");
        }
        Ok(known)
    }
}

// The signature is serde's.
#[allow(clippy::ref_option)]
fn to_text<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().and_then(Secret::expose_text).serialize(to)
}

fn from_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(Secret::from))
}
