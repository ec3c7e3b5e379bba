//! A connection to a destination, through the tunnel or past it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes to and from a destination. `shutdown` closes our direction only.
pub struct Stream(pub(crate) Way);

pub(crate) enum Way {
    Tunnel(netstack::TcpStream),
    System(tokio::net::TcpStream),
}

impl Stream {
    /// Whether the connection goes through the tunnel.
    pub const fn is_inside_tunnel(&self) -> bool {
        matches!(self.0, Way::Tunnel(_))
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("inside_tunnel", &self.is_inside_tunnel())
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Way::Tunnel(stream) => Pin::new(stream).poll_read(cx, buffer),
            Way::System(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Way::Tunnel(stream) => Pin::new(stream).poll_write(cx, bytes),
            Way::System(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Way::Tunnel(stream) => Pin::new(stream).poll_flush(cx),
            Way::System(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Way::Tunnel(stream) => Pin::new(stream).poll_shutdown(cx),
            Way::System(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
