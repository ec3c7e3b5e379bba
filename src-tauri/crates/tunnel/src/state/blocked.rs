//! Blocked: something else stands in the way.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Action, Connecting, Depth, Ended, Event, Facts, Kick, Node, Refusal, Underneath, Verifying,
    Why, after_end, after_underlay,
};

/// How often to look whether the portal lets through.
const PORTAL_EVERY: Duration = Duration::from_secs(1);
/// How often to look whether the right one answers again.
const IMPOSTOR_EVERY: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Blocked {
    pub(super) why: Why,
    pub(super) next: Option<Instant>,
}

impl Blocked {
    /// The system says at once when there is a network again.
    pub(super) fn no_network(_: &mut Facts) -> Node {
        Node::Blocked(Self {
            why: Why::NoNetwork,
            next: None,
        })
    }

    pub(super) fn portal(now: Instant) -> Node {
        Node::Blocked(Self {
            why: Why::CaptivePortal,
            next: Some(now + PORTAL_EVERY),
        })
    }

    /// Nothing through the tunnel until the right one answers. A portal does this to TLS, too.
    pub(super) fn impostor(now: Instant, facts: &mut Facts) -> Node {
        facts.act(Action::CheckUnderlay);
        Node::Blocked(Self {
            why: Why::Impostor,
            next: Some(now + IMPOSTOR_EVERY),
        })
    }

    pub(super) fn refused(refusal: Refusal, _: &mut Facts) -> Node {
        Node::Blocked(Self {
            why: refusal.into(),
            next: None,
        })
    }

    const fn needs_the_person(&self) -> bool {
        self.next.is_none() && !matches!(self.why, Why::NoNetwork)
    }

    pub(super) fn on(mut self, now: Instant, event: Event, facts: &mut Facts) -> Node {
        match (self.why, event) {
            (_, Event::Retry | Event::Start) => Connecting::enter(now, Why::Retrying, facts),
            (_, Event::Underlay(None)) if !self.needs_the_person() => Self::no_network(facts),
            (_, _) if self.needs_the_person() => Node::Blocked(self),
            (_, Event::Underlay(source)) => after_underlay(now, source, facts),
            (_, Event::Woke) => Connecting::enter(now, Why::WokeUp, facts),

            (Why::CaptivePortal, Event::Tick) => {
                facts.act(Action::CheckUnderlay);
                facts.open_or_kick(Kick::Silent);
                self.next = Some(now + PORTAL_EVERY);
                Node::Blocked(self)
            }
            (Why::CaptivePortal, Event::Underneath(Underneath::Clear)) => {
                Connecting::enter(now, Why::NetworkChanged, facts)
            }
            (Why::CaptivePortal, Event::Session) => Verifying::enter(now, Why::SessionMade, facts),

            (Why::Impostor, Event::Tick) => {
                if facts.open {
                    facts.act(Action::Probe(Depth::Whole));
                } else {
                    facts.act(Action::Open);
                }
                self.next = Some(now + IMPOSTOR_EVERY);
                Node::Blocked(self)
            }
            (Why::Impostor, Event::Session) => {
                facts.act(Action::Probe(Depth::Whole));
                Node::Blocked(self)
            }
            (Why::Impostor, Event::Probe(Ok(()))) => {
                Verifying::answered(now, Why::SessionMade, facts)
            }
            (Why::Impostor, Event::Ended(ended)) if ended != Ended::WrongCertificate => {
                after_end(now, &ended, facts)
            }
            (Why::Impostor, Event::Underneath(Underneath::Captive)) => Self::portal(now),
            (_, _) => Node::Blocked(self),
        }
    }
}
