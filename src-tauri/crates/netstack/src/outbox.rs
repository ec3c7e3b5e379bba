//! Packets that wait for the tunnel.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// One bounded queue for the whole stack.
///
/// A connection asks for [`Outbox::room`] before it makes packets and, when there is none, leaves
/// its [`Notify`] behind: once half of the queue is gone everyone who waits is woken. Nothing is
/// dropped that way, and what is not sent yet can still be re-ordered or taken back.
pub struct Outbox {
    queue: Mutex<VecDeque<BytesMut>>,
    waiting: AtomicUsize,
    capacity: usize,
    filled: Notify,
    closed: AtomicBool,
    held_back: Mutex<Vec<Arc<Notify>>>,
}

impl Outbox {
    pub fn new(capacity: usize) -> Self {
        Self {
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            capacity: capacity.max(2),
            filled: Notify::new(),
            closed: AtomicBool::new(false),
            held_back: Mutex::default(),
        }
    }

    /// Packets that a connection may add now.
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.waiting())
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes what connections made within their room.
    pub fn push_all(&self, packets: &mut Vec<BytesMut>) {
        if packets.is_empty() || self.closed.load(Ordering::Relaxed) {
            packets.clear();
            return;
        }
        let mut queue = self.queue.lock();
        queue.extend(packets.drain(..));
        self.waiting.store(queue.len(), Ordering::Relaxed);
        drop(queue);
        self.filled.notify_one();
    }

    /// Takes a datagram that nobody repeats in time anyway; drops it when the tunnel is far behind.
    pub fn push_or_drop(&self, packet: BytesMut) -> bool {
        if self.room() == 0 {
            return false;
        }
        self.push_all(&mut vec![packet]);
        true
    }

    /// Wakes `whom` when there is room again.
    pub fn hold_back(&self, whom: &Arc<Notify>) {
        self.held_back.lock().push(Arc::clone(whom));
        // The tunnel may have emptied the queue before it could see us.
        if self.has_room_again() {
            self.wake_held_back();
        }
    }

    /// Waits for packets and moves at most `most` of them. Zero once the stack is closed.
    pub async fn next_batch(&self, into: &mut Vec<BytesMut>, most: usize) -> usize {
        loop {
            let moved = self.take(into, most);
            if moved > 0 || self.closed.load(Ordering::Relaxed) {
                return moved;
            }
            self.filled.notified().await;
        }
    }

    /// Ends every wait in [`Outbox::next_batch`].
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.filled.notify_waiters();
        self.filled.notify_one();
    }

    fn take(&self, into: &mut Vec<BytesMut>, most: usize) -> usize {
        let mut queue = self.queue.lock();
        let count = queue.len().min(most);
        if count == 0 {
            return 0;
        }
        into.extend(queue.drain(..count));
        let left = queue.len();
        self.waiting.store(left, Ordering::Relaxed);
        drop(queue);
        if self.has_room_again() {
            self.wake_held_back();
        }
        if left > 0 {
            self.filled.notify_one();
        }
        count
    }

    fn has_room_again(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) <= self.capacity / 2
    }

    fn wake_held_back(&self) {
        for one in std::mem::take(&mut *self.held_back.lock()) {
            one.notify_one();
        }
    }
}
