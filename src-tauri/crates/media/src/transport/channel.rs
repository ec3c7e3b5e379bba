//! A data channel, and what is sent before it is open.
//!
//! The stack takes messages for a channel that it has not announced yet (RFC 8832 §6) and sends them first. The server
//! takes that for a broken peer and never accepts a channel of this connection again.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::{Mutex, mpsc};
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use super::{TransportError, TransportEvent};

/// Messages that wait for the channel to open, which takes one or two round trips.
const EARLY: usize = 64;

pub(super) struct Channel {
    inner: Arc<dyn DataChannel>,
    /// `None` once it is open.
    early: Mutex<Option<Vec<BytesMut>>>,
}

impl Channel {
    pub fn new(inner: Arc<dyn DataChannel>) -> Arc<Self> {
        let early = Mutex::new(Some(Vec::new()));
        Arc::new(Self { inner, early })
    }

    /// Sends, or keeps until the channel is open. Fails when it is closed, and when too much waits.
    pub async fn send(&self, data: BytesMut) -> Result<(), TransportError> {
        let mut early = self.early.lock().await;
        match early.as_mut() {
            Some(waiting) if waiting.len() < EARLY => {
                waiting.push(data);
                Ok(())
            }
            Some(_) => Err(TransportError::NoChannel),
            None => {
                let sent = self.inner.send(data).await;
                sent.map_err(|_| TransportError::NoChannel)
            }
        }
    }

    /// Sends what waited, in its order and before anything else.
    async fn opened(&self) {
        let mut early = self.early.lock().await;
        for data in early.take().into_iter().flatten() {
            // Closed at once: whoever sends next is told so.
            if self.inner.send(data).await.is_err() {
                return;
            }
        }
    }

    /// Hands on what arrives, until it is closed.
    pub async fn read(self: Arc<Self>, reliable: bool, events: mpsc::Sender<TransportEvent>) {
        while let Some(event) = self.inner.poll().await {
            match event {
                DataChannelEvent::OnOpen => self.opened().await,
                DataChannelEvent::OnMessage(message) => {
                    let data = message.data.freeze();
                    let event = TransportEvent::Data { reliable, data };
                    if events.send(event).await.is_err() {
                        return;
                    }
                }
                DataChannelEvent::OnClose => break,
                _ => {}
            }
        }
        // Nothing waits for a channel that will not open any more.
        *self.early.lock().await = None;
    }
}
