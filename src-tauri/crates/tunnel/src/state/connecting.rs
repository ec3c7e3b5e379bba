//! Connecting: the source opens a session, and it is looked whether one is needed at all.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Action, Blocked, Down, Event, Facts, Kick, Node, Underneath, Verifying, Why, after_end,
    after_underlay,
};

/// How long the look around (does the system reach the inside by itself?) holds the start back.
/// An answer that comes later ends what was started.
const LOOK_AROUND: Duration = Duration::from_millis(40);
/// When a gateway that did not answer is tried by the next way.
const NEXT_WAY: Duration = Duration::from_secs(1);
/// When a gateway that did not answer is called silent.
const PATIENCE: Duration = Duration::from_millis(2500);

#[derive(Debug)]
pub(super) struct Connecting {
    pub(super) why: Why,
    pub(super) next: Instant,
    step: Step,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    LookingAround,
    /// Until the next way is tried.
    Waiting {
        began: Instant,
    },
    /// Until it is given up.
    NextWay,
}

impl Connecting {
    pub(super) fn enter(now: Instant, why: Why, facts: &mut Facts) -> Node {
        if facts.check_inside {
            facts.act(Action::CheckInside);
        }
        if facts.check_inside && !facts.open {
            return Node::Connecting(Self {
                why,
                next: now + LOOK_AROUND,
                step: Step::LookingAround,
            });
        }
        Self::enter_outside(now, why, facts)
    }

    /// As [`enter`](Self::enter) when it is known that the system does not reach the inside.
    pub(super) fn enter_outside(now: Instant, why: Why, facts: &mut Facts) -> Node {
        facts.open_or_kick(Kick::Fresh);
        Node::Connecting(Self {
            why,
            next: now + NEXT_WAY,
            step: Step::Waiting { began: now },
        })
    }

    pub(super) fn on(mut self, now: Instant, event: Event, facts: &mut Facts) -> Node {
        match (self.step, event) {
            (_, Event::InsideAlready(true)) => Down::inside_already(now, facts),
            (Step::LookingAround, Event::InsideAlready(false) | Event::Tick) => {
                Self::enter_outside(now, self.why, facts)
            }
            (Step::Waiting { began }, Event::Tick) => {
                // In one go with the second way, so that a portal is known when patience ends.
                facts.act(Action::CheckUnderlay);
                if facts.open {
                    facts.act(Action::Kick(Kick::Silent));
                }
                self.next = began + PATIENCE;
                self.step = Step::NextWay;
                Node::Connecting(self)
            }
            (Step::NextWay, Event::Tick) => Down::silent(now, facts),
            (_, Event::Session) => Verifying::enter(now, Why::SessionMade, facts),
            (_, Event::Probe(Ok(()))) => Verifying::answered(now, Why::SessionMade, facts),
            (_, Event::Underneath(Underneath::Captive)) => Blocked::portal(now),
            (_, Event::Ended(ended)) => after_end(now, &ended, facts),
            (_, Event::Underlay(source)) => after_underlay(now, source, facts),
            (_, Event::Woke) => Self::enter(now, Why::WokeUp, facts),
            (_, _) => Node::Connecting(self),
        }
    }
}
