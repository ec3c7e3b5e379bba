//! One organisation's document, kept fresh for as long as somebody holds this.

use std::sync::Arc;
use std::time::Duration;

use network::{Clients, clock};
use problem::Problem;
use rand::Rng;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::Address;
use crate::discover::{self, DiscoverError, Fetched, Found, Source};
use crate::document::Document;
use crate::shelf::Shelf;

/// Between two looks at a document that was fine.
const FRESH_FOR: Duration = Duration::from_hours(1);
const SHORTEST_RETRY: Duration = Duration::from_secs(30);

/// The document in use and what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Current {
    pub address: Address,
    pub document: Arc<Document>,
    pub source: Source,
    /// When the server last said that this is the current one, in milliseconds since the epoch.
    pub fetched_at: f64,
    /// The newest answer could not be used; this is the last good copy.
    pub stale: bool,
    /// Why it could not. `retry` tells a missing network from a wrong document.
    pub problem: Option<Problem>,
}

impl Current {
    /// A document that was just found.
    pub fn found(address: &Address, found: &Found) -> Self {
        Self {
            address: address.clone(),
            document: Arc::new(found.document.clone()),
            source: found.source,
            fetched_at: clock::now_ms(),
            stale: false,
            problem: None,
        }
    }

    pub(crate) fn has_own_document(&self) -> bool {
        self.source == Source::Document
    }
}

/// Follows one organisation. The task ends when this is dropped.
#[derive(Debug)]
pub struct Following {
    current: watch::Receiver<Option<Current>>,
    refresh: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl Following {
    /// Shows the last good copy at once, when there is one, and asks for a newer.
    /// Must be called inside a tokio runtime.
    pub fn start(address: &Address, clients: Clients, shelf: Shelf) -> Self {
        Self::paced(address, clients, shelf, discover::DEADLINE, None, None)
    }

    /// Like [`Self::start`], but asks only when `begin` turns true: the last good copy has to do until then.
    pub fn start_when(
        begin: watch::Receiver<bool>,
        address: &Address,
        clients: Clients,
        shelf: Shelf,
    ) -> Self {
        let deadline = discover::DEADLINE;
        Self::paced(address, clients, shelf, deadline, None, Some(begin))
    }

    /// Like [`Self::start`] with what [`crate::discover`] has just found, which is kept.
    pub fn start_with(address: &Address, found: &Found, clients: Clients, shelf: Shelf) -> Self {
        Self::paced(
            address,
            clients,
            shelf,
            discover::DEADLINE,
            Some(found),
            None,
        )
    }

    fn paced(
        address: &Address,
        clients: Clients,
        shelf: Shelf,
        deadline: Duration,
        found: Option<&Found>,
        begin: Option<watch::Receiver<bool>>,
    ) -> Self {
        let mut follower = Follower {
            address: address.without_user(),
            clients,
            shelf,
            deadline,
            etag: None,
            failures: 0,
        };
        let known = match found {
            Some(found) => Some(follower.take(found)),
            None => follower.last_good_copy(),
        };
        let just_found = found.is_some();
        let (sender, current) = watch::channel(known);
        let refresh = Arc::new(Notify::new());
        let task = tokio::spawn(follower.run(sender, Arc::clone(&refresh), just_found, begin));
        Self {
            current,
            refresh,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// `None` until the first good answer when there is no copy.
    pub fn current(&self) -> watch::Receiver<Option<Current>> {
        self.current.clone()
    }

    /// Asks again now: the network is back, or the person wants to know.
    pub fn refresh_now(&self) {
        self.refresh.notify_one();
    }
}

struct Follower {
    address: Address,
    clients: Clients,
    shelf: Shelf,
    deadline: Duration,
    etag: Option<String>,
    failures: u32,
}

impl Follower {
    async fn run(
        mut self,
        current: watch::Sender<Option<Current>>,
        refresh: Arc<Notify>,
        just_found: bool,
        begin: Option<watch::Receiver<bool>>,
    ) {
        if let Some(mut begin) = begin {
            // Nobody who could still say so means now.
            let _ = begin.wait_for(|begin| *begin).await;
        }
        let mut pause = if just_found { Some(self.pause()) } else { None };
        loop {
            if let Some(pause) = pause {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = refresh.notified() => {}
                }
            }
            let etag = self.etag.clone();
            let answer =
                discover::refresh(&self.address, &self.clients, etag.as_deref(), self.deadline)
                    .await;
            self.apply(answer, &current);
            pause = Some(self.pause());
        }
    }

    fn apply(
        &mut self,
        answer: Result<Fetched, DiscoverError>,
        current: &watch::Sender<Option<Current>>,
    ) {
        match answer {
            Ok(Fetched::New(found)) => {
                self.failures = 0;
                let next = self.take(&found);
                current.send_replace(Some(next));
            }
            Ok(Fetched::Same) => {
                self.failures = 0;
                current.send_if_modified(|current| match current {
                    Some(current) => {
                        let was_stale = std::mem::take(&mut current.stale);
                        current.problem = None;
                        current.fetched_at = clock::now_ms();
                        was_stale
                    }
                    None => false,
                });
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                current.send_if_modified(|current| match current {
                    // The same trouble again is no news, and keeps its log id.
                    Some(current) if current.problem.as_ref().is_some_and(|p| same(p, &error)) => {
                        false
                    }
                    Some(current) => {
                        current.stale = true;
                        current.problem = Some(error.problem());
                        true
                    }
                    None => {
                        error.problem();
                        false
                    }
                });
            }
        }
    }

    /// Uses and keeps what was found.
    fn take(&mut self, found: &Found) -> Current {
        let current = Current::found(&self.address, found);
        self.etag.clone_from(&found.etag);
        if found.source == Source::Document {
            let kept = self.shelf.keep(
                &self.address,
                &found.body,
                found.etag.as_deref(),
                current.fetched_at,
            );
            if let Err(error) = kept {
                // It is in use all the same; only the next start without network misses it.
                tracing::warn!(%error, "The organisation's document was not kept");
            }
        }
        current
    }

    fn last_good_copy(&mut self) -> Option<Current> {
        let copy = self.shelf.read(&self.address)?;
        self.etag = copy.etag;
        Some(Current {
            address: self.address.clone(),
            document: Arc::new(copy.document),
            source: Source::Document,
            fetched_at: copy.fetched_at,
            stale: false,
            problem: None,
        })
    }

    /// An hour when all is well, else 30 s, 1, 2, 4 … minutes up to that hour; ± 10 % so that a
    /// whole hospital does not ask in the same second.
    fn pause(&self) -> Duration {
        let pause = match self.failures {
            0 => FRESH_FOR,
            n => (SHORTEST_RETRY * 2_u32.saturating_pow((n - 1).min(10))).min(FRESH_FOR),
        };
        pause.mul_f64(rand::rng().random_range(0.9..1.1))
    }
}

fn same(shown: &Problem, error: &DiscoverError) -> bool {
    let (code, data) = error.code();
    shown.code == code && shown.data == data
}

#[cfg(test)]
mod tests;
