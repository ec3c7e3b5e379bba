//! Which process holds the other end of a connection on this device?
//!
//! Asked for programs that cannot give a password (webviews). The answer comes from the tables of
//! the system, so a process cannot claim it; but a debugger of the same person can make one of
//! ours connect, and a helper in another process namespace is not recognised.

#[cfg(target_os = "linux")]
#[path = "peer/linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "peer/macos.rs"]
mod system;
#[cfg(windows)]
#[path = "peer/windows.rs"]
mod system;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod system {
    /// On a system that we do not know, nobody is ours.
    pub(super) fn is_held_by_family(_: super::SocketAddr, _: super::SocketAddr, _: u32) -> bool {
        false
    }
}
#[cfg(any(target_os = "macos", windows))]
mod tables;

use std::net::SocketAddr;

/// Is the end `peer` of the connection `peer` → `local` held by the process `root` or one of its
/// descendants, of the same user? Blocks for some milliseconds. Anything that can't be told is
/// "no".
pub(crate) fn is_held_by_family(peer: SocketAddr, local: SocketAddr, root: u32) -> bool {
    // A connection from elsewhere has no owner here, whatever the tables say about its numbers.
    peer.ip().to_canonical().is_loopback() && system::is_held_by_family(peer, local, root)
}

/// Goes from a process up to `root`, at most this far.
const DEEPEST: usize = 64;

/// Is `process` `root` itself or below it, by the parents that `parent_of` knows?
fn descends_from(process: u32, root: u32, parent_of: impl Fn(u32) -> Option<u32>) -> bool {
    let mut at = Some(process);
    for _ in 0..DEEPEST {
        match at {
            Some(id) if id == root => return true,
            Some(id) if id > 1 => at = parent_of(id),
            _ => return false,
        }
    }
    false
}

#[cfg(all(test, unix))]
mod tests;
