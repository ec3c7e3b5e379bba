//! Every decision about reachability: inputs in, commands out, time passed in.

use std::time::Duration;

use super::overall::{Portal, Surroundings, overall};
use super::portal::{Answer, Seen, Verdict, judge};
use super::tracked::{Phase, Tracked, Turn};
use super::{Watchlist, Wish};
use crate::{Connection, Failure, PortalCheck, Watched};

/// A point in time on both clocks: the monotonic one decides, the wall clock is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moment {
    pub(super) monotonic: Duration,
    /// Milliseconds since the Unix epoch.
    pub(super) wall: f64,
}

/// Ties a result to the probe that was asked for; others are too late and say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
pub(super) enum Input {
    Watch(Watchlist),
    /// The interfaces changed; does one of them still lead anywhere?
    Link(bool),
    /// The device slept, or the program was stopped and goes on.
    Woke,
    Wish(Wish),
    /// Milliseconds, or why not.
    Probed(Ticket, Result<u32, Failure>),
    PortalSeen(Ticket, Seen),
    /// Time went by.
    Tick,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Probe(Ticket, Watched),
    LookForPortal(Ticket, PortalCheck),
}

/// After a loss the other services are asked too, unless they answered within this.
const FRESH: Duration = Duration::from_secs(5);
/// Hints about a service that was just probed are old news.
const JUST_PROBED: Duration = Duration::from_secs(1);
/// Somebody is typing a room number into a welcome page.
const PORTAL_AGAIN: Duration = Duration::from_secs(5);
const SILENCE_AGAIN: Duration = Duration::from_secs(30);

pub(super) struct Core {
    services: Vec<Tracked>,
    portal: PortalWatch,
    link: bool,
    connection: Connection,
    nudges: u32,
    tickets: u64,
    /// In 0..1.
    random: Box<dyn FnMut() -> f64 + Send>,
}

#[derive(Debug, Default)]
struct PortalWatch {
    check: Option<PortalCheck>,
    /// Learned while services were reachable.
    usual: Option<Answer>,
    /// One look is enough to learn; a server without plain HTTP never answers.
    learning_done: bool,
    verdict: Option<Verdict>,
    looking: Option<Ticket>,
    again_at: Duration,
}

impl Core {
    pub(super) fn new(now: Moment, random: Box<dyn FnMut() -> f64 + Send>) -> Self {
        Self {
            services: Vec::new(),
            portal: PortalWatch::default(),
            // Until the system says otherwise: a wrong "offline" would stop people from trying.
            link: true,
            connection: Connection::unknown(now.wall),
            nudges: 0,
            tickets: 0,
            random,
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn nudges(&self) -> u32 {
        self.nudges
    }

    /// When a tick is due, on the monotonic clock.
    pub(super) fn next_at(&self) -> Option<Duration> {
        let probes = self
            .services
            .iter()
            .filter_map(|service| match service.phase {
                Phase::Waiting { until } => Some(until),
                Phase::Probing(_) => None,
            });
        let portal = (self.wants_portal_verdict() && self.portal.looking.is_none())
            .then_some(self.portal.again_at);
        probes.chain(portal).min()
    }

    pub(super) fn handle(&mut self, now: Moment, input: Input) -> Vec<Command> {
        match input {
            Input::Watch(watchlist) => self.watch(watchlist, now),
            Input::Link(link) => self.link_changed(link, now),
            Input::Woke => self.woke(now),
            Input::Wish(wish) => self.wish(wish, now),
            Input::Probed(ticket, result) => self.probed(ticket, result, now),
            Input::PortalSeen(ticket, seen) => self.portal_seen(ticket, &seen, now),
            Input::Tick => {}
        }
        let mut commands = self.due_probes(now);
        commands.extend(self.due_look(now));
        self.publish(now);
        commands
    }

    fn watch(&mut self, watchlist: Watchlist, now: Moment) {
        let mut former = std::mem::take(&mut self.services);
        for watched in watchlist.services {
            let known = former.iter().position(|service| {
                service.watched.id == watched.id
                    && service.watched.url == watched.url
                    && service.watched.expect == watched.expect
            });
            self.services.push(match known {
                Some(index) => former.swap_remove(index).renamed(watched),
                None => Tracked::new(watched, now),
            });
        }
        if self.portal.check != watchlist.portal {
            self.portal = PortalWatch {
                check: watchlist.portal,
                ..PortalWatch::default()
            };
        }
    }

    fn link_changed(&mut self, link: bool, now: Moment) {
        self.link = link;
        if link {
            self.nudges = self.nudges.wrapping_add(1);
        }
        self.portal.forget(now);
        for service in &mut self.services {
            service.restart_back_off();
            service.probe_soon(now, true);
        }
    }

    fn woke(&mut self, now: Moment) {
        self.nudges = self.nudges.wrapping_add(1);
        self.portal.forget(now);
        for service in &mut self.services {
            service.forget(now);
        }
    }

    fn wish(&mut self, wish: Wish, now: Moment) {
        match wish {
            Wish::Retry(which) => {
                let meant = |service: &&mut Tracked| {
                    which.as_ref().is_none_or(|id| *id == service.watched.id)
                };
                for service in self.services.iter_mut().filter(meant) {
                    service.restart_back_off();
                    if service.is_waiting() {
                        service.probe_soon(now, true);
                    }
                }
                self.portal.again_at = now.monotonic;
            }
            Wish::UsedWell(id) => {
                let random = (self.random)();
                let Some(service) = self.find(&id) else {
                    return;
                };
                if service.state.is_reachable() {
                    service.used_well(now, random);
                    self.connection.verified_at = Some(now.wall);
                } else if service.is_waiting() && !service.checked_within(JUST_PROBED, now) {
                    service.probe_soon(now, false);
                }
            }
            // The service itself asked for patience: it is there.
            Wish::UsedBadly(_, Failure::Server { status: ..500 }) => {}
            Wish::UsedBadly(id, _) => {
                let Some(service) = self.find(&id) else {
                    return;
                };
                if service.is_waiting() && !service.checked_within(JUST_PROBED, now) {
                    service.probe_soon(now, true);
                }
            }
        }
    }

    fn probed(&mut self, ticket: Ticket, result: Result<u32, Failure>, now: Moment) {
        let random = (self.random)();
        let expected = |service: &&mut Tracked| service.phase == Phase::Probing(ticket);
        let Some(service) = self.services.iter_mut().find(expected) else {
            return;
        };
        let turn = match result {
            Ok(latency) => {
                self.connection.verified_at = Some(now.wall);
                service.succeeded(latency, now, random)
            }
            Err(failure) => service.failed(failure, now, random),
        };
        match turn {
            Turn::Same => {}
            Turn::Lost => self.ask_others(now, |other| {
                other.state.is_reachable() && !other.checked_within(FRESH, now)
            }),
            Turn::Back => {
                self.nudges = self.nudges.wrapping_add(1);
                self.ask_others(now, |other| !other.state.is_reachable());
            }
        }
    }

    fn ask_others(&mut self, now: Moment, which: impl Fn(&Tracked) -> bool) {
        for other in self.services.iter_mut().filter(|other| other.is_waiting()) {
            if which(other) {
                other.probe_soon(now, true);
            }
        }
    }

    fn portal_seen(&mut self, ticket: Ticket, seen: &Seen, now: Moment) {
        if self.portal.looking != Some(ticket) {
            return;
        }
        self.portal.looking = None;
        let Some(check) = &self.portal.check else {
            return;
        };
        if self
            .services
            .iter()
            .any(|service| service.state.is_reachable())
        {
            self.portal.learning_done = true;
            if let Seen::Answer(answer) = seen {
                self.portal.usual = Some(answer.clone());
            }
            return;
        }
        let verdict = judge(check, self.portal.usual.as_ref(), seen);
        let opened = self.portal.verdict == Some(Verdict::Portal) && verdict == Verdict::Genuine;
        self.portal.verdict = Some(verdict);
        self.portal.again_at = now.monotonic
            + match verdict {
                Verdict::Portal => PORTAL_AGAIN,
                Verdict::Genuine | Verdict::Silent => SILENCE_AGAIN,
            };
        if opened {
            self.ask_others(now, |_| true);
        }
    }

    fn due_probes(&mut self, now: Moment) -> Vec<Command> {
        let mut commands = Vec::new();
        for service in &mut self.services {
            if matches!(service.phase, Phase::Waiting { until } if until <= now.monotonic) {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                service.phase = Phase::Probing(ticket);
                commands.push(Command::Probe(ticket, service.watched.clone()));
            }
        }
        commands
    }

    fn due_look(&mut self, now: Moment) -> Option<Command> {
        if self.portal.looking.is_some() {
            return None;
        }
        let reachable = self
            .services
            .iter()
            .any(|service| service.state.is_reachable());
        if reachable {
            // What was judged before belongs to a network that is gone.
            self.portal.verdict = None;
            self.portal.again_at = now.monotonic;
        }
        let check = self.portal.check.clone()?;
        let learn = reachable && check.status.is_none() && !self.portal.learning_done;
        let verdict = self.wants_portal_verdict() && self.portal.again_at <= now.monotonic;
        (learn || verdict).then(|| {
            self.tickets += 1;
            let ticket = Ticket(self.tickets);
            self.portal.looking = Some(ticket);
            Command::LookForPortal(ticket, check)
        })
    }

    /// Only when no service is reached and none may still be.
    fn wants_portal_verdict(&self) -> bool {
        self.link
            && self.portal.check.is_some()
            && !self.services.is_empty()
            && self
                .services
                .iter()
                .all(|service| service.failure.is_some())
    }

    fn publish(&mut self, now: Moment) {
        let around = Surroundings {
            link: self.link,
            portal: match (&self.portal.check, self.portal.verdict) {
                (None, _) => Portal::Unknowable,
                (Some(_), None) => Portal::Pending,
                (Some(_), Some(verdict)) => Portal::Judged(verdict),
            },
        };
        let word = overall(&self.services, around);
        if word != self.connection.overall {
            self.connection.overall = word;
            self.connection.since = now.wall;
        }
        self.connection.services = self.services.iter().map(Tracked::service).collect();
    }

    fn find(&mut self, id: &str) -> Option<&mut Tracked> {
        self.services
            .iter_mut()
            .find(|service| service.watched.id == id)
    }
}

impl PortalWatch {
    fn forget(&mut self, now: Moment) {
        self.verdict = None;
        self.looking = None;
        self.again_at = now.monotonic;
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
