//! Which way to the gateway is used: one channel carries, and another one may be opened beside it.
//!
//! ```text
//!            opened                       silent, no session: the next way
//!  opening ────────▶ carrying ──────────────────────────────────────────────▶ carrying + opening
//!     ▲                 │ broke, or a fresh start is asked for: the first way        │ opened: it carries
//!     └─────────────────┴───────────────────────────────────────────────────────────┘ a session after all: closed
//! ```
//!
//! The channel in use goes on asking while another is opened, because opening may hang for
//! seconds (TCP on a dead line) and the line may be whole again any moment.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::BoxFuture;
use netstack::Link;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::WireGuard;
use crate::carrier::Channel;
use crate::source::{Ended, Kick};

/// Longest time to open a carrier (a WebSocket is a TLS connection).
const OPEN_DEADLINE: Duration = Duration::from_secs(5);
/// An opening that took so long is begun again when the way is still silent: TCP's own pauses
/// between attempts double.
const SLOW_OPENING: Duration = Duration::from_millis(1500);
/// Pause after a carrier could not be opened or broke, unless a kick comes first.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);
/// Handshakes that are repeated on the same channel before a fresh one is opened. On a line with a
/// long way the answer to the last one may still come, and a fresh port would lose it.
const REPEATS: u32 = 3;

struct Carrying {
    way: usize,
    pump: BoxFuture<'static, ()>,
    again: mpsc::Sender<()>,
    opened: Instant,
    /// A way that took long to open gets long to answer.
    patience: Duration,
    sessions_before: u64,
    repeated: u32,
}

struct Opening {
    way: usize,
    began: Instant,
    channel: BoxFuture<'static, io::Result<Arc<dyn Channel>>>,
}

enum Happened {
    Opened(io::Result<Arc<dyn Channel>>),
    Broke,
    Session,
    Kicked(Kick),
}

impl WireGuard {
    /// Moves packets for as long as it is polled.
    pub(super) async fn carry(&self, link: Link) -> Ended {
        if self.carriers.is_empty() {
            return Ended::Unreachable;
        }
        let mut kicks = self.shared.kicks.subscribe();
        let mut sessions = self.shared.sessions.subscribe();
        let mut carrying: Option<Carrying> = None;
        let mut opening = Some(self.open_way(self.shared.way.load(Relaxed), Duration::ZERO));
        loop {
            match happened(&mut carrying, &mut opening, &mut kicks, &mut sessions).await {
                Happened::Opened(Ok(channel)) => {
                    if let Some(opened) = opening.take() {
                        carrying = Some(self.use_channel(&link, channel, &opened));
                    }
                }
                Happened::Opened(Err(_)) => {
                    let failed = opening.take().map_or(0, |opened| opened.way);
                    if carrying.is_none() {
                        opening = Some(self.open_way(self.next(failed), REOPEN_PAUSE));
                    }
                }
                Happened::Broke => {
                    let broken = carrying.take().map_or(0, |broken| broken.way);
                    opening.get_or_insert_with(|| self.open_way(broken, REOPEN_PAUSE));
                }
                Happened::Session => {
                    if let Some(carrying) = &mut carrying {
                        carrying.repeated = 0;
                        opening = None;
                    }
                }
                Happened::Kicked(Kick::Fresh) => {
                    carrying = None;
                    opening = Some(self.open_way(0, Duration::ZERO));
                }
                Happened::Kicked(Kick::Silent) => self.silent(&mut carrying, &mut opening),
            }
        }
    }

    /// Nothing comes back: ask again, and open another way when that does not help.
    fn silent(&self, carrying: &mut Option<Carrying>, opening: &mut Option<Opening>) {
        if let Some(slow) = opening.as_ref()
            && slow.began.elapsed() >= SLOW_OPENING
        {
            *opening = Some(self.open_way(slow.way, Duration::ZERO));
        }
        let Some(carrying) = carrying else { return };
        let made = *self.shared.sessions.borrow() > carrying.sessions_before;
        let tired = if made || self.carriers.len() == 1 {
            carrying.repeated >= REPEATS
        } else {
            carrying.opened.elapsed() >= carrying.patience
        };
        carrying.repeated += 1;
        if tired && opening.is_none() {
            carrying.repeated = 0;
            // It asks by itself, perhaps at once. Of two questions within 20 ms gateways answer one only, and we would
            // know no more than the other's keys.
            *opening = Some(self.open_way(self.next(carrying.way), Duration::ZERO));
        } else {
            let _ = carrying.again.try_send(());
        }
    }

    fn next(&self, way: usize) -> usize {
        (way + 1) % self.carriers.len().max(1)
    }

    fn open_way(&self, way: usize, pause: Duration) -> Opening {
        let carrier = self.carriers.get(way).cloned();
        Opening {
            way,
            began: Instant::now() + pause,
            channel: Box::pin(async move {
                sleep(pause).await;
                let carrier = carrier.ok_or(io::ErrorKind::NotFound)?;
                timeout(OPEN_DEADLINE, carrier.open())
                    .await
                    .unwrap_or(Err(io::ErrorKind::TimedOut.into()))
            }),
        }
    }

    fn use_channel(&self, link: &Link, channel: Arc<dyn Channel>, opened: &Opening) -> Carrying {
        self.shared.way.store(opened.way, Relaxed);
        let (again, asked) = mpsc::channel(1);
        Carrying {
            way: opened.way,
            pump: Box::pin(self.shared.clone().pump(link.clone(), channel, asked)),
            again,
            opened: Instant::now(),
            patience: opened.began.elapsed() * 2,
            sessions_before: *self.shared.sessions.borrow(),
            repeated: 0,
        }
    }
}

/// Waits for whatever comes first. Polls the channel in use, so packets move meanwhile.
async fn happened(
    carrying: &mut Option<Carrying>,
    opening: &mut Option<Opening>,
    kicks: &mut watch::Receiver<(u64, Kick)>,
    sessions: &mut watch::Receiver<u64>,
) -> Happened {
    let opened = async {
        match opening {
            Some(opening) => (&mut opening.channel).await,
            None => std::future::pending().await,
        }
    };
    let broke = async {
        match carrying {
            Some(carrying) => (&mut carrying.pump).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        channel = opened => Happened::Opened(channel),
        () = broke => Happened::Broke,
        Ok(()) = sessions.changed() => Happened::Session,
        Ok(()) = kicks.changed() => Happened::Kicked(kicks.borrow_and_update().1),
    }
}
