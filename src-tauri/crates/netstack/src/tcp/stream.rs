//! A connection as tokio sees it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Connection, End, Limits};
use super::flow::Flow;
use crate::stack::Shared;

/// Why a connection did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The tunnel has no address of the family that was asked for.
    #[error("the tunnel has no address of that family")]
    NoAddress,
    /// All local ports are in use.
    #[error("no local port is left")]
    NoPort,
    /// Nobody listens there: the other side said so.
    #[error("the connection was refused")]
    Refused,
    /// A router said that there is no way.
    #[error("the destination is unreachable")]
    Unreachable,
    /// No answer to the first packet and its repetitions.
    #[error("no answer")]
    TimedOut,
    /// The stack was closed.
    #[error("the tunnel was closed")]
    Closed,
}

impl From<ConnectError> for io::Error {
    fn from(why: ConnectError) -> Self {
        let kind = match why {
            ConnectError::NoAddress => io::ErrorKind::AddrNotAvailable,
            ConnectError::NoPort => io::ErrorKind::AddrInUse,
            ConnectError::Refused => io::ErrorKind::ConnectionRefused,
            ConnectError::Unreachable => io::ErrorKind::HostUnreachable,
            ConnectError::TimedOut => io::ErrorKind::TimedOut,
            ConnectError::Closed => io::ErrorKind::NotConnected,
        };
        Self::new(kind, why)
    }
}

/// An open connection.
///
/// Shutting it down sends what was written and then a FIN; the other direction stays open.
/// Dropping it does the same, or resets the connection when there are bytes that were not read.
/// Errors: `ConnectionReset` by the other side, `TimedOut` when it stopped answering (five minutes),
/// `ConnectionAborted` when the stack was closed.
pub struct TcpStream {
    flow: Arc<Flow>,
    shared: Arc<Shared>,
    ours: SocketAddr,
    theirs: SocketAddr,
}

/// Opens a connection and starts its task, which ends with the connection.
pub async fn connect(shared: &Arc<Shared>, to: SocketAddr) -> Result<TcpStream, ConnectError> {
    if shared.is_closed() {
        return Err(ConnectError::Closed);
    }
    let from = shared.source_for(to.ip()).ok_or(ConnectError::NoAddress)?;
    let limits = Limits {
        mtu: shared.mtu_to(to.ip()),
        receive: shared.config.receive_buffer,
        send: shared.config.send_buffer,
    };
    let now = shared.now();
    let flow = shared
        .tcp
        .claim(|port| {
            let ours = SocketAddr::new(from, port);
            let connection =
                Connection::connect(ours, to, limits, rand::random(), rand::random(), now);
            let flow = Arc::new(Flow::new(connection, port));
            (Arc::clone(&flow), flow)
        })
        .ok_or(ConnectError::NoPort)?;
    let ours = flow.lock().connection.ours();
    tokio::spawn(Arc::clone(&flow).serve(Arc::clone(shared)));
    // From here on dropping the future ends the attempt.
    let stream = TcpStream {
        flow,
        shared: Arc::clone(shared),
        ours,
        theirs: to,
    };
    std::future::poll_fn(|context| stream.poll_open(context)).await?;
    Ok(stream)
}

impl TcpStream {
    /// Our end, inside the tunnel.
    pub fn local_addr(&self) -> SocketAddr {
        self.ours
    }

    pub fn peer_addr(&self) -> SocketAddr {
        self.theirs
    }

    fn poll_open(&self, context: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        let mut inner = self.flow.lock();
        if inner.connection.is_opening() {
            inner.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        if inner.connection.is_open() {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(match inner.connection.end() {
            Some(End::Refused | End::Reset) => ConnectError::Refused,
            Some(End::Unreachable) => ConnectError::Unreachable,
            Some(End::TimedOut) => ConnectError::TimedOut,
            Some(End::Aborted) | None => ConnectError::Closed,
        }))
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.flow.lock();
        if !inner.connection.is_readable() {
            inner.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let now = self.shared.now();
        let count = inner
            .connection
            .read(buffer.initialize_unfilled(), now)
            .map_err(failure)?;
        buffer.advance(count);
        // The window may be worth telling about.
        if inner.connection.owes(now) {
            self.flow.poll(&mut inner, &self.shared);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.flow.lock();
        let count = inner.connection.write(bytes).map_err(|end| match end {
            End::Aborted if inner.connection.is_open() => io::ErrorKind::BrokenPipe.into(),
            end => failure(end),
        })?;
        if count == 0 && !bytes.is_empty() {
            inner.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        self.flow.poll(&mut inner, &self.shared);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written is on its way already.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.flow.lock();
        inner.connection.close();
        self.flow.poll(&mut inner, &self.shared);
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let mut inner = self.flow.lock();
        inner.connection.abandon(self.shared.now());
        self.flow.poll(&mut inner, &self.shared);
    }
}

fn failure(end: End) -> io::Error {
    match end {
        End::Refused => io::ErrorKind::ConnectionRefused,
        End::Reset => io::ErrorKind::ConnectionReset,
        End::TimedOut => io::ErrorKind::TimedOut,
        End::Unreachable => io::ErrorKind::HostUnreachable,
        End::Aborted => io::ErrorKind::ConnectionAborted,
    }
    .into()
}
