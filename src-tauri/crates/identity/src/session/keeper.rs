//! The task that owns a session's tokens.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use network::{Clients, Failure};
use problem::{Problem, Retry};
use tokio::sync::{mpsc, oneshot, watch};
use url::Url;

use super::record::{KEY, Record};
use super::schedule::Schedule;
use super::{SessionState, SignOut, TokenError};
use crate::clock::Clock;
use crate::oidc::tokens::{self, TokenFailure};
use crate::random;
use crate::secret::Secret;
use crate::vault::{Vault, VaultError};

/// Callers that wait for the same renewal; more than that are told to come back.
const MOST_WAITING: usize = 256;
/// Pause between two tries to write what the keyring did not take.
const SAVE_AGAIN: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// A person who signs out does not wait for a server that is gone.
const REVOCATION_DEADLINE: Duration = Duration::from_secs(8);

pub type TokenReply = oneshot::Sender<Result<Secret, TokenError>>;

pub enum Command {
    Access(TokenReply),
    Retry,
    SignOut(oneshot::Sender<SignOut>),
    Close(oneshot::Sender<()>),
}

pub struct Keeper {
    record: Record,
    schedule: Schedule,
    revoked: bool,
    /// Set while the keyring holds an older refresh token than we do: when to write again.
    save_at: Option<SystemTime>,
    waiting: Vec<TokenReply>,
    state: watch::Sender<SessionState>,
    clients: Clients,
    vault: Vault,
    clock: Arc<dyn Clock>,
}

/// What runs beside the commands, one thing at a time.
type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

enum Outcome {
    Renewed {
        record: Box<Record>,
        saved: Result<(), VaultError>,
    },
    Saved(Result<(), VaultError>),
    Failed(Failure),
    Refused,
}

impl Keeper {
    pub fn new(
        record: Record,
        clients: Clients,
        vault: Vault,
        clock: Arc<dyn Clock>,
    ) -> (Self, watch::Receiver<SessionState>) {
        let schedule = Schedule::new(record.issued_at, record.lifetime);
        let known = if schedule.usable(clock.now()) {
            SessionState::Valid
        } else {
            SessionState::Checking
        };
        let (state, watched) = watch::channel(known);
        let keeper = Self {
            record,
            schedule,
            revoked: false,
            save_at: None,
            waiting: Vec::new(),
            state,
            clients,
            vault,
            clock,
        };
        (keeper, watched)
    }

    /// Work that has begun is always finished: a refresh token that the service has already
    /// replaced must reach the keyring, also when everybody stopped asking.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut work: Option<Work> = None;
        loop {
            if work.is_none() {
                work = self.next_work();
            }
            let pause = self.pause();
            tokio::select! {
                outcome = settled(&mut work) => {
                    work = None;
                    self.apply(outcome);
                }
                command = commands.recv() => match command {
                    Some(Command::Access(reply)) => self.access(reply),
                    Some(Command::Retry) => self.hurry(),
                    Some(Command::SignOut(reply)) => {
                        self.finish(work.take()).await;
                        let _ = reply.send(self.sign_out().await);
                        return;
                    }
                    Some(Command::Close(reply)) => {
                        self.finish(work.take()).await;
                        let _ = reply.send(());
                        return;
                    }
                    None => {
                        self.finish(work.take()).await;
                        return;
                    }
                },
                () = tokio::time::sleep(pause), if work.is_none() => {}
            }
        }
    }

    fn pause(&self) -> Duration {
        let now = self.clock.now();
        let renewal = if self.revoked {
            LONGEST_PAUSE
        } else if self.record.refresh_token.is_none() {
            // Nothing to do before its very end.
            self.schedule.left(now).min(LONGEST_PAUSE)
        } else {
            self.schedule.sleep(now)
        };
        match self.save_at {
            Some(at) => renewal.min(at.duration_since(now).unwrap_or_default()),
            None => renewal,
        }
    }

    fn hurry(&mut self) {
        self.schedule.hurry();
        self.save_at = self.save_at.map(|_| self.clock.now());
    }

    fn next_work(&mut self) -> Option<Work> {
        let now = self.clock.now();
        if !self.revoked && self.schedule.due(now) {
            return self.renewal(now);
        }
        if self.save_at.is_some_and(|at| at <= now) {
            let (record, vault) = (self.record.clone(), self.vault.clone());
            return Some(Box::pin(async move {
                Outcome::Saved(record.save(&vault).await)
            }));
        }
        None
    }

    fn renewal(&mut self, now: SystemTime) -> Option<Work> {
        let Some(token) = self.record.refresh_token.clone() else {
            // The service gave no refresh token: the session lives as long as its access token.
            if !self.schedule.usable(now) {
                self.revoke();
            }
            return None;
        };
        let record = self.record.clone();
        let (clients, vault, clock) = (
            self.clients.clone(),
            self.vault.clone(),
            Arc::clone(&self.clock),
        );
        Some(Box::pin(async move {
            renew(record, token, &clients, &vault, &*clock).await
        }))
    }

    fn apply(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Renewed { record, saved } => {
                self.schedule = Schedule::new(record.issued_at, record.lifetime);
                self.record = *record;
                self.note_saved(&saved);
                self.state.send_replace(SessionState::Valid);
                for reply in std::mem::take(&mut self.waiting) {
                    self.give(reply);
                }
            }
            Outcome::Saved(saved) => self.note_saved(&saved),
            Outcome::Failed(failure) => self.wait_for_network(failure),
            Outcome::Refused => self.revoke(),
        }
    }

    fn note_saved(&mut self, saved: &Result<(), VaultError>) {
        if let Err(error) = saved {
            tracing::warn!(%error, "the renewed session is in memory only");
        }
        self.save_at = saved.is_err().then(|| self.clock.now() + SAVE_AGAIN);
    }

    fn wait_for_network(&mut self, failure: Failure) {
        let now = self.clock.now();
        let jitter = random::bytes::<1>().map_or(0.5, |byte| f64::from(byte[0]) / 255.0);
        let retry_at = self.schedule.failed(now, jitter);
        let since = match &*self.state.borrow() {
            SessionState::Offline { since, .. } => *since,
            _ => now,
        };
        self.state.send_replace(SessionState::Offline {
            since,
            retry_at,
            failure,
        });
        for reply in std::mem::take(&mut self.waiting) {
            let _ = reply.send(Err(TokenError::Offline { retry_at, failure }));
        }
    }

    fn revoke(&mut self) {
        self.revoked = true;
        let problem = Problem::new("signIn.revoked", Retry::NeedsUser);
        self.state.send_replace(SessionState::Revoked { problem });
        for reply in std::mem::take(&mut self.waiting) {
            let _ = reply.send(Err(TokenError::Revoked));
        }
    }

    fn access(&mut self, reply: TokenReply) {
        let now = self.clock.now();
        if self.revoked {
            let _ = reply.send(Err(TokenError::Revoked));
        } else if self.schedule.usable(now) {
            // Near its end it is renewed beside this, without making anybody wait.
            self.give(reply);
        } else if let Some((retry_at, failure)) = self.pausing(now) {
            let _ = reply.send(Err(TokenError::Offline { retry_at, failure }));
        } else if self.waiting.len() < MOST_WAITING {
            self.waiting.push(reply);
        } else {
            let failure = Failure::Timeout;
            let _ = reply.send(Err(TokenError::Offline {
                retry_at: now,
                failure,
            }));
        }
    }

    fn give(&self, reply: TokenReply) {
        let token = self.record.access_token.clone().ok_or(TokenError::Ended);
        let _ = reply.send(token);
    }

    fn pausing(&self, now: SystemTime) -> Option<(SystemTime, Failure)> {
        let retry_at = self.schedule.retry_at().filter(|at| *at > now)?;
        match &*self.state.borrow() {
            SessionState::Offline { failure, .. } => Some((retry_at, *failure)),
            _ => Some((retry_at, Failure::Offline)),
        }
    }

    async fn finish(&mut self, work: Option<Work>) {
        if let Some(work) = work {
            let outcome = work.await;
            self.apply(outcome);
        }
        if self.save_at.is_some() {
            let _ = self.record.save(&self.vault).await;
        }
    }

    async fn sign_out(&mut self) -> SignOut {
        let forgotten = self.vault.delete(KEY).await.is_ok();
        let revoked = tokio::time::timeout(REVOCATION_DEADLINE, self.revoke_at_service())
            .await
            .unwrap_or(false);
        SignOut {
            revoked,
            forgotten,
            end_session: self.end_session(),
        }
    }

    async fn revoke_at_service(&self) -> bool {
        // Refused already: there is nothing left to revoke.
        if self.revoked && self.record.refresh_token.is_some() {
            return true;
        }
        let Some(endpoint) = &self.record.revocation_endpoint else {
            return false;
        };
        // RFC 7009 §2.1: revoking the refresh token ends the access tokens of the same grant.
        let (token, hint) = match (&self.record.refresh_token, &self.record.access_token) {
            (Some(refresh), _) => (refresh, "refresh_token"),
            (None, Some(access)) => (access, "access_token"),
            (None, None) => return false,
        };
        let client_id = &self.record.client_id;
        tokens::revoke(
            endpoint,
            client_id,
            token,
            hint,
            &self.clients,
            &*self.clock,
        )
        .await
        .unwrap_or(false)
    }

    /// OpenID Connect RP-Initiated Logout 1.0 §2.
    fn end_session(&self) -> Option<Url> {
        let mut url = self.record.end_session_endpoint.clone()?;
        url.query_pairs_mut()
            .append_pair("client_id", &self.record.client_id);
        if let Some(hint) = self.record.id_token.as_ref().and_then(Secret::expose_text) {
            url.query_pairs_mut().append_pair("id_token_hint", hint);
        }
        Some(url)
    }
}

async fn settled(work: &mut Option<Work>) -> Outcome {
    match work {
        Some(work) => work.as_mut().await,
        None => pending().await,
    }
}

async fn renew(
    record: Record,
    token: Secret,
    clients: &Clients,
    vault: &Vault,
    clock: &dyn Clock,
) -> Outcome {
    let endpoint = &record.token_endpoint;
    match tokens::refresh(endpoint, &record.client_id, &token, clients, clock).await {
        Ok(tokens) => {
            let record = record.renewed(tokens, clock.now());
            let saved = record.save(vault).await;
            Outcome::Renewed {
                record: Box::new(record),
                saved,
            }
        }
        Err(TokenFailure::Network(failure)) => Outcome::Failed(failure),
        Err(TokenFailure::Refused) => Outcome::Refused,
    }
}
