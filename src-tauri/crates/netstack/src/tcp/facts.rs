//! What a connection remembers beside its two halves.

use super::time::Time;

/// What both sides agreed on in their SYNs.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Added to the clock, so that it tells nothing about ours (RFC 7323 §5.4).
    pub clock_offset: u32,
    pub timestamps: bool,
    pub sack: bool,
    /// Shift of the windows we receive, and of those we send.
    pub their_scale: u8,
    pub our_scale: u8,
    pub their_mss: usize,
    /// The other side's clock that we echo, and when it was set (RFC 7323 §4.3).
    pub recent: u32,
    pub recent_at: Time,
    /// What we last acknowledged, which decides whose clock is echoed.
    pub last_acknowledged: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct Handshake {
    pub sent_at: Option<Time>,
    pub times: u32,
    pub again_at: Option<Time>,
}

/// Whether the other side is still there (RFC 9293 §3.8.4).
#[derive(Debug, Clone, Copy)]
pub struct Liveness {
    pub heard_at: Time,
    pub probes: u32,
    pub probe_at: Time,
}

/// Answers to segments that could be forged (RFC 5961 §10).
#[derive(Debug, Clone, Copy)]
pub struct Challenges {
    pub since: Time,
    pub count: u32,
}

/// The numbers of a RST that has to go out.
#[derive(Debug, Clone, Copy)]
pub struct Reset {
    pub sequence: u32,
    pub acknowledgement: Option<u32>,
}
