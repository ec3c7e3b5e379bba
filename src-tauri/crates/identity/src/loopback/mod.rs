//! The small listener on 127.0.0.1 that the browser comes back to (RFC 8252 §7.3).
//!
//! It lives for one attempt, speaks just enough HTTP/1.1 for a browser's GET, and trusts nobody:
//! anything on this machine, and any page in the browser, can reach it. So: loopback only, the
//! `Host` must be our own (a page that rebinds its name to 127.0.0.1 sends its own), bounded
//! sizes, few connections at a time, a deadline on each.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

mod http;
mod pages;

pub use http::visit;
pub use pages::{Page, Pages};

/// Time for one connection to say what it wants. Browsers open spare connections and stay silent.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);
/// Time for the last answers to reach the browser after everything has arrived.
const FAREWELL: Duration = Duration::from_secs(2);
const MOST_CONNECTIONS: usize = 16;
/// Where the journey of the browser ends.
const LAST_PAGE: &str = "/done";

/// What somebody asked for: a path and its query.
#[derive(Debug)]
pub struct Visit {
    pub path: String,
    pub query: BTreeMap<String, String>,
}

/// What they get.
#[derive(Debug)]
pub enum Reply {
    NotFound,
    Done,
    Refused,
    Continue(Url),
}

pub struct Loopback {
    listener: TcpListener,
    port: u16,
}

impl Loopback {
    /// Takes the first free one of the agreed `ports`. They are fixed because some services compare
    /// redirect addresses to the letter, against RFC 8252 §7.3.
    pub async fn bind(ports: &[u16]) -> Option<Self> {
        for port in ports {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            if let Ok(listener) = TcpListener::bind(address).await {
                let port = listener.local_addr().ok()?.port();
                return Some(Self { listener, port });
            }
        }
        None
    }

    /// `http://127.0.0.1:PORT/callback` and the like. The address and not `localhost`, which may
    /// resolve to somebody else's listener on `::1`.
    pub fn address(&self, path: &str) -> Option<Url> {
        address(self.port, path)
    }

    /// Serves until `answer` says that it has seen enough (`true`), then leads the browser to a last
    /// page whose address holds nothing: what stays in the address bar and in the history must not
    /// be a code or a token. Dropping the future ends every connection.
    pub async fn serve(self, pages: Pages, mut answer: impl FnMut(Visit) -> (Reply, bool)) {
        let host = format!("127.0.0.1:{}", self.port);
        let (visits, mut arrivals) = mpsc::channel::<Arrival>(MOST_CONNECTIONS);
        let mut connections = JoinSet::new();
        let closing = CancellationToken::new();
        let mut last: Option<Reply> = None;
        let gone = tokio::time::sleep(Duration::MAX);
        tokio::pin!(gone);
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MOST_CONNECTIONS => {
                    match accepted {
                        Ok((stream, _)) => {
                            let talk = talk(stream, host.clone(), visits.clone(), closing.clone());
                            connections.spawn(tokio::time::timeout(CONNECTION_DEADLINE, talk));
                        }
                        // Out of file handles: others may be freed meanwhile.
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                }
                Some(_) = connections.join_next() => {}
                // The browser was closed before its last page.
                () = &mut gone => break,
                Some((visit, reply)) = arrivals.recv() => {
                    if let Some(what) = &last && visit.path == LAST_PAGE {
                        let _ = reply.send(http::response(what, &pages));
                        break;
                    }
                    let (what, enough) = answer(visit);
                    if enough && let Some(address) = address(self.port, LAST_PAGE) {
                        let _ = reply.send(http::response(&Reply::Continue(address), &pages));
                        last = Some(what);
                        gone.as_mut().reset(tokio::time::Instant::now() + FAREWELL);
                    } else {
                        let _ = reply.send(http::response(&what, &pages));
                    }
                }
            }
        }
        drop(self.listener);
        drop(arrivals);
        closing.cancel();
        let farewell = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
}

fn address(port: u16, path: &str) -> Option<Url> {
    Url::parse(&format!("http://127.0.0.1:{port}{path}")).ok()
}

type Arrival = (Visit, oneshot::Sender<Vec<u8>>);

async fn talk(
    mut stream: TcpStream,
    host: String,
    visits: mpsc::Sender<Arrival>,
    closing: CancellationToken,
) {
    let mut received = Vec::with_capacity(2048);
    let response = loop {
        match http::read(&received, &host) {
            http::Read::More => {
                let mut chunk = [0u8; 2048];
                let read = tokio::select! {
                    read = stream.read(&mut chunk) => read,
                    // A spare connection that never asked for anything.
                    () = closing.cancelled() => return,
                };
                match read {
                    Ok(length) if length > 0 => received.extend_from_slice(&chunk[..length]),
                    _ => return,
                }
            }
            http::Read::Bad(status) => break http::refusal(status),
            http::Read::Visit(visit) => {
                let (reply, answer) = oneshot::channel();
                if visits.send((visit, reply)).await.is_err() {
                    return;
                }
                match answer.await {
                    Ok(response) => break response,
                    Err(_) => return,
                }
            }
        }
    };
    if stream.write_all(&response).await.is_ok() && stream.shutdown().await.is_ok() {
        // Closing with unread bytes would reset the connection and take the page with it.
        let mut rest = [0u8; 1024];
        while matches!(stream.read(&mut rest).await, Ok(length) if length > 0) {}
    }
}

#[cfg(test)]
mod tests;
