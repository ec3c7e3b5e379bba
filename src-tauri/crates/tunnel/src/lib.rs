//! Private network access without administrator rights: the organisation's network inside this
//! process, and the truth about it.
//!
//! Packets of `WireGuard` or AnyConnect end in a network stack of our own (`netstack`), so there is
//! no driver, no route and no service of the system. Our own code takes streams; webviews and
//! other programs come through a local port that only they may use.
//!
//! It must not know Tauri, any feature, where a profile comes from, or which certificates are
//! trusted: TLS configurations are passed in.
//!
//! ```text
//!  Tunnel::connect ─┐                                                  ┌─ WireGuard ─ Carrier (UDP, WebSocket)
//!  proxy::serve ────┤─▶ Dialer ─ Policy ─▶ netstack ◀── Link ── PacketSource
//!  proxy::forward ──┘        └─▶ system, past the tunnel               └─ AnyConnect (TLS)
//!                                    ▲
//!            probes, kicks, clock ───┴─── Core (one file per state) ──▶ watch<Snapshot>
//!
//!  down ─▶ connecting ─▶ verifying ─▶ up ⇄ degraded        blocked: no network, portal, refusal, impostor
//! ```
//!
//! ```no_run
//! # async fn example(tls: std::sync::Arc<rustls::ClientConfig>) -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use tunnel::{Probe, Profile, Settings, SourceProfile, State, Tunnel};
//!
//! let profile = Profile::read("profile.toml".as_ref())?;
//! let SourceProfile::WireGuard(wireguard) = &profile.source else { return Ok(()) };
//! let tunnel = Tunnel::start(Settings {
//!     source: Arc::new(wireguard.source(None)?),
//!     policy: profile.policy.clone(),
//!     probe: Probe {
//!         tls,
//!         host: profile.probe.host.clone(),
//!         port: profile.probe.port,
//!         path: profile.probe.path.clone(),
//!         expect: profile.probe.expect.clone(),
//!         every: profile.probe.every,
//!     },
//!     underlay: profile.underlay.clone(),
//!     coexist: profile.coexist,
//!     netstack: netstack::Config::default(),
//! });
//! tunnel.states().wait_for(|now| now.state == State::Up).await?;
//! let stream = tunnel.connect(&"intra.corp.example".parse()?, 443).await?;
//! # drop(stream); Ok(()) }
//! ```
//!
//! # Invariants
//! - "Up" is said only after an answer came back through the tunnel, over TLS with the pinned
//!   authority, and after the size of packets was measured.
//! - Every state has a way back that needs nobody, except "stopped" and a refusal by the gateway.
//! - Names inside are asked inside only, other names by the system only; a name may not lead out of
//!   the organisation's networks, nor a name outside into them or to this device.
//! - The local port answers no process but ours and those that know the password.
//! - Bytes from outside never panic and never make memory grow without bound.
//! - Logs hold no names, addresses, keys or passwords.

mod carrier;
pub mod cstp;
mod dialer;
mod exchange;
mod peer;
mod policy;
mod probe;
mod profile;
pub mod proxy;
mod screen;
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
