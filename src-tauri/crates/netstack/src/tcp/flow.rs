//! One connection on smoltcp.
#![allow(clippy::pedantic)]
use super::ConnectError;
use super::segment::segment;
use crate::config::Config;
use crate::icmp::{Complaint, ComplaintKind};
use crate::packet::Ip;
use crate::stack::Shared;
use bytes::BytesMut;
use parking_lot::Mutex;
use smoltcp::iface::{Config as IfConfig, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration as SDur, Instant as SInst};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

struct Dev {
    rx: VecDeque<BytesMut>,
    tx: Vec<BytesMut>,
    mtu: usize,
    tso: usize,
    room: usize,
    blocked: bool,
}
const TSO: usize = 32 * 1024;
struct Rx(BytesMut);
struct Tx<'a>(&'a mut Dev, usize);

impl phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}
impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut b = BytesMut::zeroed(len);
        let r = f(&mut b);
        let n = self.0.tx.len();
        segment(b, self.1, &mut self.0.tx);
        self.0.room = self.0.room.saturating_sub(self.0.tx.len() - n);
        r
    }
    fn set_meta(&mut self, m: PacketMeta) {
        self.1 = m.segmentation_offload_size.map_or(0, |v| v.get() as usize);
    }
}
impl phy::Device for Dev {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;
    fn receive(&mut self, _: SInst) -> Option<(Rx, Tx<'_>)> {
        let p = self.rx.pop_front()?;
        Some((Rx(p), Tx(self, 0)))
    }
    fn transmit(&mut self, _: SInst) -> Option<Tx<'_>> {
        if self.room == 0 {
            self.blocked = true;
            return None;
        }
        Some(Tx(self, 0))
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut c = DeviceCapabilities::default();
        c.medium = Medium::Ip;
        c.max_transmission_unit = self.mtu;
        c.checksum.ipv4 = Checksum::Rx;
        c.checksum.tcp = Checksum::Rx;
        if self.tso > 0 {
            c.segmentation.tcpv4 = NonZeroUsize::new(self.tso);
            c.segmentation.tcpv6 = NonZeroUsize::new(self.tso);
        }
        c
    }
}

pub struct Inner {
    iface: Interface,
    set: SocketSet<'static>,
    h: SocketHandle,
    dev: Dev,
    skew: SDur,
    next: Option<SInst>,
    sched: Option<SInst>,
    dropped: bool,
    unreachable: bool,
}

pub struct Flow {
    pub inner: Mutex<Inner>,
    inbox: Mutex<VecDeque<BytesMut>>,
    pub kick: Arc<Notify>,
    port: u16,
}

fn iface(cfg: &Config, dev: &mut Dev) -> Interface {
    let mut c = IfConfig::new(HardwareAddress::Ip);
    c.random_seed = rand::random();
    let mut i = Interface::new(c, dev, SInst::ZERO);
    i.update_ip_addrs(|a| {
        if let Some(v) = cfg.v4 {
            let _ = a.push(IpCidr::new(IpAddress::Ipv4(v), 32));
        }
        if let Some(v) = cfg.v6 {
            let _ = a.push(IpCidr::new(IpAddress::Ipv6(v), 128));
        }
    });
    if let Some(v) = cfg.v4 {
        let _ = i.routes_mut().add_default_ipv4_route(v);
    }
    if let Some(v) = cfg.v6 {
        let _ = i.routes_mut().add_default_ipv6_route(v);
    }
    i
}

impl Inner {
    fn now(&self, s: &Shared) -> SInst {
        SInst::from_micros(s.epoch.elapsed().as_micros() as i64) + self.skew
    }
    fn sock(&mut self) -> &mut tcp::Socket<'static> {
        self.set.get_mut(self.h)
    }
    fn poll(&mut self, s: &Shared, f: &Arc<Flow>) {
        {
            let mut ib = f.inbox.lock();
            if self.dev.rx.is_empty() {
                std::mem::swap(&mut *ib, &mut self.dev.rx);
            } else {
                self.dev.rx.append(&mut ib);
            }
        }
        let mtu = s.mtu();
        if mtu != self.dev.mtu {
            self.dev.mtu = mtu;
            self.iface = iface(&s.config, &mut self.dev);
        }
        self.dev.room = s.outbox.room();
        self.dev.blocked = false;
        let now = self.now(s);
        self.iface.poll(now, &mut self.dev, &mut self.set);
        s.outbox.push_all(&mut self.dev.tx);
        self.next = if self.dev.blocked {
            s.outbox.hold_back(&f.kick);
            None
        } else {
            self.iface.poll_at(now, &self.set)
        };
        // the driver sleeps until `sched`: wake it if we need it earlier
        if let Some(n) = self.next {
            if self.sched.is_none_or(|x| n < x) {
                self.sched = Some(n);
                f.kick.notify_one();
            }
        }
    }
}

impl Flow {
    pub fn received(&self, _: Ip, p: BytesMut) -> bool {
        let mut ib = self.inbox.lock();
        let first = ib.is_empty();
        ib.push_back(p);
        drop(ib);
        if first {
            self.kick.notify_one();
        }
        true
    }
    pub fn complained(&self, _: &Shared, c: &Complaint) -> bool {
        let mut i = self.inner.lock();
        if c.kind == ComplaintKind::Unreachable && i.sock().state() == tcp::State::SynSent {
            i.unreachable = true;
            i.sock().abort();
            drop(i);
            self.kick.notify_one();
        }
        true
    }
    pub fn mtu_changed(&self, _: &Shared) {
        self.kick.notify_one();
    }
    pub fn abort(self: &Arc<Self>, s: &Shared) {
        let mut i = self.inner.lock();
        i.sock().abort();
        i.poll(s, self);
        self.kick.notify_one();
    }
    pub fn nudge(self: &Arc<Self>, s: &Shared) {
        let mut i = self.inner.lock();
        let waiting = i.sock().send_queue() > 0 || i.sock().state() == tcp::State::SynSent;
        let now = i.now(s);
        if let (true, Some(n)) = (waiting, i.next) {
            if n > now + SDur::from_millis(50) && n < now + SDur::from_secs(70) {
                i.skew += n - now;
                i.sched = None;
                i.poll(s, self);
            }
        }
    }
}

async fn drive(f: Arc<Flow>, s: Arc<Shared>) {
    let mut closing: Option<Instant> = None;
    loop {
        let wait = {
            let mut i = f.inner.lock();
            i.sched = Some(SInst::ZERO); // we are awake: no self-kicks while polling
            i.poll(&s, &f);
            let st = i.sock().state();
            if i.dropped {
                let since = *closing.get_or_insert_with(Instant::now);
                if st == tcp::State::Closed || st == tcp::State::TimeWait {
                    break;
                }
                if since.elapsed() > Duration::from_secs(30) {
                    i.sock().abort();
                    i.poll(&s, &f);
                    break;
                }
            }
            i.sched = i.next;
            let now = i.now(&s);
            i.next.map(|n| {
                if n > now {
                    Duration::from_micros((n - now).total_micros())
                } else {
                    Duration::ZERO
                }
            })
        };
        let wait = match (wait, closing) {
            (w, Some(_)) => Some(
                w.unwrap_or(Duration::from_secs(5))
                    .min(Duration::from_secs(5)),
            ),
            (w, None) => w,
        };
        match wait {
            Some(d) if d.is_zero() => tokio::task::yield_now().await,
            Some(d) => {
                tokio::select! { biased; _ = f.kick.notified() => {}, _ = tokio::time::sleep(d) => {} }
            }
            None => f.kick.notified().await,
        }
    }
    s.tcp.release(f.port);
}

pub struct TcpStream {
    addresses: (SocketAddr, SocketAddr),
    f: Arc<Flow>,
    s: Arc<Shared>,
}

pub async fn connect(s: &Arc<Shared>, dst: SocketAddr) -> Result<TcpStream, ConnectError> {
    let s = s.clone();
    if s.is_closed() {
        return Err(ConnectError::Closed);
    }
    let src = s.source_for(dst.ip()).ok_or(ConnectError::NoAddress)?;
    let mut dev = Dev {
        rx: Default::default(),
        tx: vec![],
        mtu: s.mtu(),
        tso: TSO,
        room: 0,
        blocked: false,
    };
    let mut ifc = iface(&s.config, &mut dev);
    let mut k = tcp::Socket::new(
        tcp::SocketBuffer::new(vec![0u8; 1 << 20]),
        tcp::SocketBuffer::new(vec![0u8; 1 << 19]),
    );
    k.set_congestion_control(tcp::CongestionControl::Cubic);
    k.set_nagle_enabled(false);
    k.set_timeout(Some(SDur::from_secs(300)));
    k.set_keep_alive(Some(SDur::from_secs(60)));
    let f = s
        .tcp
        .claim(|port| {
            let _ = k.connect(
                ifc.context(),
                (IpAddress::from(dst.ip()), dst.port()),
                (IpAddress::from(src), port),
            );
            let mut set = SocketSet::new(Vec::with_capacity(1));
            let h = set.add(k);
            let f = Arc::new(Flow {
                inner: Mutex::new(Inner {
                    iface: ifc,
                    set,
                    h,
                    dev,
                    skew: SDur::ZERO,
                    next: None,
                    sched: None,
                    dropped: false,
                    unreachable: false,
                }),
                inbox: Default::default(),
                kick: Arc::default(),
                port,
            });
            (f.clone(), f)
        })
        .ok_or(ConnectError::NoPort)?;
    tokio::spawn(drive(f.clone(), s.clone()));
    let st = TcpStream {
        addresses: (SocketAddr::new(src, f.port), dst),
        f,
        s,
    };
    std::future::poll_fn(|cx| {
        let mut i = st.f.inner.lock();
        let un = i.unreachable;
        let k = i.sock();
        match k.state() {
            tcp::State::SynSent | tcp::State::SynReceived => {
                k.register_send_waker(cx.waker());
                Poll::Pending
            }
            tcp::State::Closed if un => Poll::Ready(Err(ConnectError::Unreachable)),
            tcp::State::Closed => Poll::Ready(Err(ConnectError::Refused)),
            _ => Poll::Ready(Ok(())),
        }
    })
    .await?;
    Ok(st)
}

impl TcpStream {
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses.0
    }
    pub fn peer_addr(&self) -> SocketAddr {
        self.addresses.1
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut i = self.f.inner.lock();
        let k = i.sock();
        if k.can_recv() {
            // two calls: the ring buffer may wrap
            let mut got = 0;
            while buf.remaining() > 0 && k.can_recv() {
                match k.recv_slice(buf.initialize_unfilled()) {
                    Ok(n) if n > 0 => {
                        buf.advance(n);
                        got += n;
                    }
                    _ => break,
                }
            }
            debug_assert!(got > 0);
            i.poll(&self.s, &self.f);
            return Poll::Ready(Ok(()));
        }
        if k.may_recv() || matches!(k.state(), tcp::State::SynSent | tcp::State::SynReceived) {
            k.register_recv_waker(cx.waker());
            return Poll::Pending;
        }
        match k.recv_slice(&mut []) {
            Err(tcp::RecvError::InvalidState) => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut i = self.f.inner.lock();
        let k = i.sock();
        if !k.may_send() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if !k.can_send() {
            k.register_send_waker(cx.waker());
            return Poll::Pending;
        }
        let mut n = 0;
        while n < data.len() && k.can_send() {
            match k.send_slice(&data[n..]) {
                Ok(x) if x > 0 => n += x,
                _ => break,
            }
        }
        i.poll(&self.s, &self.f);
        Poll::Ready(Ok(n))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut i = self.f.inner.lock();
        i.sock().close();
        i.poll(&self.s, &self.f);
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let mut i = self.f.inner.lock();
        i.dropped = true;
        if i.sock().recv_queue() > 0 || i.sock().state() == tcp::State::SynSent {
            i.sock().abort();
        } else {
            i.sock().close();
        }
        drop(i);
        self.f.kick.notify_one();
    }
}
