//! A signed-in account: its parts, and the tasks that keep them in step.

use std::sync::Arc;

use chat::Chat;
use identity::{SessionState, Vault};
use network::Reachability;
use organisation::{Address, Following, SignIn};
use problem::{Problem, Retry};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Me, OrganisationSummary, Session, account};
use crate::settings::Preferences;

/// Name of the homeserver among the watched services.
const CHAT_SERVICE: &str = "chat";

/// One account's parts.
pub struct Desk {
    address: Address,
    identity: Option<identity::Session>,
    chat: Chat,
    following: Following,
    tasks: TaskTracker,
    ended: CancellationToken,
}

/// What a desk needs of its surroundings while it is used.
pub(super) struct Surroundings {
    pub session: watch::Sender<Session>,
    pub reachability: Reachability,
    pub preferences: Arc<Preferences>,
    pub vault: Vault,
    /// The services are asked from when this is true.
    pub begin: watch::Receiver<bool>,
}

impl Desk {
    pub(super) fn new(
        address: Address,
        following: Following,
        identity: Option<identity::Session>,
        chat: Chat,
    ) -> Self {
        Self {
            address,
            identity,
            chat,
            following,
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

    /// The organisation as the window shows it; only its domain until its document was read once.
    pub fn organisation(&self) -> OrganisationSummary {
        self.following.current().borrow().as_ref().map_or_else(
            || OrganisationSummary {
                domain: self.address.domain(),
                name: self.address.host().to_owned(),
                sign_in: SignIn::Browser,
                second_factor: None,
                help: None,
                accent: None,
                stale: true,
                problem: None,
            },
            organisation::Current::organisation,
        )
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
        let Surroundings {
            session,
            reachability,
            preferences,
            vault,
            begin,
        } = around;
        self.spawn(follow_document(
            self.following.current(),
            session.clone(),
            reachability.clone(),
            preferences,
            begin.clone(),
        ));
        self.spawn(refresh_me(Arc::clone(self), session.clone(), begin));
        self.spawn(keep_chat_session(
            self.chat.session(),
            vault,
            session.clone(),
        ));
        if let Some(identity) = &self.identity {
            self.spawn(watch_identity(identity.state(), session));
        }
        self.spawn(report_use(reachability.clone(), self.chat.clone()));
        self.spawn(hurry_after_nudges(reachability, Arc::clone(self)));
    }
}

/// Applies every new copy of the document: services to watch, fixed settings, what the window shows.
async fn follow_document(
    mut documents: watch::Receiver<Option<organisation::Current>>,
    session: watch::Sender<Session>,
    reachability: Reachability,
    preferences: Arc<Preferences>,
    mut begin: watch::Receiver<bool>,
) {
    loop {
        let current = documents.borrow_and_update().clone();
        if let Some(current) = current {
            preferences.fix_by_document(&current.document.settings);
            let summary = current.organisation();
            session.send_if_modified(|session| match session {
                Session::SignedIn { organisation, .. } if *organisation != summary => {
                    *organisation = summary;
                    true
                }
                _ => false,
            });
            let _ = begin.wait_for(|begin| *begin).await;
            reachability.set_services(current.watched(), current.portal_check());
        }
        if documents.changed().await.is_err() {
            return;
        }
    }
}

/// The window begins with the name and picture of last time.
async fn refresh_me(
    desk: Arc<Desk>,
    session: watch::Sender<Session>,
    mut begin: watch::Receiver<bool>,
) {
    let _ = begin.wait_for(|begin| *begin).await;
    let Ok(profile) = desk.chat.fresh_profile().await else {
        return;
    };
    let fresh = Me::of(&desk, profile);
    session.send_if_modified(|session| match session {
        Session::SignedIn { me, .. } if *me != fresh => {
            *me = fresh;
            true
        }
        _ => false,
    });
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
            show_problem(&session, || {
                Problem::new("signIn.revoked", Retry::NeedsUser)
            });
        } else if let Err(error) = vault.set(account::CHAT_SESSION, json.into()).await {
            show_problem(&session, || error.problem());
        }
    }
}

async fn watch_identity(
    mut states: watch::Receiver<SessionState>,
    session: watch::Sender<Session>,
) {
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
async fn hurry_after_nudges(reachability: Reachability, desk: Arc<Desk>) {
    let mut nudges = reachability.nudges();
    while nudges.changed().await.is_ok() {
        desk.chat.network_changed();
        desk.following.refresh_now();
        if let Some(identity) = &desk.identity {
            identity.retry_now();
        }
    }
}

/// Whoever uses a service knows first that it is gone, or back.
async fn report_use(reachability: Reachability, chat: Chat) {
    let mut statuses = chat.status();
    loop {
        match statuses.borrow_and_update().sync {
            chat::Sync::Live => reachability.report_ok(CHAT_SERVICE),
            chat::Sync::Offline | chat::Sync::Error => reachability.retry_now(Some(CHAT_SERVICE)),
            chat::Sync::Starting => {}
        }
        if statuses.changed().await.is_err() {
            return;
        }
    }
}

fn show_problem(session: &watch::Sender<Session>, problem: impl FnOnce() -> Problem) {
    session.send_if_modified(|session| match session {
        Session::SignedIn {
            problem: shown @ None,
            ..
        } => {
            *shown = Some(problem());
            true
        }
        _ => false,
    });
}
