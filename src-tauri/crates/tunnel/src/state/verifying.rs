//! Verifying: there is a session, and the probe is on its way through it.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Action, Blocked, Connecting, Degraded, Depth, Doubt, Down, Event, Facts, Node, Up, Why,
    after_end, after_underlay,
};

/// Longer than any probe: begins again if an answer was lost.
const PATIENCE: Duration = Duration::from_secs(6);

#[derive(Debug)]
pub(super) struct Verifying {
    pub(super) why: Why,
    pub(super) next: Instant,
    answered: bool,
    measured: bool,
}

impl Verifying {
    pub(super) fn enter(now: Instant, why: Why, facts: &mut Facts) -> Node {
        facts.act(Action::Probe(Depth::Whole));
        facts.act(Action::Measure);
        Node::Verifying(Self {
            why,
            next: now + PATIENCE,
            answered: false,
            measured: false,
        })
    }

    /// As [`enter`](Self::enter), when an answer came back unasked for.
    pub(super) fn answered(now: Instant, why: Why, facts: &mut Facts) -> Node {
        facts.act(Action::Measure);
        Node::Verifying(Self {
            why,
            next: now + PATIENCE,
            answered: true,
            measured: false,
        })
    }

    pub(super) fn on(mut self, now: Instant, event: Event, facts: &mut Facts) -> Node {
        match event {
            Event::Probe(Ok(())) => {
                self.answered = true;
                self.done(now, facts)
            }
            Event::Measured => {
                self.measured = true;
                self.done(now, facts)
            }
            Event::Probe(Err(Doubt::Impostor)) => Blocked::impostor(now, facts),
            Event::Probe(Err(doubt)) => Degraded::enter(now, doubt, facts),
            // A session after a session: what is on its way may have been sent into the old one.
            Event::Session | Event::Tick => Self::enter(now, self.why, facts),
            Event::Ended(ended) => after_end(now, &ended, facts),
            Event::Underlay(source) => after_underlay(now, source, facts),
            Event::Woke => Connecting::enter(now, Why::WokeUp, facts),
            Event::InsideAlready(true) if !facts.proven => Down::inside_already(now, facts),
            _ => Node::Verifying(self),
        }
    }

    /// A connection that begins before the size is known keeps a wrong one for ever: it is fixed
    /// in its first packet (RFC 9293 §3.7.1).
    fn done(self, now: Instant, facts: &mut Facts) -> Node {
        if self.answered && (self.measured || facts.proven) {
            facts.proven = true;
            Up::enter(now, facts)
        } else {
            Node::Verifying(self)
        }
    }
}
