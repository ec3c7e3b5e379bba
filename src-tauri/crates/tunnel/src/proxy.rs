//! The local port for programs that can't take streams directly: SOCKS5 and HTTP on one port, and
//! forwards of single ports.
//!
//! The first byte tells the protocols apart: SOCKS begins with 5, HTTP with a letter. Who may use
//! the port is decided before anything is opened: by password, or by asking the system which
//! process holds the other end (webviews can't give a password, see [`Access`]).

mod access;
mod http;
mod relay;
mod socks;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::dialer::Dialer;
use crate::policy::Host;
use relay::relay;

pub use access::{Access, Credentials};
pub use http::{Head, HeadError, Method};
pub use socks::{Greeting, SocksError};

/// Most connections that are being let in at a time. They have said nothing yet, so they are few.
const ENTERING: usize = 128;
/// Most connections that carry data at a time.
const CARRYING: usize = 2048;
/// Longest time until a client has said what it wants.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// Pause after the system could not accept a connection (too many files open).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves SOCKS5, HTTP CONNECT and absolute-form HTTP on one listener until dropped.
pub async fn serve(dialer: Dialer, access: Access, listener: TcpListener) {
    let shared = Arc::new(Shared::new(dialer, access));
    accept(listener, &shared, |shared, client| async move {
        front(&shared, client).await;
    })
    .await;
}

/// Joins each connection of `listener` with `host`:`port` as the policy says, until dropped. Only
/// this program and its descendants may use it: there is no place for a password.
pub async fn forward(dialer: Dialer, access: Access, listener: TcpListener, host: Host, port: u16) {
    let shared = Arc::new(Shared::new(dialer, access));
    let target = Arc::new(host);
    accept(listener, &shared, |shared, client| {
        let target = target.clone();
        async move {
            if !shared.access.is_ours(&client).await {
                tracing::warn!("A foreign process tried a forward");
                return;
            }
            if let Ok(stream) = shared.dialer.connect(&target, port).await {
                shared.carry(client, stream).await;
            }
        }
    })
    .await;
}

struct Shared {
    dialer: Dialer,
    access: Access,
    entering: Arc<Semaphore>,
    carrying: Arc<Semaphore>,
}

impl Shared {
    fn new(dialer: Dialer, access: Access) -> Self {
        Self {
            dialer,
            access,
            entering: Arc::new(Semaphore::new(ENTERING)),
            carrying: Arc::new(Semaphore::new(CARRYING)),
        }
    }

    async fn carry(&self, client: TcpStream, stream: crate::Stream) {
        if let Ok(_place) = self.carrying.try_acquire() {
            relay(client, stream).await;
        } else {
            tracing::warn!(limit = CARRYING, "Too many connections");
        }
    }
}

/// Accepts while there is a place to enter; every connection is a task, and all end with this.
async fn accept<F>(
    listener: TcpListener,
    shared: &Arc<Shared>,
    each: impl Fn(Arc<Shared>, TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                let _ = client.set_nodelay(true);
                tasks.spawn(each(shared.clone(), client));
            }
            Err(error) => {
                tracing::warn!(kind = ?error.kind(), "The local port cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn front(shared: &Shared, mut client: TcpStream) {
    let Ok(entering) = shared.entering.clone().try_acquire_owned() else {
        return;
    };
    let mut first = [0];
    match timeout(REQUEST_DEADLINE, client.peek(&mut first)).await {
        Ok(Ok(1)) => {}
        _ => return,
    }
    let opened = if first == [socks::VERSION] {
        socks::enter(shared, &mut client, entering).await
    } else {
        http::enter(shared, &mut client, entering).await
    };
    match opened {
        Ok(Some(stream)) => shared.carry(client, stream).await,
        Ok(None) => {
            let _ = client.shutdown().await;
        }
        Err(error) => tracing::debug!(kind = ?error.kind(), "A client of the local port left"),
    }
}

/// Reads more bytes behind those in `buffer`, within the deadline of a request. The limit keeps a
/// client from making us remember more than a request can be.
async fn more(
    client: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    limit: usize,
) -> io::Result<()> {
    if buffer.len() >= limit {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let room = (limit - buffer.len()).min(4096) as u64;
    match timeout(REQUEST_DEADLINE, client.take(room).read_buf(buffer)).await {
        Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests;
