//! Private network access without administrator rights.

mod carrier;
mod source;
mod wireguard;

pub use carrier::{Carrier, Channel, Udp, source_towards};
pub use source::{Ended, Health, Inside, Kick, PacketSource, Refusal};
pub use wireguard::{Key, WireGuard, WireGuardConfig};
