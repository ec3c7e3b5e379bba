//! The organisation's document, version 1. `docs/organisation.schema.json` says the same for
//! administrators' editors; a test keeps the two together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

pub(crate) mod check;
pub(crate) mod read;

pub use read::{DocumentError, Place};

/// The only major version this program understands.
pub const VERSION: u32 = 1;
/// Largest document that is read. Real ones are some kilobytes.
pub const LARGEST: usize = 256 * 1024;

/// What an organisation says about itself. Only what is used is modelled; [`Document::raw`] holds
/// everything.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub version: u32,
    /// Shown to people, ≤ 120 characters.
    pub name: String,
    /// What people type: a domain, with a port where the document is served on another than 443.
    #[serde(default)]
    pub domain: Option<String>,
    /// One line: where to ask a human being.
    #[serde(default)]
    pub help: Option<String>,
    /// `#rrggbb`. The UI checks the contrast.
    #[serde(default)]
    pub accent: Option<String>,
    /// Absent: sign-in with the homeserver's password.
    #[serde(default)]
    pub identity: Option<Identity>,
    #[serde(default)]
    pub chat: Option<Chat>,
    /// Services to watch besides identity and chat.
    #[serde(default)]
    pub services: Vec<ServiceEntry>,
    #[serde(default)]
    pub internal_domains: Vec<String>,
    #[serde(default)]
    pub connectivity_check: Option<ConnectivityCheck>,
    /// Settings the organisation decides, by the name of the setting.
    #[serde(default)]
    pub settings: BTreeMap<String, Managed>,
    /// The whole document as it came.
    #[serde(skip)]
    pub raw: Value,
}

/// The OpenID Connect provider. Secrets have no place here: the client is public and uses PKCE.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// An https address, kept as the provider writes it, to the last slash: tokens are compared
    /// with it letter by letter (OpenID Connect Core §3.1.3.7).
    pub issuer: String,
    #[serde(default = "client_id")]
    pub client_id: String,
    /// Loopback ports registered at the provider, tried in order. Some providers compare redirect
    /// addresses exactly and do not know RFC 8252 §7.3.
    #[serde(default = "redirect_ports")]
    pub redirect_ports: Vec<u16>,
    /// For when every port is taken: `SCHEME:/callback`.
    #[serde(default = "private_scheme")]
    pub private_scheme: Option<String>,
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// What to prepare the person for.
    #[serde(default)]
    pub second_factor: Option<SecondFactor>,
}

impl Identity {
    /// Everything but the issuer as this program's documentation asks providers to register it.
    pub(crate) fn usual(issuer: String) -> Self {
        Self {
            issuer,
            client_id: client_id(),
            redirect_ports: redirect_ports(),
            private_scheme: private_scheme(),
            scopes: scopes(),
            second_factor: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum SecondFactor {
    Sms,
    App,
}

/// The Matrix homeserver.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chat {
    pub homeserver: Url,
    /// The homeserver's name for the organisation's provider (`idp_id`), so that one sign-in
    /// serves both. Absent: the homeserver asks.
    #[serde(default)]
    pub identity_provider: Option<String>,
}

/// A service that is watched for reachability.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceEntry {
    pub id: String,
    #[serde(default = "other")]
    pub kind: network::ServiceKind,
    #[serde(default)]
    pub name: Option<String>,
    pub url: Url,
    #[serde(default)]
    pub expect: Expected,
}

/// What the answer of a service must be; nothing given means any answer below 500.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    #[serde(default)]
    pub status: Option<u16>,
    #[serde(default)]
    pub json_field: Option<String>,
}

/// A page over plain HTTP, of the organisation itself, that tells captive portals apart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectivityCheck {
    pub url: Url,
    #[serde(default = "no_content")]
    pub status: u16,
}

/// A setting that somebody decided for the person, and the reason that is shown beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Managed {
    pub value: Value,
    pub reason: String,
}

impl Document {
    /// Reads a document of untrusted origin; every error has its place.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        read::document(bytes)
    }

    /// For organisations that publish no document (see [`crate::fallback`]).
    pub(crate) fn of_fallback(
        name: &str,
        identity: Option<Identity>,
        homeserver: Option<Url>,
    ) -> Self {
        Self {
            version: VERSION,
            name: name.to_owned(),
            domain: None,
            help: None,
            accent: None,
            identity,
            chat: homeserver.map(|homeserver| Chat {
                homeserver,
                identity_provider: None,
            }),
            services: Vec::new(),
            internal_domains: Vec::new(),
            connectivity_check: None,
            settings: BTreeMap::new(),
            raw: Value::Null,
        }
    }
}

fn client_id() -> String {
    "cordee".to_owned()
}

fn redirect_ports() -> Vec<u16> {
    vec![47811, 47812, 47813]
}

// Its type is that of the field.
#[allow(clippy::unnecessary_wraps)]
fn private_scheme() -> Option<String> {
    Some("cordee".to_owned())
}

fn scopes() -> Vec<String> {
    ["openid", "profile", "email", "offline_access"]
        .map(str::to_owned)
        .to_vec()
}

fn other() -> network::ServiceKind {
    network::ServiceKind::Other
}

fn no_content() -> u16 {
    204
}

#[cfg(test)]
mod tests;
