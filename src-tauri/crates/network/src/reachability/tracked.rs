//! One service: its state, its back-off, and whether a probe is under way.
//!
//! ```text
//!                 ┌───────────── ok ◀──────────────┐
//!                 ▼                                │
//! checking ─▶ reachable ── fails once ─▶ (second try after 1 s, still reachable)
//!     │           │  fails while in doubt             │ fails again
//!     └─ fails ───┴──────────────▶ unreachable / wrongCertificate
//!                                     retry after 1, 2, 4 … 60 s
//! ```

use std::time::Duration;

use super::core::{Moment, Ticket};
use crate::{Failure, Service, ServiceState, Unreachable, Watched};

const SECOND_TRY: Duration = Duration::from_secs(1);
const SHORTEST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);
/// A healthy service is looked at after one to two of these.
const HEALTHY: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) watched: Watched,
    pub(super) state: ServiceState,
    pub(super) phase: Phase,
    /// The reason behind an unreachable state; finer than what the UI gets.
    pub(super) failure: Option<Failure>,
    since: f64,
    checked_at: Option<f64>,
    /// On the monotonic clock, for decisions.
    pub(super) checked: Option<Duration>,
    failures: u32,
    /// Something speaks against the state, so one failure is enough.
    in_doubt: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Probing(Ticket),
    Waiting { until: Duration },
}

/// What a result changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Same,
    Lost,
    Back,
}

impl Tracked {
    pub(super) fn new(watched: Watched, now: Moment) -> Self {
        Self {
            watched,
            state: ServiceState::Checking,
            phase: Phase::Waiting {
                until: now.monotonic,
            },
            failure: None,
            since: now.wall,
            checked_at: None,
            checked: None,
            failures: 0,
            in_doubt: true,
        }
    }

    /// The same service under another name.
    pub(super) fn renamed(self, watched: Watched) -> Self {
        Self { watched, ..self }
    }

    /// Probes at the next opportunity; `in_doubt` lets one failure decide.
    pub(super) fn probe_soon(&mut self, now: Moment, in_doubt: bool) {
        self.in_doubt |= in_doubt;
        self.phase = Phase::Waiting {
            until: now.monotonic,
        };
    }

    /// Nothing that was known before holds.
    pub(super) fn forget(&mut self, now: Moment) {
        self.enter(ServiceState::Checking, now);
        self.failures = 0;
        self.failure = None;
        self.probe_soon(now, true);
    }

    pub(super) fn restart_back_off(&mut self) {
        self.failures = 0;
    }

    /// `random` is in 0..1.
    pub(super) fn succeeded(&mut self, latency_ms: u32, now: Moment, random: f64) -> Turn {
        let was_lost = matches!(
            self.state,
            ServiceState::Unreachable { .. } | ServiceState::WrongCertificate { .. }
        );
        self.enter(ServiceState::Reachable { latency_ms }, now);
        self.mark_checked(now);
        self.failures = 0;
        self.failure = None;
        self.in_doubt = false;
        self.phase = Phase::Waiting {
            until: now.monotonic + HEALTHY.mul_f64(1.0 + random),
        };
        if was_lost { Turn::Back } else { Turn::Same }
    }

    /// `random` is in 0..1.
    pub(super) fn failed(&mut self, failure: Failure, now: Moment, random: f64) -> Turn {
        let was_reachable = self.state.is_reachable();
        let certain =
            self.in_doubt || matches!(failure, Failure::Offline | Failure::WrongCertificate);
        if was_reachable && !certain {
            self.in_doubt = true;
            self.phase = Phase::Waiting {
                until: now.monotonic + SECOND_TRY,
            };
            return Turn::Same;
        }
        let pause = back_off(self.failures, random);
        self.failures = self.failures.saturating_add(1);
        let retry_at = Some((now.wall + pause.as_secs_f64() * 1000.0).floor());
        self.enter(state_of(failure, retry_at), now);
        self.mark_checked(now);
        self.failure = Some(failure);
        self.phase = Phase::Waiting {
            until: now.monotonic + pause,
        };
        if was_reachable {
            Turn::Lost
        } else {
            Turn::Same
        }
    }

    /// A real request proved what a probe would have.
    pub(super) fn used_well(&mut self, now: Moment, random: f64) {
        self.mark_checked(now);
        self.in_doubt = false;
        if let Phase::Waiting { until } = &mut self.phase {
            *until = now.monotonic + HEALTHY.mul_f64(1.0 + random);
        }
    }

    pub(super) fn checked_within(&self, span: Duration, now: Moment) -> bool {
        self.checked
            .is_some_and(|checked| now.monotonic.saturating_sub(checked) < span)
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. })
    }

    pub(super) fn service(&self) -> Service {
        Service {
            id: self.watched.id.clone(),
            kind: self.watched.kind,
            name: self.watched.name.clone(),
            host: self.watched.url.host_str().unwrap_or_default().to_owned(),
            status: self.state,
            since: self.since,
            checked_at: self.checked_at,
        }
    }

    fn mark_checked(&mut self, now: Moment) {
        self.checked = Some(now.monotonic);
        self.checked_at = Some(now.wall);
    }

    fn enter(&mut self, state: ServiceState, now: Moment) {
        if !self.state.same_kind(&state) {
            self.since = now.wall;
        }
        self.state = state;
    }
}

/// 1, 2, 4 … 60 s, each ± 20 % so that a whole hospital does not come back in the same second.
fn back_off(failures: u32, random: f64) -> Duration {
    let doubled = SHORTEST_RETRY * 2_u32.saturating_pow(failures.min(6));
    doubled.min(LONGEST_RETRY).mul_f64(0.8 + 0.4 * random)
}

fn state_of(failure: Failure, retry_at: Option<f64>) -> ServiceState {
    let reason = match failure {
        Failure::WrongCertificate => return ServiceState::WrongCertificate { retry_at },
        Failure::Offline => Unreachable::Offline,
        Failure::Timeout => Unreachable::Timeout,
        Failure::Refused => Unreachable::Refused,
        Failure::Dns => Unreachable::Dns,
        Failure::Server { .. } => Unreachable::Server,
        Failure::CaptivePortal | Failure::Protocol => Unreachable::Protocol,
    };
    ServiceState::Unreachable { reason, retry_at }
}
