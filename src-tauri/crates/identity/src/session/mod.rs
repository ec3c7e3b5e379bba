//! A signed-in session: its tokens, renewed in time, one renewal for all who ask.
//!
//! ```text
//!  resume() ─► Checking ──────► Valid ◄──────────────┐
//!                 │               │ renewal fails     │ renewal succeeds
//!                 │               ▼                   │
//!                 └──────────► Offline ───────────────┘   tried again with growing pauses,
//!                 │               │                       or at once after retry_now()
//!                 ▼               ▼
//!                    Revoked          the service refuses the refresh token for good:
//!                                     data is kept, the person signs in again
//! ```
//!
//! All of it lives in one task. A new refresh token is in the keyring before the access token that
//! came with it is handed out; if the keyring is locked at that moment the session goes on from
//! memory and the write is repeated until it succeeds.

use std::sync::Arc;
use std::time::SystemTime;

use network::{Clients, Failure};
use problem::Problem;
use tokio::sync::{mpsc, oneshot, watch};
use url::Url;

use crate::clock::Clock;
use crate::oidc::claims::Claims;
use crate::secret::Secret;
use crate::vault::{Vault, VaultError};

mod keeper;
mod record;
mod schedule;

use keeper::{Command, Keeper};
pub(crate) use record::{KEY, Record};

const QUEUE: usize = 64;

/// What is known about the session.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionState {
    /// Restored; nobody has asked the service yet.
    Checking,
    Valid,
    /// The service cannot be reached; everything is kept.
    Offline {
        since: SystemTime,
        retry_at: SystemTime,
        failure: Failure,
    },
    /// The service does not accept this session any more. Everything is kept.
    Revoked {
        problem: Problem,
    },
}

/// Why there is no access token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the sign-in service cannot be reached")]
    Offline {
        retry_at: SystemTime,
        failure: Failure,
    },
    #[error("the session was revoked")]
    Revoked,
    /// Signed out or closed.
    #[error("the session is over")]
    Ended,
}

/// What signing out achieved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOut {
    /// The service confirmed that the tokens are of no use any more.
    pub revoked: bool,
    /// Nothing of the session is left in the keyring.
    pub forgotten: bool,
    /// Where the browser's own session at the service can be ended.
    pub end_session: Option<Url>,
}

/// A session found in the keyring at the start.
#[derive(Debug)]
pub struct Remembered {
    record: Record,
}

impl Remembered {
    pub fn organisation(&self) -> &str {
        &self.record.organisation
    }

    pub fn claims(&self) -> &Claims {
        &self.record.claims
    }

    /// Goes on with it. Makes no request unless the access token has to be renewed.
    pub fn resume(self, clients: Clients, vault: Vault, clock: Arc<dyn Clock>) -> Session {
        Session::start(self.record, clients, vault, clock)
    }
}

/// Handle on the session's task, which ends with its last handle.
#[derive(Clone)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<SessionState>,
    organisation: Arc<str>,
    claims: Arc<Claims>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    /// Who was signed in when the program ended. Asks the keyring only. A locked keyring is an
    /// error and not "nobody".
    pub async fn remembered(vault: &Vault) -> Result<Option<Remembered>, VaultError> {
        Ok(Record::load(vault)
            .await?
            .map(|record| Remembered { record }))
    }

    pub(crate) fn start(
        record: Record,
        clients: Clients,
        vault: Vault,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let organisation = Arc::from(record.organisation.as_str());
        let claims = Arc::new(record.claims.clone());
        let (commands, queue) = mpsc::channel(QUEUE);
        let (keeper, state) = Keeper::new(record, clients, vault, clock);
        tokio::spawn(keeper.run(queue));
        Self {
            commands,
            state,
            organisation,
            claims,
        }
    }

    pub fn organisation(&self) -> &str {
        &self.organisation
    }

    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    pub fn state(&self) -> watch::Receiver<SessionState> {
        self.state.clone()
    }

    /// A token that servers accept now. Waits for a renewal when there is none.
    pub async fn access_token(&self) -> Result<Secret, TokenError> {
        self.ask(Command::Access)
            .await
            .unwrap_or(Err(TokenError::Ended))
    }

    /// The network is back, or the computer woke up: no pause counts any more.
    pub fn retry_now(&self) {
        // A full queue means that somebody is asking for a token, which tries anyhow.
        let _ = self.commands.try_send(Command::Retry);
    }

    /// Revokes the tokens and forgets them. What could not be done is in the answer; locally the
    /// session is over in any case.
    pub async fn sign_out(&self) -> SignOut {
        let nothing = SignOut {
            revoked: false,
            forgotten: false,
            end_session: None,
        };
        self.ask(Command::SignOut).await.unwrap_or(nothing)
    }

    /// Ends the task and keeps everything for the next start.
    pub async fn close(&self) {
        let _ = self.ask(Command::Close).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests;
