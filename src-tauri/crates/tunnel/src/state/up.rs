//! Up: the probe came back, and is sent again and again.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Action, Blocked, Connecting, Degraded, Depth, Doubt, Event, Facts, Kick, Node, Why, after_end,
    after_underlay,
};

/// An unused tunnel is looked at rarely, after its first minute.
const IDLE_EVERY: Duration = Duration::from_secs(10);
const FIRST_MINUTE: Duration = Duration::from_mins(1);
/// Two kicks because of silence are at least this far apart.
const SILENCE_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Up {
    pub(super) next: Instant,
    began: Instant,
    last_kick: Option<Instant>,
    /// A probe is on its way. Replacing it would put off its verdict.
    probing: bool,
}

impl Up {
    pub(super) fn enter(now: Instant, facts: &mut Facts) -> Node {
        facts.attempts = 0;
        Node::Up(Self {
            next: now + facts.probe_every,
            began: now,
            last_kick: None,
            probing: false,
        })
    }

    pub(super) fn on(mut self, now: Instant, event: Event, facts: &mut Facts) -> Node {
        match event {
            Event::Tick => {
                self.probe(facts);
                // The answer sets the next time; this one is for an answer that never comes.
                self.next = now + IDLE_EVERY;
                Node::Up(self)
            }
            Event::Probe(Ok(())) => {
                self.probing = false;
                let young = now.duration_since(self.began) < FIRST_MINUTE;
                self.next = now
                    + if facts.busy || young {
                        facts.probe_every
                    } else {
                        IDLE_EVERY.max(facts.probe_every)
                    };
                Node::Up(self)
            }
            Event::Probe(Err(Doubt::Impostor)) => Blocked::impostor(now, facts),
            Event::Probe(Err(doubt)) => Degraded::enter(now, doubt, facts),
            Event::Silence => {
                let recent = self
                    .last_kick
                    .is_some_and(|last| now.duration_since(last) < SILENCE_PAUSE);
                if !recent {
                    // A gateway that forgot us is silent. A new session costs one round trip;
                    // waiting for the protocol's own timer costs 15 s.
                    self.last_kick = Some(now);
                    facts.act(Action::Kick(Kick::Silent));
                    self.probe(facts);
                    self.next = now + IDLE_EVERY;
                }
                Node::Up(self)
            }
            Event::Ended(ended) => after_end(now, &ended, facts),
            Event::Underlay(source) => after_underlay(now, source, facts),
            Event::Woke => Connecting::enter(now, Why::WokeUp, facts),
            Event::Retry => {
                self.probe(facts);
                Node::Up(self)
            }
            _ => Node::Up(self),
        }
    }

    fn probe(&mut self, facts: &mut Facts) {
        if !self.probing {
            self.probing = true;
            facts.act(Action::Probe(Depth::Light));
        }
    }
}
