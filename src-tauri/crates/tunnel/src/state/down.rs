//! Down: not wanted, not needed, or the gateway does not answer.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Action, Blocked, Connecting, Event, Facts, Kick, Node, Underneath, Verifying, Why, after_end,
    after_underlay,
};

/// How often to look whether the system still reaches the inside by itself.
const INSIDE_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Down {
    pub(super) why: Why,
    /// The next attempt, or the next look.
    pub(super) next: Option<Instant>,
}

impl Down {
    pub(super) const fn stopped() -> Self {
        Self {
            why: Why::Stopped,
            next: None,
        }
    }

    pub(super) fn stop(facts: &mut Facts) -> Node {
        facts.open = false;
        facts.proven = false;
        facts.act(Action::Close);
        Node::Down(Self::stopped())
    }

    /// The system reaches the inside: nothing is started, and what was started ends.
    pub(super) fn inside_already(now: Instant, facts: &mut Facts) -> Node {
        Self::stop(facts);
        Node::Down(Self {
            why: Why::InsideAlready,
            next: Some(now + INSIDE_EVERY),
        })
    }

    /// The source goes on asking; its session leads on to verifying.
    pub(super) fn silent(now: Instant, facts: &mut Facts) -> Node {
        facts.act(Action::CheckUnderlay);
        Node::Down(Self {
            why: Why::GatewaySilent,
            next: Some(now + facts.pause()),
        })
    }

    pub(super) fn unreachable(now: Instant, facts: &mut Facts) -> Node {
        facts.act(Action::CheckUnderlay);
        Node::Down(Self {
            why: Why::GatewayUnreachable,
            next: Some(now + facts.pause()),
        })
    }

    pub(super) fn on(mut self, now: Instant, event: Event, facts: &mut Facts) -> Node {
        match (self.why, event) {
            (Why::Stopped, Event::Start | Event::Retry) => {
                facts.attempts = 0;
                Connecting::enter(now, Why::Starting, facts)
            }

            (Why::InsideAlready, Event::InsideAlready(true)) => {
                self.next = Some(now + INSIDE_EVERY);
                Node::Down(self)
            }
            (Why::InsideAlready, Event::InsideAlready(false)) => {
                Connecting::enter_outside(now, Why::NetworkChanged, facts)
            }
            (Why::InsideAlready, Event::Tick | Event::Underlay(_) | Event::Woke | Event::Retry) => {
                facts.act(Action::CheckInside);
                self.next = Some(now + INSIDE_EVERY);
                Node::Down(self)
            }
            (Why::Stopped | Why::InsideAlready, _) => Node::Down(self),

            (_, Event::Tick) => {
                facts.open_or_kick(Kick::Silent);
                facts.act(Action::CheckUnderlay);
                self.next = Some(now + facts.pause());
                Node::Down(self)
            }
            (_, Event::Session) => Verifying::enter(now, Why::SessionMade, facts),
            (_, Event::Probe(Ok(()))) => Verifying::answered(now, Why::SessionMade, facts),
            (_, Event::Underneath(Underneath::Captive)) => Blocked::portal(now),
            (Why::GatewaySilent, Event::Underneath(Underneath::Clear)) => {
                self.why = Why::GatewaySilentNetworkFine;
                Node::Down(self)
            }
            (Why::GatewaySilentNetworkFine, Event::Underneath(Underneath::Unknown)) => {
                self.why = Why::GatewaySilent;
                Node::Down(self)
            }
            (_, Event::Ended(ended)) => after_end(now, &ended, facts),
            (_, Event::Underlay(source)) => after_underlay(now, source, facts),
            (_, Event::Woke) => Connecting::enter(now, Why::WokeUp, facts),
            (_, Event::Start | Event::Retry) => Connecting::enter(now, Why::Retrying, facts),
            (_, Event::InsideAlready(true)) => Self::inside_already(now, facts),
            (_, _) => Node::Down(self),
        }
    }
}
