//! Every way out of this device: HTTP clients, trust, proxies, and the truth about the connection.
//!
//! It must not know what the services are for, who signs in, or what an organisation's document
//! looks like; it gets addresses and tells what is reachable.
//!
//! ```text
//!               ┌────────── Clients (api · single_step · streaming · matrix) ──────────┐
//! Trust ──live──┤                                                                      ├─▶ servers
//! system proxy ─┘                                                                      │
//!                                                                                      │
//! interface change ┐                                                                   │
//! wake-up          ├─▶ Reachability (core decides, actor acts) ── probes ──────────────┘
//! hint, retry now  ┘          │
//!                             └─▶ watch<Connection>
//!
//! a service:   checking ─▶ reachable ⇄ unreachable(reason) ⇄ wrongCertificate
//! the whole:   checking ─▶ connected ⇄ degraded ⇄ internetOnly ⇄ captivePortal ⇄ offline
//! ```
//!
//! ```
//! # fn main() -> Result<(), network::TrustError> {
//! network::install_crypto_provider();
//! let clients = network::Clients::new(&network::Trust::platform())?;
//! let request = clients.api().get("https://saint-elme.example/.well-known/cordee");
//! # drop(request); Ok(()) }
//! ```
//!
//! # Invariants
//! - Nothing else builds an HTTP client or a TLS configuration.
//! - No client accepts a certificate that the platform and the organisation do not vouch for.
//! - "Reachable" means that a probe, or a real request, came back through the whole path and
//!   answered as expected. Interface flags prove nothing.
//! - Logs hold classes of hosts and of failures, never names, paths or header values.

pub mod clock;
pub mod redact;

#[cfg(feature = "testing")]
pub mod testing;

mod clients;
mod connection;
mod failure;
mod names;
mod proxies;
mod reachability;
mod trust;
mod watched;

pub use clients::{CONNECT_DEADLINE, Clients, REQUEST_DEADLINE, SILENCE_DEADLINE};
pub use connection::{Connection, Overall, Service, ServiceKind, ServiceState, Unreachable};
pub use failure::Failure;
pub use names::is_this_machine;
pub use reachability::{Reachability, check_portal_page, check_service, is_captive_portal};
pub use trust::{Trust, TrustError, install_crypto_provider};
pub use watched::{Expect, PortalCheck, Watched};

/// The client type that [`Clients`] hands out, for crates that only pass it on.
pub use reqwest;
