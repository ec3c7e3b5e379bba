//! What the device itself tells: its clock, its address towards the gateway, and whether data is
//! answered.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::carrier::source_towards;
use crate::source::PacketSource;
use crate::state::Event;

/// How often to look. A look is some microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A wait that took so much longer than a look's pause was a sleep of the device.
const ASLEEP: Duration = Duration::from_secs(2);
/// Data that was not answered for so long means that something is wrong.
const SILENCE: Duration = Duration::from_secs(1);
/// How long a gateway's name may take to resolve.
const RESOLVING: Duration = Duration::from_secs(2);
/// While no gateway is known by number: is there any route at all? An address for documentation
/// (RFC 5737); nothing is sent to it.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

pub(super) struct Surroundings {
    source: Arc<dyn PacketSource>,
    next_look: Instant,
    began: Instant,
    /// Whether the gateway was known by number, and the address towards it.
    towards: Option<(bool, Option<IpAddr>)>,
    unanswered: Option<Instant>,
}

/// The wall clock before a wait. It goes on while the device sleeps; timers may not.
pub(super) struct Clock(SystemTime);

impl Clock {
    pub(super) fn was_asleep(&self) -> bool {
        // A clock that was set back was not asleep.
        self.0.elapsed().unwrap_or_default() > ASLEEP
    }
}

impl Surroundings {
    pub(super) fn new(source: Arc<dyn PacketSource>) -> Self {
        Self {
            source,
            next_look: Instant::now(),
            began: Instant::now(),
            towards: None,
            unanswered: None,
        }
    }

    pub(super) const fn next_look(&self) -> Instant {
        self.next_look
    }

    #[allow(clippy::unused_self)]
    pub(super) fn clock(&self) -> Clock {
        Clock(SystemTime::now())
    }

    pub(super) fn look(&mut self, now: Instant) -> Vec<Event> {
        self.next_look = now + LOOK_EVERY;
        let mut events = Vec::new();
        if self.underlay_changed(now) {
            events.push(Event::Underlay(self.towards()));
        }
        if self.is_silent(now) {
            events.push(Event::Silence);
        }
        events
    }

    /// The address towards the gateway, as seen last.
    pub(super) fn towards(&self) -> Option<IpAddr> {
        self.towards.and_then(|(_, address)| address)
    }

    fn underlay_changed(&mut self, now: Instant) -> bool {
        let mut gateways = self.source.gateways();
        let known = !gateways.is_empty();
        if !known {
            // Its name is being resolved; give it time before the whole network is doubted.
            if now.duration_since(self.began) < RESOLVING {
                return false;
            }
            gateways.push(ANYWHERE);
        }
        let address = gateways
            .into_iter()
            .find_map(|gateway| source_towards(gateway).ok());
        let changed = match self.towards {
            Some((was_known, before)) if was_known == known => before != address,
            // Another question: only "no route" is an answer that counts.
            Some((_, before)) => address.is_none() != before.is_none(),
            None => address.is_none(),
        };
        self.towards = Some((known, address));
        changed
    }

    fn is_silent(&mut self, now: Instant) -> bool {
        let health = self.source.health();
        let waits = match (health.last_sent, health.last_received) {
            (Some(sent), Some(received)) => sent > received,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if !waits {
            self.unanswered = None;
            return false;
        }
        let since = *self.unanswered.get_or_insert(now);
        // Between two looks answers may have come, and more been sent.
        let since = health
            .last_received
            .map_or(since, |received| received.max(since));
        now.saturating_duration_since(since) >= SILENCE
    }
}
