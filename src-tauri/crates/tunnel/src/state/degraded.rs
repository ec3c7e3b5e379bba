//! Degraded: there is a session, but the probe does not come back through it.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Action, Blocked, Connecting, Depth, Doubt, Down, Event, Facts, Kick, Node, Underneath, Up, Why,
    after_end, after_underlay,
};

/// A gateway from which nothing authentic came for so long is silent.
const GIVE_UP: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Degraded {
    pub(super) why: Why,
    pub(super) next: Instant,
    began: Instant,
    /// A probe is on its way: it is not replaced, because on a slow line it takes its time.
    probing: bool,
    /// The size was measured since the session was made.
    measured: bool,
}

impl Degraded {
    pub(super) fn enter(now: Instant, doubt: Doubt, facts: &mut Facts) -> Node {
        facts.act(Action::CheckUnderlay);
        let mut state = Self {
            why: doubt.into(),
            next: now,
            began: now,
            probing: false,
            measured: facts.proven,
        };
        state.again(now, facts);
        Node::Degraded(state)
    }

    pub(super) fn on(mut self, now: Instant, event: Event, facts: &mut Facts) -> Node {
        match event {
            Event::Tick => {
                let heard = facts.heard.map_or(self.began, |at| at.max(self.began));
                if self.why == Why::NoAnswerInside && now.duration_since(heard) >= GIVE_UP {
                    // Called by another name, it is asked at the same pace.
                    facts.act(Action::Kick(Kick::Silent));
                    return Down::silent(now, facts);
                }
                self.again(now, facts);
                Node::Degraded(self)
            }
            Event::Session => {
                // What is on its way may have been sent into the former session.
                facts.act(Action::Probe(Depth::Whole));
                facts.act(Action::Measure);
                self.probing = true;
                // Not kicked away before it can answer.
                self.next = now + Duration::from_secs(3);
                Node::Degraded(self)
            }
            Event::Measured => {
                self.measured = true;
                Node::Degraded(self)
            }
            Event::Probe(Ok(())) if self.measured => {
                facts.proven = true;
                facts.act(Action::Nudge);
                Up::enter(now, facts)
            }
            Event::Probe(Ok(())) => {
                facts.act(Action::Measure);
                facts.act(Action::Probe(Depth::Whole));
                Node::Degraded(self)
            }
            Event::Probe(Err(Doubt::Impostor)) => Blocked::impostor(now, facts),
            Event::Probe(Err(doubt)) => {
                self.probing = false;
                self.why = doubt.into();
                Node::Degraded(self)
            }
            Event::Underneath(Underneath::Captive) => Blocked::portal(now),
            Event::Ended(ended) => after_end(now, &ended, facts),
            Event::Underlay(source) => after_underlay(now, source, facts),
            Event::Woke => Connecting::enter(now, Why::WokeUp, facts),
            Event::Retry => Connecting::enter(now, Why::Retrying, facts),
            _ => Node::Degraded(self),
        }
    }

    /// The next attempt. Names that are wrong are not the session's fault: they get no kick.
    fn again(&mut self, now: Instant, facts: &mut Facts) {
        if self.why == Why::NoAnswerInside {
            facts.act(Action::Kick(Kick::Silent));
        }
        if !self.probing {
            facts.act(Action::Probe(Depth::Whole));
            self.probing = true;
        }
        self.next = now + facts.pause();
    }
}
