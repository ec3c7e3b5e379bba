//! The tunnel against a real gateway, by a client without rights, on a network that goes wrong on purpose.
//!
//! ```text
//!   test (any user)                      the small network (workplace::gateway)
//!   ┌───────────────┐  starts, JSON lines  ┌─────────────┐  line with faults  ┌─────────┐
//!   │ Lab, Client   │ ───────────────────▶ │ lab-client  │ ─────────────────▶ │ gateway │──▶ inside
//!   └───────────────┘ ◀─ states, answers ─ │ uid nobody  │                    └─────────┘
//!                                          └─────────────┘
//! ```
//!
//! [`client`] is what runs in there, [`lab`] is what a test holds. It must not know how the tunnel does what it does:
//! it sees states, bytes and refusals.
//!
//! ```no_run
//! # fn example() -> anyhow::Result<()> {
//! let lab = network_tests::lab::Lab::shared();
//! let mut client = lab.client_in_use()?;
//! client.touch()?;
//! # Ok(()) }
//! ```

#![cfg(target_os = "linux")]

pub mod client;
pub mod lab;
