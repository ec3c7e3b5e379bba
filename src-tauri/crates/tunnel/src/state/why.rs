//! Why the tunnel is in its state.

use std::fmt;

use super::{Doubt, Refusal};

/// Why the tunnel is in its state. [`code`](Self::code) is stable and has a sentence in the UI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    // down
    /// Nobody wants it.
    Stopped,
    /// The inside answers without it: in the office, or through a VPN of the system.
    InsideAlready,
    /// The gateway does not answer handshakes. A wrong key, a removed device, a switched-off
    /// gateway and a blocked way look the same: `WireGuard` does not answer strangers.
    GatewaySilent,
    /// As before, and the network outside was seen to work.
    GatewaySilentNetworkFine,
    /// The connection to the gateway fails.
    GatewayUnreachable,

    // connecting
    Starting,
    NetworkChanged,
    WokeUp,
    SessionEnded,
    Retrying,

    // verifying
    /// There is a session; nothing came through it yet.
    SessionMade,

    // up
    /// The probe came back.
    Verified,

    // degraded
    /// A session, but nothing comes back through it.
    NoAnswerInside,
    /// The resolvers inside do not answer.
    NamesDead,
    /// The resolvers inside lead out of the organisation's networks.
    NamesLie,
    /// The probe's server answers something else.
    WrongAnswer,

    // blocked
    /// There is no network.
    NoNetwork,
    /// The network wants something first, on a page of its own.
    CaptivePortal,
    /// Somebody answers with a certificate that the pinned authority did not issue.
    Impostor,
    SignInAgain,
    WrongCredentials,
    NotAllowed,
    TooManySessions,
}

impl Why {
    /// Stable name, for the UI, logs and programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::InsideAlready => "insideAlready",
            Self::GatewaySilent => "gatewaySilent",
            Self::GatewaySilentNetworkFine => "gatewaySilentNetworkFine",
            Self::GatewayUnreachable => "gatewayUnreachable",
            Self::Starting => "starting",
            Self::NetworkChanged => "networkChanged",
            Self::WokeUp => "wokeUp",
            Self::SessionEnded => "sessionEnded",
            Self::Retrying => "retrying",
            Self::SessionMade => "sessionMade",
            Self::Verified => "verified",
            Self::NoAnswerInside => "noAnswerInside",
            Self::NamesDead => "namesDead",
            Self::NamesLie => "namesLie",
            Self::WrongAnswer => "wrongAnswer",
            Self::NoNetwork => "noNetwork",
            Self::CaptivePortal => "captivePortal",
            Self::Impostor => "impostor",
            Self::SignInAgain => "signInAgain",
            Self::WrongCredentials => "wrongCredentials",
            Self::NotAllowed => "notAllowed",
            Self::TooManySessions => "tooManySessions",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl From<Refusal> for Why {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::SignInAgain => Self::SignInAgain,
            Refusal::WrongCredentials => Self::WrongCredentials,
            Refusal::NotAllowed => Self::NotAllowed,
            Refusal::TooManySessions => Self::TooManySessions,
        }
    }
}

impl From<Doubt> for Why {
    fn from(doubt: Doubt) -> Self {
        match doubt {
            Doubt::NoAnswer => Self::NoAnswerInside,
            Doubt::NamesDead => Self::NamesDead,
            Doubt::NamesLie => Self::NamesLie,
            Doubt::WrongAnswer => Self::WrongAnswer,
            Doubt::Impostor => Self::Impostor,
        }
    }
}
