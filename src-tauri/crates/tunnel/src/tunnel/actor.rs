//! Drives the core: runs the source, sends the probes, watches the clock and the underlay, and
//! publishes what is true.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use netstack::{Config, Link, Netstack};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::surroundings::Surroundings;
use super::{Command, Settings, Snapshot};
use crate::dialer::Reach;
use crate::policy::Policy;
use crate::probe::{Prober, answers_without_tunnel, look_underneath};
use crate::source::{Ended, Inside};
use crate::state::{Action, Admission, Core, Depth, Doubt, Event, PROBE_EVERY, Underneath};

/// Longest time for a source to open a session.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);
/// Size of packets until the real size was measured, bytes: passes everywhere.
const SMALLEST: usize = 1200;
/// Size of packets when the far side answers no echo, bytes: the least that IPv6 asks of a link.
const UNMEASURED: usize = 1280;
/// Sizes that are tried at once besides the largest, bytes: PPPoE, mobile networks, tunnels in
/// tunnels, the least of IPv6, and below.
const SIZES: [usize; 11] = [
    1420, 1412, 1400, 1380, 1360, 1320, 1280, 1240, 1200, 1100, 1000,
];

/// What tasks tell the actor.
enum Note {
    Opened(Inside, oneshot::Sender<Link>),
    Ended(Ended),
    Probed(u64, Result<Duration, Doubt>),
    Measured(Option<usize>),
    Inside(bool),
    Underneath(Underneath),
}

pub(super) struct Actor {
    settings: Settings,
    policy: Arc<Policy>,
    core: Core,
    surroundings: Surroundings,
    states: watch::Sender<Snapshot>,
    reach: watch::Sender<Reach>,
    notes: mpsc::Sender<Note>,
    /// Everything that was begun; all of it ends with the actor.
    tasks: JoinSet<()>,
    running: Option<AbortHandle>,
    probing: Option<AbortHandle>,
    probes: u64,
    stack: Option<Stack>,
    mtu: Option<usize>,
    round_trip: Option<Duration>,
}

struct Stack {
    inside: Inside,
    netstack: Netstack,
    link: Link,
    prober: Arc<Prober>,
}

impl Actor {
    /// Runs until the owner is gone or ends it. Gives what is true, and the task.
    pub(super) fn spawn(
        settings: Settings,
        policy: Arc<Policy>,
        reach: watch::Sender<Reach>,
        inbox: mpsc::Receiver<Command>,
    ) -> (watch::Receiver<Snapshot>, JoinHandle<()>) {
        let every = settings.probe.every.unwrap_or(PROBE_EVERY);
        let core = Core::new(Instant::now(), settings.coexist, every);
        let (states, states_receiver) = watch::channel(Snapshot {
            state: core.state(),
            why: core.why(),
            since: SystemTime::now(),
            retry_at: None,
            mtu: None,
            way: settings.source.health().way,
            round_trip: None,
        });
        let (notes, from_tasks) = mpsc::channel(64);
        let actor = Self {
            surroundings: Surroundings::new(settings.source.clone()),
            settings,
            policy,
            core,
            states,
            reach,
            notes,
            tasks: JoinSet::new(),
            running: None,
            probing: None,
            probes: 0,
            stack: None,
            mtu: None,
            round_trip: None,
        };
        let task = tokio::spawn(actor.run(inbox, from_tasks));
        (states_receiver, task)
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Command>, mut notes: mpsc::Receiver<Note>) {
        let mut sessions = self.settings.source.sessions();
        sessions.mark_unchanged();
        self.handle(Event::Start);
        loop {
            let wake = self.surroundings.next_look();
            let wake = self.core.deadline().map_or(wake, |at| at.min(wake));
            let before = self.surroundings.clock();
            let event = tokio::select! {
                command = inbox.recv() => match command {
                    Some(Command::NetworkChanged) => {
                        Some(Event::Underlay(self.surroundings.towards()))
                    }
                    Some(Command::Retry) => Some(Event::Retry),
                    Some(Command::Stop) => Some(Event::Stop),
                    None => return,
                },
                note = notes.recv() => match note {
                    Some(note) => self.take(note),
                    None => return,
                },
                changed = sessions.changed() => match changed {
                    Ok(()) => Some(Event::Session),
                    Err(_) => return,
                },
                () = sleep_until(wake) => None,
            };
            // Measured around the wait only: work takes time, too.
            if before.was_asleep() {
                self.handle(Event::Woke);
            }
            if let Some(event) = event {
                self.handle(event);
            }
            let now = Instant::now();
            if now >= self.surroundings.next_look() {
                for event in self.surroundings.look(now) {
                    self.handle(event);
                }
            }
            if self.core.deadline().is_some_and(|at| now >= at) {
                self.handle(Event::Tick);
            }
            while self.tasks.try_join_next().is_some() {}
        }
    }

    /// What a task said, in the core's words.
    fn take(&mut self, note: Note) -> Option<Event> {
        match note {
            Note::Opened(inside, answer) => {
                let fresh = self.stack_for(inside);
                if let Some(stack) = &self.stack {
                    let _ = answer.send(stack.link.clone());
                }
                Some(Event::Opened { fresh })
            }
            Note::Ended(ended) => {
                tracing::info!(%ended, "The source ended");
                self.running = None;
                Some(Event::Ended(ended))
            }
            // An answer to a probe that was replaced says nothing about the present session.
            Note::Probed(number, _) if number != self.probes => None,
            Note::Probed(_, result) => {
                if let Ok(round_trip) = result {
                    self.round_trip = Some(round_trip);
                }
                Some(Event::Probe(result.map(|_| ())))
            }
            Note::Measured(found) => {
                self.set_size(found);
                Some(Event::Measured)
            }
            Note::Inside(already) => Some(Event::InsideAlready(already)),
            Note::Underneath(seen) => Some(Event::Underneath(seen)),
        }
    }

    fn handle(&mut self, event: Event) {
        if let Some(stack) = &self.stack {
            // One connection is the probe's own.
            self.core.set_busy(stack.netstack.stats().connections > 1);
        }
        self.core
            .set_heard(self.settings.source.health().last_received);
        for action in self.core.handle(Instant::now(), event) {
            self.act(action);
        }
        self.publish();
    }

    fn act(&mut self, action: Action) {
        tracing::debug!(?action, "Tunnel");
        match action {
            Action::CheckInside => {
                let (probe, policy) = (self.settings.probe.clone(), self.policy.clone());
                self.begin(
                    async move { Note::Inside(answers_without_tunnel(&probe, &policy).await) },
                );
            }
            Action::CheckUnderlay => {
                if let Some(check) = self.settings.underlay.clone() {
                    self.begin(async move { Note::Underneath(look_underneath(&check).await) });
                }
            }
            Action::Open => self.open(),
            Action::Close => self.close(),
            Action::Kick(kick) => self.settings.source.kick(kick),
            Action::Probe(depth) => self.probe(depth),
            Action::Measure => self.measure(),
            Action::Nudge => {
                if let Some(stack) = &self.stack {
                    stack.netstack.nudge();
                }
            }
        }
    }

    fn begin(&mut self, work: impl Future<Output = Note> + Send + 'static) -> AbortHandle {
        let notes = self.notes.clone();
        self.tasks.spawn(async move {
            let note = work.await;
            let _ = notes.send(note).await;
        })
    }

    fn open(&mut self) {
        if self.running.is_some() {
            return;
        }
        let (source, notes) = (self.settings.source.clone(), self.notes.clone());
        self.running = Some(self.begin(async move {
            let inside = match timeout(OPEN_DEADLINE, source.open()).await {
                Ok(Ok(inside)) => inside,
                Ok(Err(ended)) => return Note::Ended(ended),
                Err(_) => return Note::Ended(Ended::Unreachable),
            };
            let (sender, link) = oneshot::channel();
            let _ = notes.send(Note::Opened(inside, sender)).await;
            match link.await {
                Ok(link) => Note::Ended(source.run(link).await),
                Err(_) => Note::Ended(Ended::Closed),
            }
        }));
    }

    fn close(&mut self) {
        for task in [self.running.take(), self.probing.take()]
            .into_iter()
            .flatten()
        {
            task.abort();
        }
        self.probes += 1;
        if let Some(stack) = self.stack.take() {
            stack.netstack.close();
        }
        self.mtu = None;
        self.round_trip = None;
    }

    /// The network stack for these addresses: the one there is, with its connections, or a new one.
    fn stack_for(&mut self, inside: Inside) -> bool {
        if let Some(stack) = &self.stack {
            if stack.inside == inside {
                return false;
            }
            stack.netstack.close();
        }
        let (netstack, link) = Netstack::new(Config {
            v4: inside.v4,
            v6: inside.v6,
            mtu: SMALLEST.min(inside.mtu.into()),
            dns: inside.dns.clone(),
            search: inside.search.clone(),
            ..self.settings.netstack.clone()
        });
        self.mtu = None;
        let prober = Arc::new(Prober::new(
            self.settings.probe.clone(),
            self.policy.clone(),
            netstack.clone(),
            inside.echo,
        ));
        self.stack = Some(Stack {
            inside,
            netstack,
            link,
            prober,
        });
        true
    }

    fn probe(&mut self, depth: Depth) {
        if let Some(probing) = self.probing.take() {
            probing.abort();
        }
        self.probes += 1;
        let number = self.probes;
        if let Some(stack) = &self.stack {
            let prober = stack.prober.clone();
            self.probing =
                Some(self.begin(async move { Note::Probed(number, prober.probe(depth).await) }));
        }
    }

    fn measure(&mut self) {
        let Some(stack) = &self.stack else { return };
        let largest = usize::from(stack.inside.mtu);
        let netstack = stack.netstack.clone();
        match stack.inside.echo {
            Some(echo) => {
                let sizes: Vec<usize> = std::iter::once(largest)
                    .chain(SIZES.into_iter().filter(|size| *size < largest))
                    .collect();
                self.begin(async move { Note::Measured(netstack.probe_mtu(echo, &sizes).await) });
            }
            // Nothing to measure against: the source knows what it carries.
            None => {
                self.begin(async move { Note::Measured(Some(largest)) });
            }
        }
    }

    fn set_size(&mut self, found: Option<usize>) {
        if let Some(stack) = &self.stack {
            // No echo at all proves nothing about sizes: what was known stays.
            let size = found.or(self.mtu).unwrap_or(UNMEASURED);
            let size = size.min(stack.inside.mtu.into());
            stack.netstack.set_mtu(size);
            self.mtu = Some(size);
        }
    }

    fn publish(&mut self) {
        let admission = self.core.admission();
        let stack = self.stack.as_ref().map(|stack| &stack.netstack);
        self.reach.send_if_modified(|reach| {
            let next = match (admission, stack) {
                (Admission::Tunnel, Some(stack)) => Reach::Tunnel(stack.clone()),
                (Admission::System, _) => Reach::System,
                (Admission::Nowhere(why), _) => Reach::Nowhere(why),
                (Admission::Soon | Admission::Tunnel, _) => Reach::Soon,
            };
            *reach = next;
            true
        });
        let wall = |at: Instant| {
            let now = Instant::now();
            SystemTime::now() + at.saturating_duration_since(now)
                - now.saturating_duration_since(at)
        };
        let before = self.states.borrow().clone();
        let (state, why) = (self.core.state(), self.core.why());
        let same = (before.state, before.why) == (state, why);
        let next = Snapshot {
            state,
            why,
            since: if same {
                before.since
            } else {
                wall(self.core.since())
            },
            retry_at: self.core.retry_at().map(wall),
            mtu: self.mtu,
            way: self.settings.source.health().way,
            round_trip: self.round_trip,
        };
        if !same {
            tracing::info!(state = ?next.state, why = %next.why, way = next.way, "Tunnel");
        }
        self.states.send_if_modified(|now| {
            let news = !same
                || now.mtu != next.mtu
                || now.way != next.way
                || now.retry_at.is_some() != next.retry_at.is_some();
            *now = next;
            news
        });
    }
}

/// A tunnel that was dropped leaves no connection waiting for packets that will not come.
impl Drop for Actor {
    fn drop(&mut self) {
        self.close();
    }
}
