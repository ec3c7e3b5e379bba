//! TCP connections.
//!
//! ```text
//!   TcpStream ── Flow ── Connection ─┬─ Sender ── Rope, Scoreboard (RACK), Rtt, Cubic, Prr, Pacer
//!   (tokio)    (lock,   (protocol,   └─ Receiver ── Reassembly
//!              task)    no I/O, no clock)
//! ```

mod arrive;
mod connection;
mod cubic;
mod depart;
mod facts;
mod flow;
mod pacer;
mod prr;
mod reassembly;
mod receiver;
mod rope;
mod rtt;
mod scoreboard;
mod segment;
mod sender;
mod sequence;
mod stream;
mod time;

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod simulation;
#[cfg(test)]
pub mod testing;

pub use flow::Flow;
pub use stream::{ConnectError, TcpStream, connect};
pub use time::Time;
