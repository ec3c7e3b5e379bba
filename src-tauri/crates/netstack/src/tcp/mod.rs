//! TCP connections.

mod flow;
mod segment;

pub use flow::{Flow, TcpStream, connect};

use std::io;

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
