//! What is probed, and what counts as an answer.

use url::Url;

use crate::ServiceKind;

/// A service that is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Stable, unique in the list.
    pub id: String,
    pub kind: ServiceKind,
    pub name: Option<String>,
    /// An https address that answers quickly to a GET without credentials.
    pub url: Url,
    pub expect: Expect,
}

/// The answer that proves that the service itself answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Any status below 500, redirects too.
    Answer,
    Status(u16),
    /// 200 and a JSON object with this member.
    JsonField(String),
}

/// A page over plain HTTP that tells a captive portal apart from an unreachable organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalCheck {
    /// An `http` address of the organisation itself. No third party learns who is at work.
    pub url: Url,
    /// The status the organisation's server answers with. `None`: unknown, so only an answer that
    /// looks like a portal's counts as one.
    pub status: Option<u16>,
}
