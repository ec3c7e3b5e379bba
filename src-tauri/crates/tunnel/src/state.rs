//! What is true about the tunnel, and what to do next. Time, probes and packets are passed in.
//!
//! ```text
//!            start                     handshake               probe came back,
//!   ┌──────┐ ────▶ ┌────────────┐ ───────────────▶ ┌───────────┐ size known   ┌──────┐
//!   │ down │       │ connecting │                  │ verifying │ ───────────▶ │  up  │
//!   └──────┘ ◀──── └────────────┘ ◀─────────────── └───────────┘ ◀─────────── └──────┘
//!    ▲  ▲  silent 2.5 s │   ▲     session ended      │   ▲   network changed,  │  ▲
//!    │  │               │   │                        │   │       woke up       │  │
//!    │  │        portal,│   │network back,    no     ▼   │new               no │  │ probe
//!    │  │        refused│   │portal gone,   answer ┌──────────┐ session  answer│  │ came
//!    │  │               ▼   │retried               │          │ ◀──────────────┘  │ back
//!    │  │             ┌─────────┐ no network,      │ degraded │                   │
//!    │  └─────────────│ blocked │◀─────────────────│          │ ──────────────────┘
//!    │     stop       └─────────┘ impostor, portal └──────────┘
//!    └───────────────────────────────────────────────────┘ nothing from the gateway for 2 s
//!
//!   down       not wanted, not needed (the system reaches the inside by itself), or the gateway
//!              is silent; in the last case it is asked again and again
//!   connecting the source opens a session; nothing is known about it yet
//!   verifying  there is a session; the probe is on its way through it
//!   up         the probe came back: TLS with the pinned authority, and the expected answer
//!   degraded   there is a session, but the probe does not come back, or names are wrong
//!   blocked    something else stands in the way: no network, a portal, a refusal, an impostor
//! ```
//!
//! Every state has a way back that needs nobody, except a refusal by the gateway and "stopped".

mod blocked;
mod connecting;
mod degraded;
mod down;
mod up;
mod verifying;
mod why;

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::source::{Ended, Kick, Refusal};
use blocked::Blocked;
use connecting::Connecting;
use degraded::Degraded;
use down::Down;
use up::Up;
use verifying::Verifying;

pub use why::Why;

/// The state of the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    Down,
    Connecting,
    Verifying,
    Up,
    Degraded,
    Blocked,
}

/// What the core has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The tunnel is wanted.
    Start,
    /// It is no longer.
    Stop,
    /// Somebody says that it is worth trying now: a person, or after signing in.
    Retry,
    /// The device was asleep.
    Woke,
    /// The address the system sends from towards the gateway; `None`: no route.
    Underlay(Option<IpAddr>),
    /// Whether the inside answers without the tunnel.
    InsideAlready(bool),
    /// What the underlay does with a request of known answer.
    Underneath(Underneath),
    /// The source has addresses. `fresh`: a network stack without connections.
    Opened { fresh: bool },
    /// The source made a session.
    Session,
    /// The source stopped.
    Ended(Ended),
    /// Data was sent and nothing came back for a while.
    Silence,
    /// Answer to [`Action::Probe`].
    Probe(Result<(), Doubt>),
    /// The size of packets was measured.
    Measured,
    /// [`Core::deadline`] is over.
    Tick,
}

/// What the shell around the core has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Look whether the inside answers without the tunnel.
    CheckInside,
    /// Look what the underlay does with a request of known answer.
    CheckUnderlay,
    /// Open and run the source.
    Open,
    /// Stop the source and close all connections.
    Close,
    Kick(Kick),
    /// Probe through the tunnel, in place of a probe that is on its way.
    Probe(Depth),
    /// Measure how large packets may be.
    Measure,
    /// The way is open again: connections need not wait for their timers.
    Nudge,
}

/// How much a probe looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Name, connection, TLS, answer.
    Whole,
    /// An answer over the connection of the last probe where it still stands, and the name; with a
    /// short deadline.
    Light,
}

/// Why a probe did not prove anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    NoAnswer,
    NamesDead,
    NamesLie,
    WrongAnswer,
    Impostor,
}

/// What the underlay does with a request of known answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Underneath {
    /// It answers as expected: the fault is the gateway's, or on the way to it.
    Clear,
    /// Somebody else answers.
    Captive,
    /// It does not answer, or there is nothing to ask.
    Unknown,
}

/// Whether connections may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Tunnel,
    System,
    Soon,
    Nowhere(Why),
}

/// Pace of the probes while the tunnel is in use, when a profile says nothing else. Together with
/// the deadline of a light probe it keeps a wrong "up" under three seconds.
pub(crate) const PROBE_EVERY: Duration = Duration::from_secs(1);

/// The sans-I/O core.
#[derive(Debug)]
pub(crate) struct Core {
    node: Node,
    facts: Facts,
}

#[derive(Debug)]
enum Node {
    Down(Down),
    Connecting(Connecting),
    Verifying(Verifying),
    Up(Up),
    Degraded(Degraded),
    Blocked(Blocked),
}

/// What outlives a state.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Independent facts, all combinations occur.
struct Facts {
    since: Instant,
    actions: Vec<Action>,
    /// The source runs.
    open: bool,
    /// The size was measured on the present network stack, and a probe came back through it.
    proven: bool,
    underlay: Option<IpAddr>,
    /// Connections are open, besides the probe's.
    busy: bool,
    /// When something authentic came from the gateway last.
    heard: Option<Instant>,
    /// Attempts since the tunnel was last up.
    attempts: u32,
    /// Whether coexistence is looked at.
    check_inside: bool,
    probe_every: Duration,
}

impl Core {
    pub(crate) fn new(now: Instant, check_inside: bool, probe_every: Duration) -> Self {
        Self {
            node: Node::Down(Down::stopped()),
            facts: Facts {
                since: now,
                actions: Vec::new(),
                open: false,
                proven: false,
                underlay: None,
                busy: false,
                heard: None,
                attempts: 0,
                check_inside,
                probe_every,
            },
        }
    }

    /// Takes in what happened; answers what to do, in order.
    pub(crate) fn handle(&mut self, now: Instant, event: Event) -> Vec<Action> {
        let before = (self.state(), self.why());
        self.facts.note(&event);
        let node = std::mem::replace(&mut self.node, Node::Down(Down::stopped()));
        let facts = &mut self.facts;
        self.node = match event {
            Event::Stop => Down::stop(facts),
            event => match node {
                Node::Down(state) => state.on(now, event, facts),
                Node::Connecting(state) => state.on(now, event, facts),
                Node::Verifying(state) => state.on(now, event, facts),
                Node::Up(state) => state.on(now, event, facts),
                Node::Degraded(state) => state.on(now, event, facts),
                Node::Blocked(state) => state.on(now, event, facts),
            },
        };
        if (self.state(), self.why()) != before {
            self.facts.since = now;
        }
        std::mem::take(&mut self.facts.actions)
    }

    /// Connections are open besides the probe's: look more often.
    pub(crate) fn set_busy(&mut self, busy: bool) {
        self.facts.busy = busy;
    }

    /// When something authentic came from the gateway last.
    pub(crate) fn set_heard(&mut self, heard: Option<Instant>) {
        self.facts.heard = heard;
    }

    pub(crate) const fn state(&self) -> State {
        match self.node {
            Node::Down(_) => State::Down,
            Node::Connecting(_) => State::Connecting,
            Node::Verifying(_) => State::Verifying,
            Node::Up(_) => State::Up,
            Node::Degraded(_) => State::Degraded,
            Node::Blocked(_) => State::Blocked,
        }
    }

    pub(crate) const fn why(&self) -> Why {
        match &self.node {
            Node::Down(state) => state.why,
            Node::Connecting(state) => state.why,
            Node::Verifying(state) => state.why,
            Node::Up(_) => Why::Verified,
            Node::Degraded(state) => state.why,
            Node::Blocked(state) => state.why,
        }
    }

    pub(crate) const fn since(&self) -> Instant {
        self.facts.since
    }

    /// When [`Event::Tick`] is due.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        match &self.node {
            Node::Down(state) => state.next,
            Node::Connecting(state) => Some(state.next),
            Node::Verifying(state) => Some(state.next),
            Node::Up(state) => Some(state.next),
            Node::Degraded(state) => Some(state.next),
            Node::Blocked(state) => state.next,
        }
    }

    /// When the next attempt begins, for states that are not well.
    pub(crate) const fn retry_at(&self) -> Option<Instant> {
        match self.state() {
            State::Down | State::Degraded | State::Blocked => self.deadline(),
            State::Connecting | State::Verifying | State::Up => None,
        }
    }

    pub(crate) const fn admission(&self) -> Admission {
        match &self.node {
            Node::Down(Down {
                why: Why::InsideAlready,
                ..
            }) => Admission::System,
            Node::Down(Down { why, .. }) | Node::Blocked(Blocked { why, .. }) => {
                Admission::Nowhere(*why)
            }
            _ if self.facts.proven => Admission::Tunnel,
            _ => Admission::Soon,
        }
    }
}

impl Facts {
    /// What holds whatever the state.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Opened { fresh } => self.proven &= !fresh,
            Event::Ended(_) => self.open = false,
            Event::Underlay(source) => self.underlay = *source,
            // What waits for a timer inside connections need not wait any longer.
            Event::Session => self.act(Action::Nudge),
            _ => {}
        }
    }

    fn act(&mut self, action: Action) {
        if action == Action::Open {
            self.open = true;
            self.heard = None;
        }
        self.actions.push(action);
    }

    /// Makes sure that the source runs and begins again. A session that lives on makes no news,
    /// therefore it is asked, too.
    fn open_or_kick(&mut self, kick: Kick) {
        if self.open {
            self.act(Action::Kick(kick));
            self.act(Action::Probe(Depth::Whole));
        } else {
            self.act(Action::Open);
        }
    }

    /// Pause before the next attempt: short for as long as somebody waits in front of the screen.
    fn pause(&mut self) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        match self.attempts {
            0..=90 => Duration::from_secs(1),
            91..=180 => Duration::from_secs(5),
            _ => Duration::from_secs(15),
        }
    }
}

/// Where a stopped source leads to, from any state in which one ran.
fn after_end(now: Instant, ended: &Ended, facts: &mut Facts) -> Node {
    match ended {
        Ended::Refused(refusal) => Blocked::refused(*refusal, facts),
        Ended::WrongCertificate => Blocked::impostor(now, facts),
        // Once at once: an ended session is often a restarted gateway. Then with pauses.
        Ended::Closed | Ended::Io(_) if facts.proven && facts.attempts == 0 => {
            facts.attempts = 1;
            Connecting::enter(now, Why::SessionEnded, facts)
        }
        _ => Down::unreachable(now, facts),
    }
}

/// Where a changed underlay leads to, from any state in which the tunnel is wanted.
fn after_underlay(now: Instant, source: Option<IpAddr>, facts: &mut Facts) -> Node {
    match source {
        None => Blocked::no_network(facts),
        Some(_) => Connecting::enter(now, Why::NetworkChanged, facts),
    }
}

#[cfg(test)]
mod tests;
