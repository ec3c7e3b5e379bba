//! Runs what the core asks for: probes, timers, and the system's change events.

use std::collections::HashMap;
use std::time::Duration;

use rand::Rng;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::core::{Command, Core, Input, Moment, Ticket};
use super::portal::Seen;
use super::{Watchlist, Wish, changes, probe, wake};
use crate::{Clients, Connection, Failure, clock};

/// When nothing is due; any input ends the wait.
const IDLE: Duration = Duration::from_hours(1);

pub(super) struct Actor {
    clients: Clients,
    core: Core,
    begun: Instant,
    watched: watch::Receiver<Watchlist>,
    wishes: mpsc::Receiver<Wish>,
    connection: watch::Sender<Connection>,
    nudges: watch::Sender<u32>,
    probes: JoinSet<Finished>,
    /// Who works on what, so that a newer probe of a service ends the older one.
    running: HashMap<String, AbortHandle>,
}

enum Finished {
    Probe(Ticket, Result<u32, Failure>),
    Portal(Ticket, Seen),
}

impl Actor {
    pub(super) fn new(
        clients: Clients,
        watched: watch::Receiver<Watchlist>,
        wishes: mpsc::Receiver<Wish>,
        connection: watch::Sender<Connection>,
        nudges: watch::Sender<u32>,
    ) -> Self {
        let begun = Instant::now();
        Self {
            clients,
            core: Core::new(
                moment(begun),
                Box::new(|| rand::rng().random_range(0.0..1.0)),
            ),
            begun,
            watched,
            wishes,
            connection,
            nudges,
            probes: JoinSet::new(),
            running: HashMap::new(),
        }
    }

    /// Until the handle is gone.
    pub(super) async fn run(mut self) {
        let (link, mut link_seen) = watch::channel(true);
        let (woke, mut woke_seen) = mpsc::channel(1);
        // Both end with this future.
        let mut news = JoinSet::new();
        news.spawn(changes::watch(link));
        news.spawn(wake::watch(woke));

        loop {
            let due = self
                .core
                .next_at()
                .map_or_else(|| Instant::now() + IDLE, |at| self.begun + at);
            let input = tokio::select! {
                changed = self.watched.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    Input::Watch(self.watched.borrow_and_update().clone())
                }
                wish = self.wishes.recv() => match wish {
                    Some(wish) => Input::Wish(wish),
                    None => return,
                },
                Ok(()) = link_seen.changed() => {
                    self.clients.network_changed();
                    Input::Link(*link_seen.borrow_and_update())
                }
                Some(()) = woke_seen.recv() => Input::Woke,
                Some(finished) = self.probes.join_next() => match finished {
                    Ok(Finished::Probe(ticket, result)) => Input::Probed(ticket, result),
                    Ok(Finished::Portal(ticket, seen)) => Input::PortalSeen(ticket, seen),
                    // Ended because a newer probe of the same service began.
                    Err(_) => continue,
                },
                () = tokio::time::sleep_until(due) => Input::Tick,
            };
            let commands = self.core.handle(moment(self.begun), input);
            for command in commands {
                self.obey(command);
            }
            self.publish();
        }
    }

    fn obey(&mut self, command: Command) {
        let (key, task) = match command {
            Command::Probe(ticket, watched) => {
                let key = format!("service {}", watched.id);
                let probing = probe::probe(self.clients.probe(), watched);
                let task = self
                    .probes
                    .spawn(async move { Finished::Probe(ticket, probing.await) });
                (key, task)
            }
            Command::LookForPortal(ticket, check) => {
                let looking = probe::look_for_portal(self.clients.plain(), check);
                let task = self
                    .probes
                    .spawn(async move { Finished::Portal(ticket, looking.await) });
                ("portal".to_owned(), task)
            }
        };
        self.running.retain(|_, task| !task.is_finished());
        if let Some(older) = self.running.insert(key, task) {
            older.abort();
        }
    }

    fn publish(&self) {
        let now = self.core.connection();
        self.connection.send_if_modified(|shown| {
            if shown == now {
                return false;
            }
            if shown.overall != now.overall {
                tracing::info!(from = ?shown.overall, to = ?now.overall, "Connection");
            }
            shown.clone_from(now);
            true
        });
        let nudges = self.core.nudges();
        self.nudges
            .send_if_modified(|shown| std::mem::replace(shown, nudges) != nudges);
    }
}

fn moment(begun: Instant) -> Moment {
    Moment {
        monotonic: begun.elapsed(),
        wall: clock::now_ms(),
    }
}
