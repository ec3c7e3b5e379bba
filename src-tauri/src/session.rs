//! Who is here: the one owner of the account's parts, from an address typed to a closed session.
//!
//! ```text
//! Starting ──▶ SignedOut ──▶ Browser ──▶ Completing ──▶ SignedIn
//!    │             ▲            │             │             │
//!    │             └────────────┴─────────────┴── sign out ─┘
//!    └──▶ Locked (keyring) ──▶ Starting
//! ```
//! Nothing is deleted on any way but "sign out": a locked keyring, a revoked session or a damaged
//! cache leave the person's data where they are.

mod account;
mod desk;
mod sign_in;
mod sign_out;
mod state;
mod upkeep;

use std::sync::{Arc, Mutex, PoisonError};

use chat::Chat;
use identity::{Control, SystemClock, Vault};
use network::{Clients, Connection, Reachability};
use organisation::{Address, Current, Following, Policy, Shelf};
use problem::{Problem, Retry};
use tokio::sync::watch;
use url::Url;

pub use desk::Desk;
pub use organisation::Organisation as OrganisationSummary;
pub use state::{LeftBehind, Me, Session, SignOutReport};

use crate::{folders::Folders, media, settings::Preferences};
use account::Account;

/// Under this name the keyring program of the system shows our secrets.
const KEYRING_APPLICATION: &str = "eu.cordee.desktop";

/// Opens an address in the system browser.
pub type OpenBrowser = dyn Fn(&Url) -> bool + Send + Sync;

/// The account's parts and how they come and go.
pub struct Office {
    folders: Folders,
    policy: Policy,
    /// The device's policy cannot be read: nothing is connected until it can.
    refused: Option<Problem>,
    preferences: Arc<Preferences>,
    clients: Clients,
    reachability: Reachability,
    open_browser: Box<OpenBrowser>,
    /// True from when the machine has time for more than the window.
    begin: watch::Receiver<bool>,
    vault: tokio::sync::Mutex<Option<Vault>>,
    session: watch::Sender<Session>,
    desk: watch::Sender<Option<Arc<Desk>>>,
    attempt: Mutex<Option<Attempt>>,
}

/// A sign-in under way.
struct Attempt {
    control: Option<Control>,
    task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Office {
    /// Must run inside a tokio runtime.
    pub fn new(
        folders: Folders,
        policy: Result<Policy, Problem>,
        preferences: Arc<Preferences>,
        open_browser: Box<OpenBrowser>,
        begin: watch::Receiver<bool>,
    ) -> Result<Arc<Self>, Problem> {
        let (policy, refused) = match policy {
            Ok(policy) => (policy, None),
            Err(problem) => (Policy::default(), Some(problem)),
        };
        let trust = policy.trust().map_err(|error| unreadable(&error))?;
        let clients = Clients::new(&trust).map_err(|_| Problem::internal("http clients"))?;
        let reachability = Reachability::start(clients.clone());
        Ok(Arc::new(Self {
            folders,
            policy,
            refused,
            preferences,
            clients,
            reachability,
            open_browser,
            begin,
            vault: tokio::sync::Mutex::new(None),
            session: watch::Sender::new(Session::Starting),
            desk: watch::Sender::new(None),
            attempt: Mutex::new(None),
        }))
    }

    pub fn session(&self) -> Session {
        self.session.borrow().clone()
    }

    pub fn session_changes(&self) -> watch::Receiver<Session> {
        self.session.subscribe()
    }

    /// The signed-in account's parts, when there is one.
    pub fn desks(&self) -> watch::Receiver<Option<Arc<Desk>>> {
        self.desk.subscribe()
    }

    pub fn chat(&self) -> Result<Chat, Problem> {
        let desk = self.desk.borrow();
        desk.as_ref()
            .map(|desk| desk.chat().clone())
            .ok_or_else(|| Problem::new("chat.notSignedIn", Retry::NeedsUser))
    }

    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.reachability.connection()
    }

    pub fn retry_connection(&self, service: Option<&str>) {
        self.reachability.retry_now(service);
    }

    pub fn portal_address(&self) -> Option<Url> {
        self.reachability.portal_page()
    }

    /// What answers for `address`; the last good copy when the address gives nothing usable now.
    pub async fn find_organisation(&self, address: &str) -> Result<OrganisationSummary, Problem> {
        let address = Address::parse(address).map_err(|error| error.problem())?;
        let (_, current) = self.follow(&address).await?;
        Ok(current.organisation())
    }

    /// Comes back to the account of the last run, without waiting for any network.
    pub async fn restore(office: &Arc<Self>) {
        if let Some(problem) = office.refused.clone() {
            return office.leave_signed_out(None, Some(problem));
        }
        office.session.send_replace(Session::Starting);
        match office.try_restore().await {
            Ok(Some(desk)) => Self::sit_down(office, desk).await,
            Ok(None) => office.leave_signed_out(office.suggested_address(), None),
            Err(problem) if problem.code.starts_with("keyring.") => {
                office.session.send_replace(Session::Locked { problem });
                Self::come_back_when_unlocked(office);
            }
            Err(problem) => office.leave_signed_out(office.suggested_address(), Some(problem)),
        }
    }

    /// A keyring that somebody unlocks elsewhere needs no click here.
    fn come_back_when_unlocked(office: &Arc<Self>) {
        let this = Arc::clone(office);
        let task = tokio::spawn(async move {
            let Ok(vault) = this.vault().await else {
                return;
            };
            vault.unlocked().await;
            Self::restore_boxed(&this).await;
        });
        office.keep_attempt(None, task);
    }

    /// `restore` starts the wait that calls it again, so its type would contain itself.
    fn restore_boxed(
        office: &Arc<Self>,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(Self::restore(office))
    }

    async fn try_restore(&self) -> Result<Option<Desk>, Problem> {
        self.folders.clear_opened_files();
        let Some(account) = Account::read(&self.folders.current_account()) else {
            return Ok(None);
        };
        let address = Address::parse(&account.organisation).map_err(|error| error.problem())?;
        let vault = self.vault().await?;
        let (saved, key, remembered) = tokio::join!(
            vault.get(account::CHAT_SESSION),
            vault.existing_store_key(account::STORE),
            identity::Session::remembered(&vault),
        );
        let (Some(saved), Some(key)) = (saved?, key?) else {
            return Ok(None);
        };
        let remembered = remembered?;
        let saved = saved.expose_text().unwrap_or_default();
        let chat = Chat::restore(saved, self.chat_setup(&address, *key)).await?;
        let identity = remembered.map(|remembered| {
            remembered.resume(self.clients.clone(), vault, Arc::new(SystemClock))
        });
        let (clients, begin) = (self.clients.clone(), self.begin.clone());
        let following = Following::start_when(begin, &address, clients, self.shelf());
        Ok(Some(Desk::new(address, following, identity, chat)))
    }

    /// A `cordee:sign-in` link fills the address in; the person goes on.
    pub fn suggest_address(&self, address: String) {
        self.session.send_if_modified(|session| {
            if let Session::SignedOut { address: shown, .. } = session {
                *shown = Some(address);
                return true;
            }
            false
        });
    }

    /// Ends every task; data stay. Called when the program ends.
    pub async fn close(&self) {
        self.cancel_sign_in();
        self.leave_desk().await;
    }

    async fn leave_desk(&self) {
        if let Some(desk) = self.desk.send_replace(None) {
            desk.end_tasks().await;
            desk.chat().close().await;
            if let Some(identity) = desk.identity() {
                identity.close().await;
            }
        }
    }

    /// Shows the account and starts what keeps it alive.
    async fn sit_down(office: &Arc<Self>, desk: Desk) {
        let vault = match office.vault().await {
            Ok(vault) => vault,
            Err(problem) => {
                office.session.send_replace(Session::Locked { problem });
                return;
            }
        };
        let desk = Arc::new(desk);
        let me = match desk.chat().own_profile().await {
            Ok(profile) => Me::of(&desk, profile),
            Err(error) => return office.leave_signed_out(None, Some(error.problem())),
        };
        office.session.send_replace(Session::SignedIn {
            me,
            organisation: desk.organisation(),
            problem: None,
        });
        office.desk.send_replace(Some(Arc::clone(&desk)));
        desk.start(desk::Surroundings {
            session: office.session.clone(),
            reachability: office.reachability.clone(),
            preferences: Arc::clone(&office.preferences),
            vault,
            begin: office.begin.clone(),
        });
    }

    fn leave_signed_out(&self, address: Option<String>, problem: Option<Problem>) {
        self.session
            .send_replace(Session::SignedOut { address, problem });
    }

    fn suggested_address(&self) -> Option<String> {
        Account::read(&self.folders.current_account())
            .map(|account| account.organisation)
            .or_else(|| self.policy.organisation.as_ref().map(Address::domain))
            .map(|organisation| format!("@{organisation}"))
    }

    /// The document that answers for `address` now, or its last good copy with the reason.
    async fn follow(&self, address: &Address) -> Result<(Following, Current), Problem> {
        if let Some(problem) = self.refused.clone() {
            return Err(problem);
        }
        let copies = self.shelf();
        match organisation::discover(address, &self.clients).await {
            Ok(found) => {
                let current = Current::found(address, &found);
                Ok((
                    Following::start_with(address, &found, self.clients.clone(), copies),
                    current,
                ))
            }
            Err(error) => {
                let problem = error.problem();
                let following = Following::start(address, self.clients.clone(), copies);
                let kept = following.current().borrow().clone();
                match kept {
                    Some(kept) => Ok((
                        following,
                        Current {
                            stale: true,
                            problem: Some(problem),
                            ..kept
                        },
                    )),
                    None => Err(problem),
                }
            }
        }
    }

    fn keep_attempt(&self, control: Option<Control>, task: tokio::task::JoinHandle<()>) {
        let attempt = Attempt {
            control,
            task: tokio_util::task::AbortOnDropHandle::new(task),
        };
        *self.attempt.lock().unwrap_or_else(PoisonError::into_inner) = Some(attempt);
    }

    /// Opened at the first need and kept; a failure is asked for again the next time.
    async fn vault(&self) -> Result<Vault, Problem> {
        let mut kept = self.vault.lock().await;
        if let Some(vault) = kept.as_ref() {
            return Ok(vault.clone());
        }
        let vault = Vault::open(KEYRING_APPLICATION).await?;
        *kept = Some(vault.clone());
        Ok(vault)
    }

    /// Lets the system ask the person to unlock the keyring, then tries again.
    pub async fn unlock(office: &Arc<Self>) -> Result<(), Problem> {
        office.vault().await?.unlock().await?;
        Self::restore(office).await;
        Ok(())
    }

    fn shelf(&self) -> Shelf {
        Shelf::new(self.folders.organisations())
    }

    fn chat_setup(&self, address: &Address, key: [u8; 32]) -> chat::Setup {
        chat::Setup {
            store: chat::Store {
                folder: self.folders.chat(&address.domain()),
                key,
            },
            http: self.clients.matrix(),
            media_base: media::BASE.to_owned(),
            device_name: format!("Cordée ({})", system_name()),
            begin: self.begin.clone(),
        }
    }
}

/// A policy that cannot be read, with its place.
pub fn unreadable(error: &organisation::PolicyError) -> Problem {
    Problem::new("policy.unreadable", Retry::NeedsUser).with("place", error.to_string())
}

/// How people call their system; shown in the list of devices.
fn system_name() -> &'static str {
    match std::env::consts::OS {
        "linux" => "Linux",
        "macos" => "macOS",
        "windows" => "Windows",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    #[tokio::test]
    async fn a_policy_that_cannot_be_read_connects_to_nothing_and_says_where_it_is_broken() {
        network::install_crypto_provider();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let file = at("policy.json");
        std::fs::write(&file, b"{\"version\": \"one\"}").unwrap();
        let broken = Policy::load(&organisation::PolicyPlaces::only(&file))
            .map_err(|error| unreadable(&error));
        let folders = Folders::of(at("c"), at("d"), at("l")).unwrap();
        let preferences = Arc::new(Preferences::open(&folders.settings(), BTreeMap::new()));
        let office = Office::new(
            folders,
            broken,
            preferences,
            Box::new(|_| false),
            watch::Sender::new(true).subscribe(),
        )
        .unwrap();
        Office::restore(&office).await;
        let Session::SignedOut { problem, .. } = office.session() else {
            panic!("a broken policy signs nobody in");
        };
        let problem = problem.unwrap();
        assert_eq!(problem.code, "policy.unreadable");
        assert!(problem.data["place"].contains("/version"));
        let found = office.find_organisation("somebody@localhost:9").await;
        assert_eq!(found.unwrap_err(), problem);
    }
}
