//! How long to wait before the next attempt, and what an attempt that failed means. Pure functions.

use std::time::Duration;

use crate::signal::SignalFailure;

/// livekit-client `DefaultReconnectPolicy`: quick at first, because most cuts are short.
const PAUSES: [u64; 10] = [0, 300, 1200, 2700, 4800, 7000, 7000, 7000, 7000, 7000];
/// Added from the second attempt on, so that a whole meeting does not come back at the same moment.
const MOST_JITTER: f64 = 1000.0;
/// After this many failed attempts to resume the place is taken for lost.
const RESUME_ATTEMPTS: u32 = 3;

/// What to do after an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Again,
    /// The place in the meeting is lost: join anew.
    Rejoin,
    /// No attempt will succeed.
    GiveUp,
}

/// The pause before attempt `attempt` (the first is 0), or `None` when there were enough. `jitter` is from 0 to 1.
pub(super) fn pause(attempt: u32, jitter: f64) -> Option<Duration> {
    let pause = Duration::from_millis(*PAUSES.get(usize::try_from(attempt).ok()?)?);
    let added = if attempt == 0 {
        Duration::ZERO
    } else {
        Duration::from_secs_f64(jitter.clamp(0.0, 1.0) * MOST_JITTER / 1000.0)
    };
    Some(pause + added)
}

/// After a failed attempt to resume; `attempt` counts from 0. While `media` flows the old path is worth more than a new
/// place: the pauses come to an end by themselves.
pub(super) fn after_resume(failure: &SignalFailure, attempt: u32, media: bool) -> After {
    match failure {
        SignalFailure::Refused | SignalFailure::Leave(..) | SignalFailure::Protocol => {
            After::Rejoin
        }
        SignalFailure::Address => After::GiveUp,
        SignalFailure::Status(status) if (400..500).contains(status) => After::Rejoin,
        SignalFailure::Status(_) | SignalFailure::Unreachable
            if media || attempt + 1 < RESUME_ATTEMPTS =>
        {
            After::Again
        }
        SignalFailure::Status(_) | SignalFailure::Unreachable => After::Rejoin,
    }
}

/// After a failed attempt to join anew.
pub(super) fn after_rejoin(failure: &SignalFailure) -> After {
    match failure {
        SignalFailure::Refused | SignalFailure::Address => After::GiveUp,
        SignalFailure::Leave(reason, action) => {
            use livekit_protocol::DisconnectReason::ServerShutdown;
            use livekit_protocol::leave_request::Action;
            match action {
                Action::Disconnect if *reason != ServerShutdown => After::GiveUp,
                Action::Disconnect | Action::Resume | Action::Reconnect => After::Again,
            }
        }
        SignalFailure::Status(_) | SignalFailure::Unreachable | SignalFailure::Protocol => {
            After::Again
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_attempt_is_immediate_and_the_tenth_is_the_last() {
        assert_eq!(pause(0, 1.0), Some(Duration::ZERO));
        assert_eq!(pause(1, 0.0), Some(Duration::from_millis(300)));
        assert_eq!(pause(9, 0.5), Some(Duration::from_millis(7500)));
        assert_eq!(pause(10, 0.0), None);
    }

    proptest! {
        #[test]
        fn pauses_never_shrink_nor_pass_eight_seconds(attempt in 0_u32..9, jitter: f64) {
            let (now, next) = (pause(attempt, 0.0).unwrap(), pause(attempt + 1, 0.0).unwrap());
            prop_assert!(now <= next);
            prop_assert!(pause(attempt, jitter).unwrap() <= Duration::from_secs(8));
        }
    }

    #[test]
    fn a_resume_is_tried_thrice_while_the_server_is_away_and_not_again_when_it_forgot_us() {
        let away = SignalFailure::Unreachable;
        let forgot = SignalFailure::Status(404);
        assert_eq!(after_resume(&away, 0, false), After::Again);
        assert_eq!(after_resume(&away, 2, false), After::Rejoin);
        assert_eq!(after_resume(&forgot, 0, false), After::Rejoin);
        assert_eq!(
            after_resume(&SignalFailure::Status(503), 0, false),
            After::Again
        );
        // Nobody leaves a meeting that can be seen and heard.
        assert_eq!(after_resume(&away, 2, true), After::Again);
        assert_eq!(after_resume(&forgot, 0, true), After::Rejoin);
    }

    #[test]
    fn a_refused_token_ends_the_attempts() {
        assert_eq!(after_rejoin(&SignalFailure::Refused), After::GiveUp);
        assert_eq!(after_rejoin(&SignalFailure::Unreachable), After::Again);
    }

    #[test]
    fn who_was_removed_stays_away_and_who_met_a_server_that_ends_tries_the_next_one() {
        use livekit_protocol::DisconnectReason::{ParticipantRemoved, ServerShutdown};
        use livekit_protocol::leave_request::Action::Disconnect;
        let told = |reason| after_rejoin(&SignalFailure::Leave(reason, Disconnect));
        assert_eq!(told(ParticipantRemoved), After::GiveUp);
        assert_eq!(told(ServerShutdown), After::Again);
    }
}
