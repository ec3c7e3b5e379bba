//! What the exchange brought last, so that chat does not close before it was written.
//!
//! The SDK notes how far it has read the server's list of changes, and writes the messages themselves in another task,
//! one answer after the other. Closed in between, the messages would be missing for ever: the server does not send
//! them again.

use std::sync::PoisonError;
use std::time::Duration;

use matrix_sdk::Client;
use matrix_sdk::ruma::{OwnedEventId, OwnedRoomId};
use matrix_sdk::sync::RoomUpdates;
use tokio::sync::broadcast::{Receiver, error::RecvError, error::TryRecvError};

/// Longest wait for the last answer to be written.
const PATIENCE: Duration = Duration::from_secs(5);
/// The SDK does not say when it has written something: it is asked so often.
const LOOK: Duration = Duration::from_millis(10);

/// The last message of the last answer that had any.
type Last = Option<(OwnedRoomId, OwnedEventId)>;

#[derive(Debug)]
pub(crate) struct Arrivals {
    updates: tokio::sync::Mutex<Receiver<RoomUpdates>>,
    last: std::sync::Mutex<Last>,
}

impl Arrivals {
    pub(crate) fn of(client: &Client) -> Self {
        Self {
            updates: tokio::sync::Mutex::new(client.subscribe_to_all_room_updates()),
            last: std::sync::Mutex::default(),
        }
    }

    /// Follows the answers until chat ends.
    pub(crate) async fn follow(&self) {
        let mut updates = self.updates.lock().await;
        loop {
            match updates.recv().await {
                Ok(update) => self.note(&update),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Waits until everything that came is written. To be called when the exchange has stopped and nobody follows.
    /// `false`: it was not, in time.
    pub(crate) async fn written(&self, client: &Client) -> bool {
        let mut updates = self.updates.lock().await;
        loop {
            match updates.try_recv() {
                Ok(update) => self.note(&update),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let last = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some((room, event)) = last else {
            return true;
        };
        let there = async {
            let Some(room) = client.get_room(&room) else {
                return true;
            };
            let Ok((cache, _kept)) = room.event_cache().await else {
                return false;
            };
            loop {
                match cache.find_event(&event).await {
                    Ok(Some(_)) => return true,
                    Ok(None) => tokio::time::sleep(LOOK).await,
                    Err(_) => return false,
                }
            }
        };
        tokio::time::timeout(PATIENCE, there).await.unwrap_or(false)
    }

    fn note(&self, update: &RoomUpdates) {
        let last = update.joined.iter().rev().find_map(|(room, update)| {
            let event = update.timeline.events.last()?.event_id()?;
            Some((room.clone(), event))
        });
        if last.is_some() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
        }
    }
}
