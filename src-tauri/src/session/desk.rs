//! A signed-in account: its parts, and the tasks that keep them in step.

use std::sync::{Arc, OnceLock};

use chat::Chat;
use identity::{SessionState, Vault};
use network::{Clients, reachability::Reachability};
use organisation::{Address, Following, Shelf};
use problem::{Problem, Retry};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{OrganisationSummary, Session, account};
use crate::settings::Preferences;

/// One account's parts.
pub struct Desk {
    address: Address,
    identity: Option<identity::Session>,
    chat: Chat,
    following: OnceLock<Following>,
    tasks: TaskTracker,
    ended: CancellationToken,
}

/// What a desk needs of its surroundings while it is used.
pub(super) struct Surroundings {
    pub session: watch::Sender<Session>,
    pub reachability: Reachability,
    pub clients: Clients,
    pub shelf: Shelf,
    pub preferences: Arc<Preferences>,
    pub vault: Vault,
}

impl Desk {
    pub(super) fn new(address: Address, identity: Option<identity::Session>, chat: Chat) -> Self {
        Self {
            address,
            identity,
            chat,
            following: OnceLock::new(),
            tasks: TaskTracker::new(),
            ended: CancellationToken::new(),
        }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn chat(&self) -> &Chat {
        &self.chat
    }

    pub fn identity(&self) -> Option<&identity::Session> {
        self.identity.as_ref()
    }

    /// Runs `task` until the desk is left.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = task => {}
            }
        });
    }

    pub(super) async fn end_tasks(&self) {
        self.ended.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub(super) fn start(self: &Arc<Self>, around: Surroundings) {
        let Surroundings { session, reachability, clients, shelf, preferences, vault } = around;
        let following = Following::start(self.address.clone(), clients, shelf);
        self.spawn(follow_document(following.current(), self.address.clone(), session.clone(), reachability.clone(), preferences));
        let _ = self.following.set(following);
        self.spawn(keep_chat_session(self.chat.session(), vault, session.clone()));
        if let Some(identity) = &self.identity {
            self.spawn(watch_identity(identity.state(), session));
        }
        self.spawn(hurry_after_nudges(reachability, self.chat.clone(), self.identity.clone()));
    }
}

/// The organisation as far as the address tells, until its document is read.
pub(super) fn nameless(address: &Address) -> OrganisationSummary {
    OrganisationSummary::unknown(address)
}

/// Applies every new copy of the document: services to watch, fixed settings, what the window shows.
async fn follow_document(
    mut documents: watch::Receiver<Option<organisation::Current>>,
    address: Address,
    session: watch::Sender<Session>,
    reachability: Reachability,
    preferences: Arc<Preferences>,
) {
    loop {
        let current = documents.borrow_and_update().clone();
        if let Some(current) = current {
            reachability.set_services(current.document.watched(), current.document.portal_check(&address));
            preferences.fix_by_document(&current.document.settings);
            let summary = current.organisation();
            session.send_if_modified(|session| match session {
                Session::SignedIn { organisation, .. } if *organisation != summary => {
                    *organisation = summary;
                    true
                }
                _ => false,
            });
        }
        if documents.changed().await.is_err() {
            return;
        }
    }
}

/// Tokens rotate: the newest go to the keyring before anybody can lose them.
async fn keep_chat_session(
    mut saved: watch::Receiver<chat::SavedSession>,
    vault: Vault,
    session: watch::Sender<Session>,
) {
    while saved.changed().await.is_ok() {
        let (json, revoked) = {
            let saved = saved.borrow_and_update();
            (saved.json.clone(), saved.revoked)
        };
        if revoked {
            show_problem(&session, || Problem::new("signIn.revoked", Retry::NeedsUser));
        } else if let Err(error) = vault.set(account::CHAT_SESSION, json.into()).await {
            show_problem(&session, || error.problem());
        }
    }
}

async fn watch_identity(mut states: watch::Receiver<SessionState>, session: watch::Sender<Session>) {
    loop {
        let revoked = match &*states.borrow_and_update() {
            SessionState::Revoked { problem } => Some(problem.clone()),
            _ => None,
        };
        if let Some(problem) = revoked {
            show_problem(&session, || problem);
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

/// The computer woke up, or the network changed: everybody who waits tries now.
async fn hurry_after_nudges(reachability: Reachability, chat: Chat, identity: Option<identity::Session>) {
    let mut nudges = reachability.nudges();
    while nudges.changed().await.is_ok() {
        chat.network_changed();
        if let Some(identity) = &identity {
            identity.retry_now();
        }
    }
}

fn show_problem(session: &watch::Sender<Session>, problem: impl FnOnce() -> Problem) {
    session.send_if_modified(|session| match session {
        Session::SignedIn { problem: shown @ None, .. } => {
            *shown = Some(problem());
            true
        }
        _ => false,
    });
}
