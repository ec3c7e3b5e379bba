//! What a stack has to know before its first packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Smallest packet size that a stack works with: what every IPv4 host has to accept (RFC 791 §3.1).
/// IPv6 promises 1280 (RFC 8200 §5), but a tunnel in a tunnel may offer less.
pub const MTU_MIN: usize = 576;

/// Largest packet size: the length field of IPv4 holds no more.
pub const MTU_MAX: usize = 65_535;

/// Addresses, resolvers and limits of one stack.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our IPv4 address inside the tunnel.
    pub v4: Option<Ipv4Addr>,
    /// Our IPv6 address inside the tunnel.
    pub v6: Option<Ipv6Addr>,
    /// Largest IP packet in bytes, headers included. Changed later by [`crate::Netstack::set_mtu`].
    pub mtu: usize,
    /// Resolvers inside the tunnel, asked on port 53.
    pub dns: Vec<IpAddr>,
    /// Domains that complete a name of one label, in this order.
    pub search: Vec<String>,
    /// Most bytes that one connection keeps for a reader that does not read. Memory is taken only
    /// for what has arrived; the window starts at a quarter of a mebibyte and grows with the reader.
    pub receive_buffer: usize,
    /// Most bytes that one connection takes from a writer before they are acknowledged. Grows from
    /// 64 KiB with the congestion window; memory is taken only for what was written.
    pub send_buffer: usize,
    /// Packets that may wait for the tunnel before connections are held back.
    pub outbox: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            v4: None,
            v6: None,
            mtu: 1420,
            dns: Vec::new(),
            search: Vec::new(),
            receive_buffer: 4 << 20,
            send_buffer: 4 << 20,
            outbox: 512,
        }
    }
}
