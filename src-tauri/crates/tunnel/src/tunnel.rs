//! A tunnel as its owner holds it.

mod actor;
mod surroundings;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use netstack::Config;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::dialer::{ConnectError, Dialer, Reach};
use crate::policy::{Host, Policy};
use crate::probe::{Probe, UnderlayCheck};
use crate::source::PacketSource;
use crate::state::{State, Why};
use crate::stream::Stream;
use actor::Actor;

/// What a tunnel is made of.
pub struct Settings {
    pub source: Arc<dyn PacketSource>,
    pub policy: Policy,
    pub probe: Probe,
    /// Tells a portal from a silent gateway; `None`: portals are not recognised.
    pub underlay: Option<UnderlayCheck>,
    /// Start nothing where the system reaches the inside by itself.
    pub coexist: bool,
    /// Sizes of buffers and queues; addresses, resolvers and sizes of packets are the source's.
    pub netstack: Config,
}

/// What is true about the tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub state: State,
    pub why: Why,
    pub since: SystemTime,
    /// When the next attempt begins, where one is needed.
    pub retry_at: Option<SystemTime>,
    /// Measured size of packets, bytes.
    pub mtu: Option<usize>,
    /// Way to the gateway.
    pub way: &'static str,
    /// Time of the last answer of the probe, through the whole path. A new one alone does not
    /// wake up whoever waits for changes.
    pub round_trip: Option<Duration>,
}

/// A tunnel that is wanted. Dropping it ends it with all its connections.
pub struct Tunnel {
    commands: mpsc::Sender<Command>,
    states: watch::Receiver<Snapshot>,
    dialer: Dialer,
    task: JoinHandle<()>,
}

impl Tunnel {
    /// Starts at once. Needs a Tokio run time.
    pub fn start(settings: Settings) -> Self {
        let (commands, inbox) = mpsc::channel(16);
        let policy = Arc::new(settings.policy.clone());
        let (reach, reach_receiver) = watch::channel(Reach::Soon);
        let (states, task) = Actor::spawn(settings, policy.clone(), reach, inbox);
        Self {
            commands,
            states,
            dialer: Dialer::new(policy, reach_receiver),
            task,
        }
    }

    /// The truth, now and whenever it changes.
    pub fn states(&self) -> watch::Receiver<Snapshot> {
        self.states.clone()
    }

    /// For the proxy and forwards, and for code that opens many connections.
    pub fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }

    /// Opens a connection as the policy says, without any port on this device.
    pub async fn connect(&self, host: &Host, port: u16) -> Result<Stream, ConnectError> {
        self.dialer.connect(host, port).await
    }

    /// A hint that the network changed. The tunnel notices by itself, up to 250 ms later.
    pub fn network_changed(&self) {
        let _ = self.commands.try_send(Command::NetworkChanged);
    }

    /// Tries now: a person asked, or signed in.
    pub fn retry_now(&self) {
        let _ = self.commands.try_send(Command::Retry);
    }

    /// Ends the tunnel and all its connections.
    pub async fn stop(self) {
        let _ = self.commands.send(Command::Stop).await;
        let mut states = self.states.clone();
        let stopped = states.wait_for(|now| now.why == Why::Stopped);
        // The actor answers within one turn; a panic in it ends the wait as well.
        let _ = timeout(Duration::from_secs(5), stopped).await;
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the owner tells the actor.
enum Command {
    NetworkChanged,
    Retry,
    Stop,
}

#[cfg(test)]
mod tests;
