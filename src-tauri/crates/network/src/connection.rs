//! The state of the connection, as it crosses to the UI.

use serde::{Deserialize, Serialize};

/// Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    pub overall: Overall,
    /// Since when `overall` is what it is.
    #[specta(type = u32)]
    pub since: f64,
    /// When something last came back from a service through the whole path.
    #[specta(type = Option<u32>)]
    pub verified_at: Option<f64>,
    pub services: Vec<Service>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum Overall {
    Checking,
    /// No way out of this device.
    Offline,
    /// A welcome page of the network answers instead of everybody.
    CaptivePortal,
    /// The network works, none of the organisation's services is reached.
    InternetOnly,
    /// Some services are reached, some are not.
    Degraded,
    /// Every service is reached.
    Connected,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    pub id: String,
    pub kind: ServiceKind,
    pub name: Option<String>,
    pub host: String,
    pub status: ServiceState,
    /// Since when the status is of this kind.
    #[specta(type = u32)]
    pub since: f64,
    /// The last probe or use that ended, well or not.
    #[specta(type = Option<u32>)]
    pub checked_at: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum ServiceKind {
    SignIn,
    Chat,
    Organisation,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, specta::Type)]
#[serde(
    tag = "state",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ServiceState {
    Checking,
    Reachable {
        /// Name, TCP, TLS and the answer together.
        latency_ms: u32,
    },
    Unreachable {
        reason: Unreachable,
        #[specta(type = Option<u32>)]
        retry_at: Option<f64>,
    },
    /// Somebody answers who can't prove to be the service. Nothing was sent to it.
    WrongCertificate {
        #[specta(type = Option<u32>)]
        retry_at: Option<f64>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub enum Unreachable {
    /// This device has no way out.
    Offline,
    Timeout,
    Refused,
    Dns,
    Server,
    Protocol,
}

impl Connection {
    pub(crate) fn unknown(now: f64) -> Self {
        Self {
            overall: Overall::Checking,
            since: now,
            verified_at: None,
            services: Vec::new(),
        }
    }

    pub fn service(&self, id: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.id == id)
    }
}

impl ServiceState {
    pub fn is_reachable(&self) -> bool {
        matches!(self, Self::Reachable { .. })
    }

    /// Same state, whatever its figures.
    pub(crate) fn same_kind(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unreachable { reason: a, .. }, Self::Unreachable { reason: b, .. }) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}
