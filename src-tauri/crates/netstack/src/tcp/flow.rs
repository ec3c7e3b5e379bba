//! One connection among the packets of the stack: a lock, an inbox and a task with its timer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::connection::{Connection, End, State};
use super::depart::Wire;
use super::rope::Rope;
use super::segment::{self, Header};
use super::time::Time;
use crate::icmp::Complaint;
use crate::outbox::Outbox;
use crate::packet::Ip;
use crate::stack::{Counters, Shared};

/// Packets that may wait for the connection's turn; a window of ordinary segments is less.
const INBOX_MAX: usize = 4096;

/// An inbox that grew beyond this is given back once it is empty.
const INBOX_KEPT: usize = 256;

pub struct Flow {
    inner: Mutex<Inner>,
    inbox: Mutex<Vec<(Ip, BytesMut)>>,
    /// Wakes the task: packets came, there is room in the outbox, a deadline moved ahead.
    kick: Arc<Notify>,
    port: u16,
}

pub struct Inner {
    pub connection: Connection,
    pub reader: Option<Waker>,
    pub writer: Option<Waker>,
    /// Until when the task sleeps; `None` while it works, and then it looks at the deadline itself.
    sleeps_until: Option<Time>,
    packets: Vec<BytesMut>,
    repeated: u64,
}

impl Flow {
    pub fn new(connection: Connection, port: u16) -> Self {
        Self {
            inner: Mutex::new(Inner {
                connection,
                reader: None,
                writer: None,
                sleeps_until: None,
                packets: Vec::new(),
                repeated: 0,
            }),
            inbox: Mutex::default(),
            kick: Arc::default(),
            port,
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Takes a packet for the connection's next turn; false when too many wait.
    pub fn received(&self, ip: Ip, packet: BytesMut) -> bool {
        let mut inbox = self.inbox.lock();
        if inbox.len() >= INBOX_MAX {
            return false;
        }
        inbox.push((ip, packet));
        let first = inbox.len() == 1;
        drop(inbox);
        if first {
            self.kick.notify_one();
        }
        true
    }

    /// A router complains; gives whether that changed something.
    pub fn complained(&self, shared: &Shared, complaint: &Complaint) -> bool {
        let mut inner = self.lock();
        if complaint.about.to != inner.connection.theirs() {
            return false;
        }
        let changed = inner
            .connection
            .complained(complaint.kind, complaint.about.sequence);
        if changed {
            self.poll(&mut inner, shared);
        }
        changed
    }

    pub fn mtu_changed(&self, shared: &Shared) {
        let mut inner = self.lock();
        let to = inner.connection.theirs().ip();
        let mtu = shared.mtu_to(to);
        inner.connection.set_mtu(mtu);
        self.poll(&mut inner, shared);
    }

    pub fn nudge(&self, shared: &Shared) {
        let mut inner = self.lock();
        inner.connection.nudge(shared.now());
        self.poll(&mut inner, shared);
    }

    pub fn abort(&self, shared: &Shared) {
        let mut inner = self.lock();
        inner.connection.abort(End::Aborted);
        self.poll(&mut inner, shared);
        self.kick.notify_one();
    }

    /// Sends what may be sent and wakes who waits. To be called after every change.
    pub fn poll(&self, inner: &mut Inner, shared: &Shared) {
        let mut wire = ToOutbox {
            outbox: &shared.outbox,
            ours: inner.connection.ours(),
            theirs: inner.connection.theirs(),
            packets: &mut inner.packets,
        };
        let held_back = inner.connection.poll(shared.now(), &mut wire);
        shared.outbox.push_all(&mut inner.packets);
        if held_back {
            shared.outbox.hold_back(&self.kick);
        }
        let repeated = inner.connection.sender().repeated_segments();
        if repeated != inner.repeated {
            let count = repeated.saturating_sub(inner.repeated);
            Counters::add(&shared.counters.retransmitted, super::rope::to_usize(count));
            inner.repeated = repeated;
        }
        inner.wake();
        // A task that sleeps has to know when it is wanted earlier, or for good.
        if let Some(until) = inner.sleeps_until
            && (inner.connection.state() == State::Closed
                || inner.connection.deadline().is_some_and(|at| at < until))
        {
            inner.sleeps_until = None;
            self.kick.notify_one();
        }
    }

    /// Serves the connection until it is closed, then gives its port back.
    pub async fn serve(self: Arc<Self>, shared: Arc<Shared>) {
        let mut batch = Vec::new();
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        let mut rings_at: Option<Time> = None;
        while let Some(deadline) = self.turn(&shared, &mut batch) {
            // Deadlines mostly move away: let the timer ring too early now and then instead of
            // setting it anew for every acknowledgement.
            if rings_at.is_none_or(|rings| deadline < rings) {
                timer.as_mut().reset(shared.epoch + deadline.since_epoch());
                rings_at = Some(deadline);
            }
            tokio::select! {
                biased;
                () = self.kick.notified() => {}
                () = &mut timer => rings_at = None,
            }
        }
        shared.tcp.release(self.port);
    }

    /// Handles what arrived. Gives until when to sleep; `None` when the connection is closed.
    fn turn(&self, shared: &Shared, batch: &mut Vec<(Ip, BytesMut)>) -> Option<Time> {
        std::mem::swap(batch, &mut *self.inbox.lock());
        let mut inner = self.lock();
        inner.sleeps_until = None;
        let now = shared.now();
        let mut refused = 0;
        for (ip, packet) in batch.drain(..) {
            let theirs = inner.connection.theirs();
            match segment::parse(&ip, &packet.freeze()) {
                Some((from, _, segment)) if theirs == SocketAddr::new(ip.source, from) => {
                    inner.connection.arrived(segment, now);
                }
                _ => refused += 1,
            }
        }
        if batch.capacity() > INBOX_KEPT {
            *batch = Vec::new();
        }
        Counters::add(&shared.counters.refused, refused);
        self.poll(&mut inner, shared);
        if inner.connection.state() == State::Closed {
            inner.wake_all();
            return None;
        }
        let deadline = inner.connection.deadline()?;
        inner.sleeps_until = Some(deadline);
        Some(deadline)
    }
}

impl Inner {
    fn wake(&mut self) {
        if self.connection.is_readable()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
        if !self.connection.is_opening()
            && self.connection.is_writable()
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
    }

    fn wake_all(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }
}

/// Writes segments as IP packets.
struct ToOutbox<'a> {
    outbox: &'a Outbox,
    ours: SocketAddr,
    theirs: SocketAddr,
    packets: &'a mut Vec<BytesMut>,
}

impl Wire for ToOutbox<'_> {
    fn room(&self) -> usize {
        self.outbox.room().saturating_sub(self.packets.len())
    }

    fn send(&mut self, header: &Header, rope: &Rope, from: u64, payload: usize) {
        self.packets.extend(segment::emit(
            self.ours,
            self.theirs,
            header,
            rope,
            from,
            payload,
        ));
    }
}
