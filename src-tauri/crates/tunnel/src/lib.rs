//! Private network access without administrator rights.

mod carrier;
pub mod cstp;
mod dialer;
mod exchange;
mod peer;
mod policy;
mod probe;
mod profile;
pub mod proxy;
mod source;
mod state;
mod stream;
mod tls;
mod tunnel;
mod wireguard;

pub use carrier::websocket;
pub use carrier::{Carrier, Channel, Udp, source_towards};
pub use dialer::{CONNECT_DEADLINE, ConnectError, Dialer};
pub use policy::{BadHost, Host, Other, Policy, Refused, Route};
pub use probe::{Probe, UnderlayCheck};
pub use profile::{
    AnyConnectProfile, Forward, Mistake, ProbeProfile, Profile, ProfileError, SourceProfile,
    WireGuardProfile,
};
pub use source::{Ended, Health, Inside, Kick, PacketSource, Refusal};
pub use state::{State, Why};
pub use stream::Stream;
pub use tunnel::{Settings, Snapshot, Tunnel};
pub use wireguard::{Key, KeyError, WireGuard, WireGuardConfig};
