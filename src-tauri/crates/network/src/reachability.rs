//! The truth about the connection: an actor around a core that decides.
//!
//! The actor owns sockets, timers and the system's change events; [`core`] owns every decision and
//! gets the time passed in.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::{Clients, Connection, Failure, PortalCheck, Watched, clock};

mod actor;
mod changes;
mod core;
mod overall;
mod portal;
mod probe;
mod tracked;
mod wake;

/// Watches the services it was given. Cheap to clone; everything ends with the last clone.
#[derive(Debug, Clone)]
pub struct Reachability {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connection: watch::Receiver<Connection>,
    nudges: watch::Receiver<u32>,
    watched: watch::Sender<Watchlist>,
    wishes: mpsc::Sender<Wish>,
    _actor: AbortOnDropHandle<()>,
}

/// What is watched at the moment.
#[derive(Debug, Clone, Default, PartialEq)]
struct Watchlist {
    services: Vec<Watched>,
    portal: Option<PortalCheck>,
}

/// What users of the connection tell.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    /// Probe this service, or all.
    Retry(Option<String>),
    /// A real request was answered.
    UsedWell(String),
    /// A real request failed.
    UsedBadly(String, Failure),
}

/// Hints come with every request; when more wait than this, the next one says the same.
const WISHES: usize = 64;

impl Reachability {
    /// Begins to watch nothing. Must be called inside a tokio runtime.
    pub fn start(clients: Clients) -> Self {
        let (connection, connection_seen) = watch::channel(Connection::unknown(clock::now_ms()));
        let (nudges, nudges_seen) = watch::channel(0);
        let (watched, watched_seen) = watch::channel(Watchlist::default());
        let (wishes, wishes_seen) = mpsc::channel(WISHES);
        let actor = actor::Actor::new(clients, watched_seen, wishes_seen, connection, nudges);
        Self {
            shared: Arc::new(Shared {
                connection: connection_seen,
                nudges: nudges_seen,
                watched,
                wishes,
                _actor: AbortOnDropHandle::new(tokio::spawn(actor.run())),
            }),
        }
    }

    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.shared.connection.clone()
    }

    /// Replaces what is watched. A service that stays (same id and address) keeps its state.
    pub fn set_services(&self, services: Vec<Watched>, portal: Option<PortalCheck>) {
        self.shared.watched.send_if_modified(|watchlist| {
            let next = Watchlist { services, portal };
            let changed = *watchlist != next;
            *watchlist = next;
            changed
        });
    }

    /// Probes one service, or all, now.
    pub fn retry_now(&self, service: Option<&str>) {
        self.wish(Wish::Retry(service.map(str::to_owned)));
    }

    /// Tells that a real request to the service was answered.
    pub fn report_ok(&self, service: &str) {
        self.wish(Wish::UsedWell(service.to_owned()));
    }

    /// Tells that a real request to the service failed. A probe decides what that means.
    pub fn report_failure(&self, service: &str, failure: Failure) {
        self.wish(Wish::UsedBadly(service.to_owned(), failure));
    }

    /// Counts the moments at which waiting for a back-off makes no sense any more: the device woke
    /// up, changed network, or a service came back.
    pub fn nudges(&self) -> watch::Receiver<u32> {
        self.shared.nudges.clone()
    }

    /// The page in which a captive portal shows itself, for the system's browser.
    pub fn portal_page(&self) -> Option<Url> {
        let watchlist = self.shared.watched.borrow();
        watchlist.portal.as_ref().map(|check| check.url.clone())
    }

    fn wish(&self, wish: Wish) {
        // A full queue means that probes are about to run anyway.
        let _ = self.shared.wishes.try_send(wish);
    }
}

/// Probes a service once. Milliseconds until the expected answer was there.
pub async fn check_service(clients: &Clients, service: Watched) -> Result<u32, Failure> {
    probe::probe(clients.probe(), service).await
}

/// Whether somebody else than the organisation clearly answers plain HTTP at its name: the network
/// asks to sign in first (RFC 6585 §6), or leads away to another house. A page that might be the
/// organisation's own is no evidence.
pub async fn is_captive_portal(clients: &Clients, check: PortalCheck) -> bool {
    match probe::look_for_portal(clients.plain(), check).await {
        portal::Seen::Answer(answer) => answer.status == 511 || answer.leads_to.is_some(),
        portal::Seen::Nothing(_) => false,
    }
}

/// What the page of a [`PortalCheck`] answers now: its status, and the host it leads away to.
pub async fn check_portal_page(
    clients: &Clients,
    check: PortalCheck,
) -> Result<(u16, Option<String>), Failure> {
    match probe::look_for_portal(clients.plain(), check).await {
        portal::Seen::Nothing(failure) => Err(failure),
        portal::Seen::Answer(answer) => Ok((answer.status, answer.leads_to)),
    }
}

#[cfg(test)]
#[path = "reachability/actor_tests.rs"]
mod tests;
