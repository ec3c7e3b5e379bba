//! `WireGuard` in this process: gotatun's protocol state between a network stack and a carrier.
//!
//! Only the protocol is gotatun's (`noise::Tunn`); moving packets is ours. Its device would put
//! queues of 4,000 packets at each hop in front of a slow uplink, bind its former port again after
//! a pause, and report a fatal error where nothing is wrong.
//!
//! ```text
//! Link ──batch──▶ session (encrypts) ──datagrams──▶ channel ──▶ gateway
//! Link ◀──────── session (decrypts) ◀──datagrams── channel ◀──
//!                   ▲ timer 250 ms: rekey, keep-alive        ▲ kick: fresh channel + handshake
//! ```

mod key;
mod session;
mod ways;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use netstack::Link;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::carrier::{Carrier, Channel};
use crate::source::{Ended, Health, Inside, Kick, PacketSource};
use session::Session;

pub use key::{Key, KeyError};

/// gotatun counts its times in steps of this call.
const TIMER_STEP: Duration = Duration::from_millis(250);
/// Packets encrypted in one go: at most this many wait for the lock at the other direction.
const BATCH: usize = 64;

/// What a `WireGuard` profile says.
#[derive(Debug, Clone)]
pub struct WireGuardConfig {
    /// This device's private key.
    pub private_key: Key,
    /// The gateway's public key.
    pub gateway_key: Key,
    /// A key shared with the gateway beforehand, against quantum computers of the future.
    pub preshared_key: Option<Key>,
    /// Pause between keep-alive packets, seconds. Routers forget a silent UDP flow after 30 s.
    pub keepalive: Option<u16>,
    /// Networks whose packets may come from and go to the gateway ("allowed IPs").
    pub networks: Vec<IpNet>,
    /// Our addresses inside.
    pub inside: Inside,
}

/// The `WireGuard` source. Carriers are in order of preference.
pub struct WireGuard {
    inside: Inside,
    carriers: Vec<Arc<dyn Carrier>>,
    shared: Arc<Shared>,
}

struct Shared {
    session: Mutex<Session>,
    sessions: watch::Sender<u64>,
    kicks: watch::Sender<(u64, Kick)>,
    way: AtomicUsize,
    epoch: Instant,
    sent: AtomicU64,
    received: AtomicU64,
    /// Milliseconds after `epoch`, plus one; 0 is never.
    last_sent: AtomicU64,
    last_received: AtomicU64,
}

impl WireGuard {
    pub fn new(config: WireGuardConfig, carriers: Vec<Arc<dyn Carrier>>) -> Self {
        let session = Session::new(&config);
        Self {
            inside: config.inside,
            carriers,
            shared: Arc::new(Shared {
                session: Mutex::new(session),
                sessions: watch::Sender::new(0),
                kicks: watch::Sender::new((0, Kick::Fresh)),
                way: AtomicUsize::new(0),
                epoch: Instant::now(),
                sent: AtomicU64::new(0),
                received: AtomicU64::new(0),
                last_sent: AtomicU64::new(0),
                last_received: AtomicU64::new(0),
            }),
        }
    }
}

impl PacketSource for WireGuard {
    fn open(&self) -> BoxFuture<'_, Result<Inside, Ended>> {
        let inside = self.inside.clone();
        Box::pin(async move { Ok(inside) })
    }

    fn run(&self, link: Link) -> BoxFuture<'_, Ended> {
        Box::pin(self.carry(link))
    }

    fn kick(&self, kick: Kick) {
        self.shared
            .kicks
            .send_modify(|(count, last)| (*count, *last) = (*count + 1, kick));
    }

    fn health(&self) -> Health {
        let shared = &self.shared;
        let at = |stamp: &AtomicU64| match stamp.load(Relaxed) {
            0 => None,
            stamp => Some(shared.epoch + Duration::from_millis(stamp - 1)),
        };
        Health {
            session_age: shared.session.lock().age(),
            sent: shared.sent.load(Relaxed),
            received: shared.received.load(Relaxed),
            last_sent: at(&shared.last_sent),
            last_received: at(&shared.last_received),
            way: self
                .carriers
                .get(shared.way.load(Relaxed))
                .map_or("none", |carrier| carrier.name()),
        }
    }

    fn sessions(&self) -> watch::Receiver<u64> {
        self.shared.sessions.subscribe()
    }

    fn gateways(&self) -> Vec<SocketAddr> {
        self.carriers
            .iter()
            .filter_map(|carrier| carrier.gateway())
            .collect()
    }
}

impl Shared {
    /// Moves packets until the channel breaks. Tasks of its own, so that both directions use a
    /// core each; all of them end with this future.
    async fn pump(
        self: Arc<Self>,
        link: Link,
        channel: Arc<dyn Channel>,
        mut again: mpsc::Receiver<()>,
    ) {
        // What a task that only receives has to say to the gateway goes through the one that sends.
        let (answers, mut to_send) = mpsc::channel::<Vec<BytesMut>>(64);
        let mut first = Vec::new();
        self.session.lock().begin_handshake(&mut first);
        let _ = answers.try_send(first);
        let repeats = answers.clone();

        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (shared, link, channel) = (self.clone(), link.clone(), channel.clone());
            async move {
                let (mut batch, mut datagrams) = (Vec::new(), Vec::new());
                loop {
                    tokio::select! {
                        biased;
                        answer = to_send.recv() => match answer {
                            Some(mut answer) => datagrams.append(&mut answer),
                            None => return,
                        },
                        count = link.next_batch(&mut batch, BATCH) => {
                            if count == 0 {
                                // The stack is closed; whoever closed it ends this source.
                                return std::future::pending().await;
                            }
                            shared.count(&shared.sent, &shared.last_sent, batch.len());
                            shared.session.lock().outgoing(link.mtu(), &mut batch, &mut datagrams);
                        }
                    }
                    if let Err(error) = channel.send(&mut datagrams).await {
                        tracing::debug!(kind = ?error.kind(), "Carrier refused datagrams");
                        datagrams.clear();
                        if error.kind() == std::io::ErrorKind::BrokenPipe {
                            return;
                        }
                    }
                }
            }
        });
        tasks.spawn({
            let (shared, answers) = (self.clone(), answers.clone());
            async move {
                let (mut datagrams, mut replies, mut packets) =
                    (Vec::new(), Vec::new(), Vec::new());
                while let Ok(()) = channel.receive(&mut datagrams).await {
                    let (authentic, made) = shared.session.lock().incoming(
                        link.mtu(),
                        &mut datagrams,
                        &mut replies,
                        &mut packets,
                    );
                    if authentic > 0 {
                        shared.count(&shared.received, &shared.last_received, authentic);
                    }
                    for packet in packets.drain(..) {
                        link.input(packet);
                    }
                    if !replies.is_empty() {
                        let _ = answers.try_send(std::mem::take(&mut replies));
                    }
                    if made {
                        shared.sessions.send_modify(|count| *count += 1);
                    }
                }
            }
        });
        tasks.spawn({
            let shared = self.clone();
            async move {
                loop {
                    tokio::time::sleep(TIMER_STEP).await;
                    let mut due = Vec::new();
                    shared.session.lock().tick(&mut due);
                    if !due.is_empty() && answers.send(due).await.is_err() {
                        return;
                    }
                }
            }
        });
        // The first to end means that the channel is of no more use.
        loop {
            tokio::select! {
                _ = tasks.join_next() => return,
                Some(()) = again.recv() => {
                    let mut hello = Vec::new();
                    self.session.lock().begin_handshake(&mut hello);
                    let _ = repeats.try_send(hello);
                }
            }
        }
    }

    fn count(&self, packets: &AtomicU64, last: &AtomicU64, count: usize) {
        packets.fetch_add(count as u64, Relaxed);
        let stamp = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        last.store(stamp + 1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
