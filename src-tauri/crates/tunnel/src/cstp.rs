//! AnyConnect's protocol (CSTP) over TLS, as Cisco's gateways and ocserv speak it.
//!
//! ```text
//!   SignIn ── forms, answers ──▶ Cookie ──▶ AnyConnect::open ── CONNECT ──▶ session ── packets ⇄ Link
//!                                  ▲                              │  │ keys are old: a new session takes over
//!                                  │                              │  └──▶ session
//!                                  └── sign in again ◀── refused ─┘
//! ```
//!
//! Source: draft-mavrogiannopoulos-openconnect-04. There is no second channel over UDP here: TCP carries TCP, which is
//! slow on lossy lines; `WireGuard` is the better way where it is open.

mod assigned;
mod form;
mod frame;
mod gateway;
mod pulse;
mod session;
mod sign_in;
mod traffic;
mod xml;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use netstack::Link;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

pub use form::{Answers, Choice, Cookie, Field, FieldKind, Form};
pub use gateway::Gateway;
pub use sign_in::{Dialogue, SignIn, Step};

use crate::source::{Ended, Health, Inside, Kick, PacketSource, Refusal};
use session::{Next, Session, Wishes};
use traffic::Traffic;

/// Gateways serve what calls itself AnyConnect; it also says truly who we are.
const AGENT: &str = "AnyConnect-compatible Cordee";
/// Where a gateway assigns no size: what fits an ordinary line.
const MTU: u16 = 1406;
/// How long new keys may take before the session counts as lost.
const REKEY_DEADLINE: Duration = Duration::from_secs(10);
/// How long a goodbye may take.
const LEAVE_DEADLINE: Duration = Duration::from_secs(3);

/// An AnyConnect gateway as a source of packets. It asks nobody anything: without a cookie that the gateway takes,
/// [`PacketSource::open`] says [`Refusal::SignInAgain`], and the caller leads a person through [`SignIn`].
pub struct AnyConnect {
    gateway: Gateway,
    cookie: Mutex<Option<Cookie>>,
    /// Opened and not run yet.
    opened: Mutex<Option<Session>>,
    addresses: Mutex<Vec<SocketAddr>>,
    sessions: watch::Sender<u64>,
    running: watch::Sender<bool>,
    wishes: Wishes,
    traffic: Arc<Traffic>,
}

impl AnyConnect {
    pub fn new(gateway: Gateway, cookie: Option<Cookie>) -> Self {
        Self {
            gateway,
            cookie: Mutex::new(cookie),
            opened: Mutex::default(),
            addresses: Mutex::default(),
            sessions: watch::Sender::new(0),
            running: watch::Sender::new(false),
            wishes: Wishes::default(),
            traffic: Arc::default(),
        }
    }

    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// From now on sessions are opened with this cookie.
    pub fn sign_in(&self, cookie: Cookie) {
        *self.cookie.lock() = Some(cookie);
    }

    /// Forgets the cookie, here and at the gateway. Does what it can within three seconds.
    pub async fn sign_out(&self) {
        let cookie = self.cookie.lock().take();
        let opened = self.opened.lock().take();
        let mut running = self.running.subscribe();
        let leave = async {
            if let Some(session) = opened {
                session.leave().await;
            } else if *running.borrow_and_update() {
                self.wishes.leave.notify_one();
                let _ = running.wait_for(|running| !running).await;
            } else if let Some(cookie) = cookie
                && let Ok(session) = self.connect(&cookie).await
            {
                session.leave().await;
            }
        };
        let _ = timeout(LEAVE_DEADLINE, leave).await;
    }

    async fn connect(&self, cookie: &Cookie) -> Result<Session, Ended> {
        let addresses = self.gateway.resolve().await?;
        self.addresses.lock().clone_from(&addresses);
        let stream = self.gateway.connect(&addresses).await?;
        Session::open(&self.gateway, stream, cookie).await
    }

    async fn fresh_session(&self) -> Result<Session, Ended> {
        let cookie = self.cookie.lock().clone();
        let Some(cookie) = cookie else {
            return Err(Ended::Refused(Refusal::SignInAgain));
        };
        let result = self.connect(&cookie).await;
        match &result {
            Ok(_) => {
                self.traffic.opened(Instant::now());
                self.sessions.send_modify(|count| *count += 1);
            }
            // Only if nobody signed in meanwhile.
            Err(Ended::Refused(Refusal::SignInAgain)) => {
                let mut known = self.cookie.lock();
                if known.as_ref() == Some(&cookie) {
                    *known = None;
                }
            }
            Err(_) => {}
        }
        result
    }

    async fn run_sessions(&self, link: &Link) -> Ended {
        let Some(mut session) = self.opened.lock().take() else {
            return Ended::Closed;
        };
        loop {
            match session.pump(link, &self.traffic, &self.wishes).await {
                Next::Ended(ended) => return ended,
                Next::Rekey => {}
            }
            let mut fresh = std::pin::pin!(timeout(REKEY_DEADLINE, self.fresh_session()));
            // A gateway closes the former session as soon as the new one is there; that is no end.
            let fresh = tokio::select! {
                fresh = &mut fresh => fresh,
                _ = session.pump(link, &self.traffic, &self.wishes) => fresh.await,
            };
            match fresh {
                // Signed out while the new session was made: the former one may have heard it alone.
                Ok(Ok(next)) if self.cookie.lock().is_none() => {
                    let _ = timeout(LEAVE_DEADLINE, next.leave()).await;
                    return Ended::Refused(Refusal::SignInAgain);
                }
                Ok(Ok(next)) if inside(&next) == inside(&session) => session = next,
                // Other addresses: whoever opens the source again learns about them.
                Ok(Ok(_)) => return Ended::Closed,
                Ok(Err(ended)) => return ended,
                Err(_) => return Ended::Io(std::io::ErrorKind::TimedOut),
            }
        }
    }
}

impl PacketSource for AnyConnect {
    fn open(&self) -> BoxFuture<'_, Result<Inside, Ended>> {
        async {
            self.opened.lock().take();
            let session = self.fresh_session().await?;
            let inside = inside(&session);
            *self.opened.lock() = Some(session);
            Ok(inside)
        }
        .boxed()
    }

    fn run(&self, link: Link) -> BoxFuture<'_, Ended> {
        async move {
            let _running = Running::begin(self);
            self.run_sessions(&link).await
        }
        .boxed()
    }

    fn kick(&self, _: Kick) {
        // There is one way only, and a question costs little: a connection that is fine goes on.
        self.wishes.doubt.notify_one();
    }

    fn health(&self) -> Health {
        let (sent, received, times) = self.traffic.read();
        Health {
            session_age: times.opened.map(|at| at.elapsed()),
            sent,
            received,
            last_sent: times.sent,
            last_received: times.heard,
            way: "tls",
        }
    }

    fn sessions(&self) -> watch::Receiver<u64> {
        self.sessions.subscribe()
    }

    fn gateways(&self) -> Vec<SocketAddr> {
        self.addresses.lock().clone()
    }
}

/// Says that a session runs, until it is dropped.
struct Running<'a>(&'a AnyConnect);

impl<'a> Running<'a> {
    fn begin(source: &'a AnyConnect) -> Self {
        source.running.send_replace(true);
        Self(source)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.traffic.ended();
        self.0.running.send_replace(false);
    }
}

fn inside(session: &Session) -> Inside {
    let assigned = &session.assigned;
    Inside {
        v4: assigned.v4,
        v6: assigned.v6,
        dns: assigned.dns.clone(),
        search: assigned.search.clone(),
        mtu: assigned.mtu.unwrap_or(MTU),
        // Gateways do not say which address of theirs answers; TLS over TCP has no black hole to probe for.
        echo: None,
        networks: assigned.networks.clone(),
    }
}
