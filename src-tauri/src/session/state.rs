//! The session as the window shows it.

use problem::Problem;
use serde::{Deserialize, Serialize};
use specta::Type;

use super::{Desk, OrganisationSummary};

/// The person at this window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    pub user_id: String,
    pub name: String,
    pub email: Option<String>,
    pub function: Option<String>,
    pub department: Option<String>,
    /// `media:` address of the picture.
    pub avatar: Option<String>,
}

impl Me {
    /// From what the identity provider said, then from the chat profile.
    pub(super) fn of(desk: &Desk, profile: chat::Person) -> Self {
        let claims = desk.identity().map(|identity| identity.claims().clone());
        let claim = |pick: fn(identity::Claims) -> Option<String>| claims.clone().and_then(pick);
        Self {
            user_id: profile.id,
            name: claim(|claims| claims.name).unwrap_or(profile.name),
            email: claim(|claims| claims.email),
            function: claim(|claims| claims.function),
            department: claim(|claims| claims.department),
            avatar: profile.avatar,
        }
    }
}

/// Where the person is between "not known" and "at work".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
#[serde(
    tag = "state",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Session {
    Starting,
    SignedOut {
        /// What to fill in.
        address: Option<String>,
        problem: Option<Problem>,
    },
    /// The system browser asks for password and code.
    Browser {
        organisation: OrganisationSummary,
        /// Milliseconds since the Unix epoch.
        #[specta(type = u32)]
        since: f64,
        /// For a person whose browser did not open.
        url: String,
    },
    Completing {
        organisation: OrganisationSummary,
    },
    /// The keyring is locked or missing. Nothing was deleted.
    Locked {
        problem: Problem,
    },
    SignedIn {
        me: Me,
        organisation: OrganisationSummary,
        /// For example: the session was revoked, sign in again; data are kept.
        problem: Option<Problem>,
    },
}

/// What a server still holds after a sign-out that it did not hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum LeftBehind {
    Tokens,
    ChatDevice,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct SignOutReport {
    pub revoked: bool,
    pub not_revoked: Vec<LeftBehind>,
    /// Local data are gone.
    pub wiped: bool,
}
