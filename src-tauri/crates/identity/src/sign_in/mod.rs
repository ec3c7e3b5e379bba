//! One attempt to sign in with the person's own browser.
//!
//! ```text
//! begin() ─► Preparing ──────────► Browser ──────────────► Completing ─────────► SignedIn
//!            the keyring answers,  the person signs in;    code → tokens, the
//!            the service is known, the way back listens    ID token holds, who
//!            a way back is open       │        │           is it; at the same time
//!                │                    │        │           the browser's second leg
//!                ▼                    ▼        ▼                 ▼
//!          SignInError          Cancelled   TimedOut        SignInError
//! ```
//!
//! From every state: `cancel()` → `Cancelled`, five minutes after the beginning → `TimedOut`,
//! and dropping the [`Attempt`] ends everything it started. Nothing is kept before the last
//! step, which writes the session to the keyring.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use network::Clients;
use organisation::Identity;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::clock::Clock;
use crate::error::SignInError;
use crate::loopback::Pages;
use crate::oidc::claims::Claims;
use crate::session::Session;
use crate::vault::Vault;

mod browser;
mod completing;
mod exchange;
mod preparing;

/// From the first step to the last. A person types a password and waits for an SMS in between.
const DEADLINE: Duration = Duration::from_mins(5);

/// Nothing could be opened.
#[derive(Debug, Clone, Copy)]
pub struct BrowserUnavailable;

pub type OpenBrowser = Arc<dyn Fn(&Url) -> Result<(), BrowserUnavailable> + Send + Sync>;

/// A second sign-in that the same browser trip takes care of: when the first answer has come back,
/// the browser is sent on to the address that `start` gives for our return address. What comes
/// back to that one is handed over in [`SignedIn::second`].
pub struct SecondLeg {
    pub start: Box<dyn FnOnce(Url) -> Url + Send + Sync>,
}

impl SecondLeg {
    pub fn new(start: impl FnOnce(Url) -> Url + Send + Sync + 'static) -> Self {
        Self {
            start: Box::new(start),
        }
    }
}

/// Everything an attempt needs.
pub struct SignIn {
    /// Kept with the session and given back at the next start by [`Session::remembered`].
    pub organisation: String,
    pub identity: Identity,
    pub clients: Clients,
    pub vault: Vault,
    pub clock: Arc<dyn Clock>,
    pub pages: Pages,
    pub open_browser: OpenBrowser,
    pub second_leg: Option<SecondLeg>,
}

/// Where the attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    Preparing,
    /// The person is in the browser. `url` can be copied where none opened.
    Browser {
        url: Url,
        since: SystemTime,
    },
    Completing,
}

/// The person is signed in, and the session is in the keyring.
pub struct SignedIn {
    pub session: Session,
    pub claims: Claims,
    /// Parameters that the second leg came back with; empty without one.
    pub second: BTreeMap<String, String>,
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedIn").finish_non_exhaustive()
    }
}

/// A sign-in that is under way.
pub struct Attempt {
    phase: watch::Receiver<Phase>,
    control: Control,
    task: AbortOnDropHandle<Result<SignedIn, SignInError>>,
}

/// What others may do to an attempt while somebody waits for its end.
#[derive(Debug, Clone)]
pub struct Control {
    cancelled: CancellationToken,
    redirects: mpsc::Sender<Url>,
}

impl Control {
    /// The person changed their mind.
    pub fn cancel(&self) {
        self.cancelled.cancel();
    }

    /// Hands over an address that the system opened us with (`cordee:/callback?…`). `false` when
    /// no attempt waits for it; it is not an error, links also come from elsewhere.
    pub fn deliver_redirect(&self, url: &Url) -> bool {
        matches!(url.path(), exchange::FIRST | exchange::SECOND)
            && self.redirects.try_send(url.clone()).is_ok()
    }
}

impl SignIn {
    /// Starts the attempt. Call it inside a tokio runtime.
    pub fn begin(self) -> Attempt {
        self.begin_within(DEADLINE)
    }

    fn begin_within(self, deadline: Duration) -> Attempt {
        let cancelled = CancellationToken::new();
        let (redirects, delivered) = mpsc::channel(4);
        let (phases, phase) = watch::channel(Phase::Preparing);
        let control = Control {
            cancelled: cancelled.clone(),
            redirects,
        };
        let task = tokio::spawn(async move {
            tokio::select! {
                biased;
                () = cancelled.cancelled() => Err(SignInError::Cancelled),
                outcome = tokio::time::timeout(deadline, run(self, phases, delivered)) => {
                    outcome.unwrap_or(Err(SignInError::TimedOut))
                }
            }
        });
        Attempt {
            phase,
            control,
            task: AbortOnDropHandle::new(task),
        }
    }
}

impl Attempt {
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits for the end.
    pub async fn finish(self) -> Result<SignedIn, SignInError> {
        self.task
            .await
            .unwrap_or(Err(SignInError::Internal("the sign-in ended unexpectedly")))
    }
}

async fn run(
    mut sign_in: SignIn,
    phases: watch::Sender<Phase>,
    delivered: mpsc::Receiver<Url>,
) -> Result<SignedIn, SignInError> {
    let prepared = preparing::prepare(&sign_in).await?;
    let second_leg = sign_in.second_leg.take();
    let visited = browser::visit(&sign_in, prepared, second_leg, &phases, delivered).await?;
    phases.send_replace(Phase::Completing);
    completing::complete(&sign_in, visited).await
}

#[cfg(test)]
mod tests;
