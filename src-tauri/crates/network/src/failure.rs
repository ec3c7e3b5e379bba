//! Why a request failed, read from types and never from text.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;

use problem::{Problem, Retry};
use reqwest::StatusCode;

/// What a caller can tell apart about a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// This device has no way out.
    #[error("no network")]
    Offline,
    #[error("no answer in time")]
    Timeout,
    /// The host answered that nobody listens there, or closed before it answered.
    #[error("connection refused")]
    Refused,
    #[error("the name has no address")]
    Dns,
    /// Somebody answered who can't prove to be the server.
    #[error("wrong certificate")]
    WrongCertificate,
    /// A network's welcome page answered instead of the server.
    #[error("a captive portal answered")]
    CaptivePortal,
    /// The server itself says that it can't.
    #[error("the server answered {status}")]
    Server { status: u16 },
    /// An answer that makes no sense for what was asked.
    #[error("the answer was not understood")]
    Protocol,
}

impl Failure {
    pub fn of(error: &reqwest::Error) -> Self {
        if let Some(status) = error.status() {
            return Self::of_status(status).unwrap_or(Self::Protocol);
        }
        // A certificate is judged within the connect deadline, so the chain goes before the clock.
        let found = Self::of_chain(error);
        if matches!(found, Some(Self::WrongCertificate)) {
            return Self::WrongCertificate;
        }
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_dns() {
            // Without any route even the resolver can't be asked.
            match found {
                Some(Self::Offline) => Self::Offline,
                _ => Self::Dns,
            }
        } else {
            found.unwrap_or(Self::Protocol)
        }
    }

    /// For errors of libraries that carry a `reqwest` or `io` error somewhere in their chain.
    pub fn of_any(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<reqwest::Error>() {
                return Some(Self::of(error));
            }
            next = error.source();
        }
        Self::of_chain(error)
    }

    /// `None` for a success or a refusal of this particular request (4xx): those belong to the
    /// caller. 408 and 425 ask to come again, 429 too; 511 is RFC 6585's captive portal.
    pub fn of_status(status: StatusCode) -> Option<Self> {
        match status.as_u16() {
            511 => Some(Self::CaptivePortal),
            code @ (408 | 425 | 429 | 500..) => Some(Self::Server { status: code }),
            _ => None,
        }
    }

    pub fn retry(self) -> Retry {
        match self {
            Self::Offline | Self::Timeout | Self::Refused | Self::Dns => Retry::Network,
            Self::CaptivePortal => Retry::NeedsUser,
            Self::Server { .. } => Retry::after_seconds(5),
            // An administrator has to act, or the person leaves that network.
            Self::WrongCertificate | Self::Protocol => Retry::Permanent,
        }
    }

    pub fn problem(self) -> Problem {
        let (code, data) = self.code();
        let mut problem = Problem::new(code, self.retry());
        problem.data = data;
        problem
    }

    /// The code of the UI's contract and the values its sentence needs.
    pub fn code(self) -> (&'static str, BTreeMap<String, String>) {
        let code = match self {
            Self::Offline => "network.offline",
            Self::Timeout => "network.timeout",
            Self::Refused => "network.refused",
            Self::Dns => "network.dns",
            Self::WrongCertificate => "network.wrongCertificate",
            Self::CaptivePortal => "network.captivePortal",
            Self::Protocol => "network.protocol",
            Self::Server { status } => {
                let data = BTreeMap::from([("status".to_owned(), status.to_string())]);
                return ("network.server", data);
            }
        };
        (code, BTreeMap::new())
    }

    fn of_chain(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut verdict = None;
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::of_tls(tls));
            }
            if let Some(io) = error.downcast_ref::<io::Error>() {
                verdict = verdict.or(Self::of_io(io.kind()));
                // `source()` of an io error skips the error it wraps; that one is what we look for.
                if let Some(inner) = io.get_ref() {
                    next = Some(inner);
                    continue;
                }
            }
            next = error.source();
        }
        verdict
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(_)
            | rustls::Error::NoCertificatesPresented
            | rustls::Error::UnsupportedNameType
            | rustls::Error::InvalidCertRevocationList(_) => Self::WrongCertificate,
            _ => Self::Protocol,
        }
    }

    fn of_io(kind: io::ErrorKind) -> Option<Self> {
        use io::ErrorKind as K;
        match kind {
            K::NetworkUnreachable | K::HostUnreachable | K::NetworkDown | K::AddrNotAvailable => {
                Some(Self::Offline)
            }
            K::ConnectionRefused
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::BrokenPipe
            | K::NotConnected
            | K::UnexpectedEof => Some(Self::Refused),
            K::TimedOut => Some(Self::Timeout),
            K::InvalidData => Some(Self::Protocol),
            _ => None,
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        failure.problem()
    }
}

impl From<&reqwest::Error> for Failure {
    fn from(error: &reqwest::Error) -> Self {
        Self::of(error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_certificate_error_is_found_inside_an_io_error() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let io = io::Error::new(io::ErrorKind::InvalidData, tls);
        assert_eq!(Failure::of_any(&io), Some(Failure::WrongCertificate));
    }

    #[test]
    fn a_missing_route_is_offline_and_a_refusal_is_not() {
        let unreachable = io::Error::from(io::ErrorKind::NetworkUnreachable);
        assert_eq!(Failure::of_any(&unreachable), Some(Failure::Offline));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(Failure::of_any(&refused), Some(Failure::Refused));
    }

    #[test]
    fn a_status_is_a_failure_only_when_the_server_can_not() {
        let of = |code| Failure::of_status(StatusCode::from_u16(code).unwrap());
        assert_eq!(of(200), None);
        assert_eq!(of(404), None);
        assert_eq!(of(429), Some(Failure::Server { status: 429 }));
        assert_eq!(of(503), Some(Failure::Server { status: 503 }));
        assert_eq!(of(511), Some(Failure::CaptivePortal));
    }

    #[test]
    fn each_failure_has_its_code_and_its_retry_class() {
        let code = |failure: Failure| {
            let problem = failure.problem();
            (problem.code, problem.retry)
        };
        assert_eq!(
            code(Failure::Offline),
            ("network.offline".into(), Retry::Network)
        );
        assert_eq!(
            code(Failure::WrongCertificate),
            ("network.wrongCertificate".into(), Retry::Permanent)
        );
        let server = Failure::Server { status: 503 }.problem();
        assert_eq!(server.data["status"], "503");
    }
}
