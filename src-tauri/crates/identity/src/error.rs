//! Why somebody is not signed in, as far as a person or a caller can do something different.

use network::Failure;
use problem::{Problem, Retry};

use crate::random::NoRandomness;
use crate::vault::VaultError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    #[error("cancelled by the person")]
    Cancelled,
    #[error("not finished in time")]
    TimedOut,
    /// The service, or the person there, said no.
    #[error("refused by the sign-in service")]
    Refused,
    #[error("the account is blocked")]
    Blocked,
    #[error("this computer's clock is {minutes} minutes off")]
    ClockOff { minutes: u64, ahead: bool },
    /// None of the agreed loopback ports is free and there is no other way back.
    #[error("no way back from the browser")]
    PortsBusy,
    #[error("the answer belongs to another attempt")]
    StateMismatch,
    /// The service's answer cannot be trusted; says which part.
    #[error("the sign-in service's answer does not hold: {0}")]
    TokenInvalid(&'static str),
    #[error("the browser did not open")]
    Browser,
    #[error(transparent)]
    Network(#[from] Failure),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl SignInError {
    /// For the screen. Logs the code once; make it once per failure.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::Cancelled => "signIn.cancelled",
            Self::TimedOut => "signIn.timedOut",
            Self::Refused => "signIn.refused",
            Self::Blocked => "signIn.blocked",
            Self::ClockOff { minutes, ahead } => {
                return Problem::new("signIn.clockOff", Retry::NeedsUser)
                    .with("minutes", minutes)
                    .with("direction", if *ahead { "ahead" } else { "behind" });
            }
            Self::PortsBusy => "signIn.portsBusy",
            Self::StateMismatch => "signIn.stateMismatch",
            Self::TokenInvalid(part) => {
                tracing::warn!(part, "the sign-in service's answer does not hold");
                "signIn.tokenInvalid"
            }
            Self::Browser => "signIn.browser",
            Self::Network(failure) => return failure.problem(),
            Self::Vault(error) => return error.problem(),
            Self::Internal(what) => return Problem::internal(what),
        };
        Problem::new(code, Retry::NeedsUser)
    }
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        error.problem()
    }
}

impl From<NoRandomness> for SignInError {
    fn from(_: NoRandomness) -> Self {
        Self::Internal("no randomness")
    }
}

impl VaultError {
    /// For the screen. Logs the code once; make it once per failure.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Locked => Problem::new("keyring.locked", Retry::NeedsUser),
            Self::Missing => Problem::new("keyring.missing", Retry::NeedsUser),
            Self::Failed(what) => {
                tracing::warn!(what, "the keyring failed");
                Problem::new("keyring.failed", Retry::after_seconds(5))
            }
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        error.problem()
    }
}
