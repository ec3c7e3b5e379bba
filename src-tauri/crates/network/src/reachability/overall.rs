//! From the states of the services to one honest word.

use super::portal::Verdict;
use super::tracked::Tracked;
use crate::{Failure, Overall, ServiceState};

/// What is known about the network itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Surroundings {
    /// Some interface has an address that others can answer to.
    pub(super) link: bool,
    pub(super) portal: Portal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Portal {
    /// There is no page to look at.
    Unknowable,
    /// Nobody looked yet.
    Pending,
    Judged(Verdict),
}

pub(super) fn overall(services: &[Tracked], around: Surroundings) -> Overall {
    let reachable = count(services, ServiceState::is_reachable);
    let checking = count(services, |state| matches!(state, ServiceState::Checking));
    let lost = services.len() - reachable - checking;

    if reachable > 0 {
        return match (lost, checking) {
            (0, 0) => Overall::Connected,
            (0, _) => Overall::Checking,
            _ => Overall::Degraded,
        };
    }
    if !around.link {
        return Overall::Offline;
    }
    if lost == 0 || checking > 0 {
        return Overall::Checking;
    }
    match around.portal {
        Portal::Pending => Overall::Checking,
        Portal::Judged(Verdict::Portal) => Overall::CaptivePortal,
        Portal::Judged(Verdict::Genuine) => Overall::InternetOnly,
        Portal::Judged(Verdict::Silent) | Portal::Unknowable => {
            if services.iter().any(somebody_answered) {
                Overall::InternetOnly
            } else {
                Overall::Offline
            }
        }
    }
}

/// A refusal, an error page, even a wrong certificate came from somewhere: packets travel. A
/// silence or an unknown name may be our own side.
fn somebody_answered(service: &Tracked) -> bool {
    matches!(
        service.failure,
        Some(
            Failure::Refused
                | Failure::WrongCertificate
                | Failure::Server { .. }
                | Failure::Protocol
        )
    )
}

fn count(services: &[Tracked], is: impl Fn(&ServiceState) -> bool) -> usize {
    services.iter().filter(|service| is(&service.state)).count()
}
