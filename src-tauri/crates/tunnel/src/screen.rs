//! What the screen is told about a failure: stable codes, each with a sentence in the UI.
//!
//! A tunnel that is not up fails with the code of its state's reason, `tunnel.` and
//! [`Why::code`], so that the page about the connection and the page that wanted to connect say
//! the same.

use problem::{Problem, Retry};

use crate::dialer::ConnectError;
use crate::policy::Refused;
use crate::profile::ProfileError;
use crate::source::Ended;
use crate::state::Why;

impl Why {
    /// When an attempt that failed for this reason may succeed. The tunnel itself tries again
    /// without being asked; this is for what wanted to use it.
    pub const fn retry(self) -> Retry {
        match self {
            Self::Starting
            | Self::NetworkChanged
            | Self::WokeUp
            | Self::SessionEnded
            | Self::Retrying
            | Self::SessionMade
            | Self::Verified
            | Self::InsideAlready => Retry::after_seconds(1),
            Self::NoAnswerInside | Self::NamesDead | Self::NamesLie | Self::WrongAnswer => {
                Retry::after_seconds(5)
            }
            Self::GatewaySilent
            | Self::GatewaySilentNetworkFine
            | Self::GatewayUnreachable
            | Self::NoNetwork => Retry::Network,
            Self::Stopped
            | Self::CaptivePortal
            | Self::SignInAgain
            | Self::WrongCredentials
            | Self::TooManySessions => Retry::NeedsUser,
            Self::Impostor | Self::NotAllowed => Retry::Permanent,
        }
    }
}

impl From<Why> for Problem {
    fn from(why: Why) -> Self {
        Self::new(format!("tunnel.{}", why.code()), why.retry())
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::NotConnected(why) => why.into(),
            ConnectError::Refused(refused) => {
                let code = match refused {
                    Refused::Outside => "tunnel.outside",
                    Refused::Port => "tunnel.port",
                    Refused::LeadsOutside => "tunnel.leadsOutside",
                    Refused::LeadsInside => "tunnel.leadsInside",
                };
                Self::new(code, Retry::Permanent)
            }
            ConnectError::NamesUnavailable => Why::NamesDead.into(),
            // From here on the tunnel works, and the server is what any server may be.
            ConnectError::NoSuchName => Self::new("network.dns", Retry::Permanent),
            ConnectError::ConnectionRefused => Self::new("network.refused", Retry::Network),
            ConnectError::Unreachable | ConnectError::TimedOut => {
                Self::new("network.timeout", Retry::Network)
            }
        }
    }
}

impl From<Ended> for Problem {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Unreachable | Ended::Io(_) => Why::GatewayUnreachable.into(),
            Ended::Closed => Why::SessionEnded.into(),
            Ended::Refused(refusal) => Why::from(refusal).into(),
            Ended::WrongCertificate => Why::Impostor.into(),
            Ended::Protocol(place) => {
                tracing::warn!(place, "the gateway's answer makes no sense");
                Self::new("tunnel.protocol", Retry::Permanent)
            }
        }
    }
}

impl From<&ProfileError> for Problem {
    fn from(error: &ProfileError) -> Self {
        match error {
            ProfileError::File(_) => Self::new("tunnel.profileUnreadable", Retry::NeedsUser),
            ProfileError::Mistakes(mistakes) => {
                let problem = Self::new("tunnel.profileWrong", Retry::NeedsUser)
                    .with("count", mistakes.len());
                match mistakes.first() {
                    Some(first) => problem.with("line", first.line).with("place", &first.key),
                    None => problem,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::path::Path;

    use super::*;
    use crate::profile::Profile;
    use crate::source::Refusal;

    fn told(problem: impl Into<Problem>) -> (String, Retry) {
        let problem = problem.into();
        (problem.code, problem.retry)
    }

    #[test]
    fn a_tunnel_that_is_not_up_is_told_by_its_states_reason() {
        let (code, retry) = told(ConnectError::NotConnected(Why::CaptivePortal));
        assert_eq!(
            (code.as_str(), retry),
            ("tunnel.captivePortal", Retry::NeedsUser)
        );
        assert_eq!(
            told(Ended::Refused(Refusal::SignInAgain)),
            told(Why::SignInAgain)
        );
        assert_eq!(told(Ended::WrongCertificate), told(Why::Impostor));
    }

    #[test]
    fn what_the_policy_refuses_is_refused_for_good() {
        for refused in [
            Refused::Outside,
            Refused::Port,
            Refused::LeadsOutside,
            Refused::LeadsInside,
        ] {
            let (code, retry) = told(ConnectError::Refused(refused));
            assert!(code.starts_with("tunnel."), "{code}");
            assert_eq!(retry, Retry::Permanent);
        }
    }

    #[test]
    fn a_server_inside_that_does_not_answer_has_the_sentences_of_any_server() {
        assert_eq!(
            told(ConnectError::ConnectionRefused),
            ("network.refused".to_owned(), Retry::Network)
        );
        assert_eq!(told(ConnectError::TimedOut).0, "network.timeout");
    }

    #[test]
    fn a_wrong_profile_is_told_with_the_place_of_its_first_mistake() {
        let mistakes = Profile::parse("version = 2\n", Path::new("/")).unwrap_err();
        let count = mistakes.len().to_string();
        let problem = Problem::from(&ProfileError::Mistakes(mistakes));
        assert_eq!(problem.code, "tunnel.profileWrong");
        assert_eq!(problem.data["line"], "1");
        assert_eq!(problem.data["count"], count);
    }
}
