//! What the measuring side asks of a client, one JSON line each, and what it answers.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// One echo over a new connection: seconds since the client's process began.
    First,
    /// `count` streams read for `seconds`.
    Down,
    /// `count` streams write for `seconds`; what the host counted.
    Up,
    /// `count` echoes of 32 bytes over one connection, one after the other.
    Latency,
    /// `count` connections with an echo each, all at once, then all open.
    Connections,
    /// Echoes all the time and a transfer each way now and then, for `seconds`.
    Soak,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    pub kind: Kind,
    pub to: String,
    pub count: usize,
    pub seconds: f64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    pub bytes: u64,
    pub seconds: f64,
    /// Seconds of the processor that the client's process used.
    pub cpu: f64,
    /// Resident bytes of the client's process at the end.
    pub memory: u64,
    /// The same after a minute, or when half of the time was over.
    pub memory_early: u64,
    pub failed: usize,
    /// Seconds.
    pub median: f64,
    /// Seconds.
    pub longest: f64,
}

/// What a client has to know about its tunnel. Keys in hexadecimal, as wireguard-go takes them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    pub private_key: String,
    pub gateway_key: String,
    /// `address:port`
    pub gateway: String,
    /// Ours inside.
    pub address: String,
}

/// What a client has to know to sign in to the AnyConnect server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignIn {
    pub port: u16,
    pub user: String,
}
