//! One session: the TLS connection after `CONNECT /CSCOSSLC/tunnel`, with packets in both directions.

use bytes::BytesMut;
use netstack::Link;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::AGENT;
use super::assigned::{self, Assigned};
use super::form::Cookie;
use super::frame::{self, Kind};
use super::gateway::{Gateway, ended_by};
use super::pulse::{Due, Pulse};
use super::traffic::Traffic;
use crate::source::Ended;
use crate::tls::Stream;

/// Where a gateway says nothing: RFC-less custom of these gateways.
const DPD: std::time::Duration = std::time::Duration::from_secs(30);
const KEEPALIVE: std::time::Duration = std::time::Duration::from_secs(20);
/// Packets that are written before they are flushed. A batch fills about one buffer of records.
const BATCH: usize = 64;
/// Bytes that are asked for at once; a TLS record has up to 16 KiB.
const READ: usize = 64 * 1024;
/// Answers and questions that wait to be written. More than these means that nothing is written anyway.
const CONTROLS: usize = 8;
/// "The user signed out", the first byte of a `Disconnect` (draft-mavrogiannopoulos-openconnect-04 §2.3).
const SIGNED_OUT: u8 = 0xb0;

pub struct Session {
    pub assigned: Assigned,
    stream: Stream,
    /// Bytes that came behind the answer.
    received: BytesMut,
}

/// Why [`Session::pump`] returned.
pub enum Next {
    /// The keys are old: a new session should take over.
    Rekey,
    Ended(Ended),
}

/// What others want of a running session.
#[derive(Default)]
pub struct Wishes {
    /// Make sure that the gateway is there.
    pub doubt: tokio::sync::Notify,
    /// Say goodbye for good.
    pub leave: tokio::sync::Notify,
}

impl Session {
    /// Opens a session with the cookie. Can be cancelled; the caller has the deadline.
    pub async fn open(gateway: &Gateway, stream: Stream, cookie: &Cookie) -> Result<Self, Ended> {
        let mut stream = stream;
        let request = zeroize::Zeroizing::new(format!(
            "CONNECT /CSCOSSLC/tunnel HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\nCookie: webvpn={cookie}\r\n\
             X-CSTP-Version: 1\r\nX-CSTP-Hostname: cordee\r\nX-CSTP-Base-MTU: 1500\r\nX-CSTP-MTU: 1406\r\n\
             X-CSTP-Address-Type: IPv6,IPv4\r\nX-CSTP-Full-IPv6-Capability: true\r\n\r\n",
            host = gateway.authority(),
            cookie = cookie.value(),
        ));
        let io = |error: std::io::Error| ended_by(&error);
        stream.write_all(request.as_bytes()).await.map_err(io)?;
        stream.flush().await.map_err(io)?;
        let mut received = BytesMut::with_capacity(READ);
        loop {
            if let Some((assigned, size)) = assigned::parse(&received)? {
                let received = received.split_off(size);
                return Ok(Self {
                    assigned,
                    stream,
                    received,
                });
            }
            received.reserve(4096);
            if stream.read_buf(&mut received).await.map_err(io)? == 0 {
                return Err(Ended::Closed);
            }
        }
    }

    /// Moves packets until something ends the session or its keys are old. Whoever drops the future has to drop the
    /// session too: half a packet may have been written.
    pub async fn pump(&mut self, link: &Link, traffic: &Traffic, wishes: &Wishes) -> Next {
        let now = Instant::now();
        let dpd = self.assigned.dpd.unwrap_or(DPD);
        let keepalive = self.assigned.keepalive.unwrap_or(KEEPALIVE);
        let pulse = Mutex::new(Pulse::new(now, dpd, keepalive, self.assigned.rekey));
        let (controls, waiting) = mpsc::channel(CONTROLS);
        let (reader, writer) = tokio::io::split(&mut self.stream);
        tokio::select! {
            ended = read(reader, &mut self.received, link, traffic, &pulse, &controls) => Next::Ended(ended),
            ended = write(writer, link, traffic, &pulse, waiting, wishes) => Next::Ended(ended),
            next = watch(&pulse, &controls, wishes) => next,
        }
    }

    /// Tells the gateway that this person signed out: it forgets the cookie.
    pub async fn leave(mut self) {
        let (_, mut writer) = tokio::io::split(&mut self.stream);
        goodbye(&mut writer).await;
    }
}

async fn read(
    mut stream: ReadHalf<&mut Stream>,
    received: &mut BytesMut,
    link: &Link,
    traffic: &Traffic,
    pulse: &Mutex<Pulse>,
    controls: &mpsc::Sender<(Kind, BytesMut)>,
) -> Ended {
    loop {
        loop {
            let frame = match frame::decode(received) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return Ended::Protocol("no CSTP packet where one should begin"),
            };
            match frame.kind {
                Kind::Packet => {
                    traffic.received();
                    // An own buffer: the stack may keep it, and ours is larger.
                    link.input(BytesMut::from(&frame.payload[..]));
                }
                Kind::DpdRequest => {
                    // A full queue means that the answers before this one were not written yet.
                    let _ = controls.try_send((Kind::DpdAnswer, frame.payload));
                }
                Kind::Disconnect | Kind::Terminate => return Ended::Closed,
                Kind::DpdAnswer | Kind::Keepalive | Kind::Other(_) => {}
            }
        }
        received.reserve(READ);
        match stream.read_buf(received).await {
            Ok(0) => return Ended::Closed,
            Ok(_) => {
                let now = Instant::now();
                pulse.lock().heard(now);
                traffic.heard(now);
            }
            Err(error) => return ended_by(&error),
        }
    }
}

async fn write(
    mut stream: WriteHalf<&mut Stream>,
    link: &Link,
    traffic: &Traffic,
    pulse: &Mutex<Pulse>,
    mut controls: mpsc::Receiver<(Kind, BytesMut)>,
    wishes: &Wishes,
) -> Ended {
    let mut batch = Vec::with_capacity(BATCH);
    let mut record = Vec::with_capacity(frame::HEADER + 2048);
    loop {
        tokio::select! {
            biased;
            () = wishes.leave.notified() => {
                goodbye(&mut stream).await;
                return Ended::Closed;
            }
            Some((kind, payload)) = controls.recv() => {
                frame::encode(kind, &payload, &mut record);
                if let Err(error) = stream.write_all(&record).await {
                    return ended_by(&error);
                }
            }
            count = link.next_batch(&mut batch, BATCH) => {
                if count == 0 {
                    return Ended::Closed;
                }
                // Each `write_all` makes one TLS record, which is what ocserv wants.
                for packet in batch.drain(..) {
                    frame::encode(Kind::Packet, &packet, &mut record);
                    if let Err(error) = stream.write_all(&record).await {
                        return ended_by(&error);
                    }
                }
                traffic.sent(count, Instant::now());
            }
        }
        if let Err(error) = stream.flush().await {
            return ended_by(&error);
        }
        pulse.lock().spoke(Instant::now());
    }
}

/// Keeps the times while the other two may be stuck in a connection that carries nothing.
async fn watch(
    pulse: &Mutex<Pulse>,
    controls: &mpsc::Sender<(Kind, BytesMut)>,
    wishes: &Wishes,
) -> Next {
    loop {
        let deadline = pulse.lock().deadline();
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => {}
            () = wishes.doubt.notified() => pulse.lock().doubt(Instant::now()),
        }
        loop {
            let due = pulse.lock().due(Instant::now());
            let kind = match due {
                None => break,
                Some(Due::Rekey) => return Next::Rekey,
                Some(Due::Dead) => return Next::Ended(Ended::Io(std::io::ErrorKind::TimedOut)),
                Some(Due::Ask) => Kind::DpdRequest,
                Some(Due::Keepalive) => Kind::Keepalive,
            };
            let _ = controls.try_send((kind, BytesMut::new()));
        }
    }
}

async fn goodbye(stream: &mut WriteHalf<&mut Stream>) {
    let mut record = Vec::new();
    frame::encode(
        Kind::Disconnect,
        &[&[SIGNED_OUT], b"signed out".as_slice()].concat(),
        &mut record,
    );
    // Nobody waits for the end of a session that is over in any case.
    if stream.write_all(&record).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}
