//! State: our place is lost. Join anew with growing pauses, and publish what we published before.

use tokio::time::sleep;

use super::connection::Connection;
use super::engine::Engine;
use super::joining::{Attempt, connect};
use super::policy::{self, After};
use super::{Ended, State};

pub(super) async fn run(engine: &mut Engine) -> Result<Connection, Ended> {
    let end = engine.end.clone();
    for attempt in 0.. {
        let Some(pause) = policy::pause(attempt, rand::random()) else {
            return Err(Ended::Unreachable);
        };
        engine.enter(State::Rejoining {
            attempt: attempt + 1,
        });
        if end.run_until_cancelled(sleep(pause)).await.is_none() {
            return Err(Ended::Left);
        }
        let error = match Box::pin(connect(engine, attempt)).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        tracing::info!(%error, attempt, "Rejoining failed");
        match error {
            Attempt::Asked => return Err(Ended::Left),
            Attempt::Signal(failure) => match policy::after_rejoin(&failure) {
                After::GiveUp => return Err(Ended::Refused),
                After::Again | After::Rejoin => {}
            },
            Attempt::Transport(_) | Attempt::Stuck | Attempt::NoPath(_) => {}
        }
    }
    Err(Ended::Unreachable)
}
