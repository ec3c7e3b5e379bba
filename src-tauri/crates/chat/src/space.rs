//! Room on the disk.
//!
//! ```text
//!            free < RESERVE                          free < SUSPECT
//! Enough ──────────────────────▶ Full ─────────────────────────────────▶ Full, messages suspect
//!   ▲                             │ free ≥ AGAIN                          │ free ≥ AGAIN
//!   └─────────────────────────────┘              chat is closed and restored ([`crate::Chat::broken`])
//! ```
//! The SDK notes how far it has read the server's list of changes and writes the messages themselves in another
//! task. When that task finds no room, the messages are missing for ever although everything looks in order. So
//! the exchange stops and nothing is written any more while there is still some room; and when the disk was so full
//! that a write may have failed, chat is restored from what is on it as soon as there is room, and the messages are
//! fetched again: the keys in memory may be ahead of those that were written, and would refuse the same key message
//! when it comes once more.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::chat::Shared;
use crate::error::ChatError;

/// Below this many free bytes nothing more is written: an answer of the server with all it brings takes a few.
const RESERVE: u64 = 12 << 20;
/// From this many free bytes on it goes on, so that it does not stop again at once.
const AGAIN: u64 = RESERVE + (4 << 20);
/// Below this many free bytes a write may have failed before the exchange was stopped.
const SUSPECT: u64 = 4 << 20;
/// How often the disk is looked at: another program can fill it at any time.
const LOOK: Duration = Duration::from_millis(500);

/// What is known of the room on the disk that holds the store.
pub(crate) struct Space {
    folder: PathBuf,
    full: watch::Sender<bool>,
}

impl Space {
    pub(crate) fn of(folder: PathBuf) -> Self {
        Self {
            folder,
            full: watch::Sender::new(false),
        }
    }

    /// Refuses what would be written to a full disk.
    pub(crate) fn enough(&self) -> Result<(), ChatError> {
        self.look();
        if *self.full.borrow() {
            Err(ChatError::DiskFull)
        } else {
            Ok(())
        }
    }

    pub(crate) async fn becomes(&self, full: bool) {
        // The sender lives as long as this.
        let _ = self.full.subscribe().wait_for(|now| *now == full).await;
    }

    /// Something was perhaps not written: the messages are fetched again at the next start.
    pub(crate) fn suspect(&self) {
        crate::store::mark_incomplete(&self.folder);
    }

    /// Looks at the disk; only [`watch`] says that there is room again. Bytes that are free, `None` where the system
    /// does not tell: then nothing is stopped.
    fn look(&self) -> Option<u64> {
        let free = fs4::available_space(&self.folder).ok()?;
        if free < RESERVE && !self.full.send_replace(true) {
            tracing::warn!(free, "The disk is full, the exchange stops");
        }
        Some(free)
    }
}

/// Watches the disk until chat ends.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let space = &shared.space;
    let mut suspect = false;
    let mut rounds = tokio::time::interval(LOOK);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let Some(free) = space.look() else { continue };
        if free < SUSPECT && !std::mem::replace(&mut suspect, true) {
            space.suspect();
        }
        if free < AGAIN || !*space.full.borrow() {
            continue;
        }
        if suspect {
            shared.broken.send_replace(true);
        }
        space.full.send_replace(false);
    }
}
