//! From what a person types to everything an organisation offers, and what its administrators
//! decided.
//!
//! It must not know how one signs in, chats or draws a window: it tells addresses and rules.
//!
//! ```text
//! "nathalie@saint-elme.example" ─▶ Address ─▶ discover ─▶ Document ─┐
//!                                                                   ▼
//!   Shelf (last good copy on disk) ◀──────── Following (refreshes, ETag) ──▶ watch<Current>
//!
//!   nothing ─▶ fresh ⇄ stale(problem)        a bad answer never replaces a good copy
//!
//! /etc/cordee/policy.json … ─▶ Policy (domain, authorities, managed settings)
//! ```
//!
//! ```
//! let address = organisation::Address::parse("nathalie@saint-elme.example")?;
//! assert_eq!(address.domain(), "saint-elme.example");
//! # Ok::<(), organisation::DiscoverError>(())
//! ```
//!
//! # Invariants
//! - Everything read here comes from outside: an error names its place, and nothing panics.
//! - Only https, only the domain that was typed and names below it, only so many bytes, only so
//!   many seconds.
//! - A document in use was valid when it was read; a bad one is shown, not used.
//! - The document holds no secret and nothing personal, so its copy on disk is not encrypted.

pub mod lint;

mod address;
mod discover;
mod document;
mod fallback;
mod following;
mod policy;
mod shelf;
mod view;

pub use address::Address;
pub use discover::{DiscoverError, Found, Source, discover};
pub use document::{
    Chat, ConnectivityCheck, Document, DocumentError, Expected, Identity, LARGEST, Managed, Place,
    SecondFactor, ServiceEntry, VERSION,
};
pub use following::{Current, Following};
pub use policy::{Policy, PolicyError, PolicyPlaces};
pub use shelf::{Shelf, ShelfError};
pub use view::{Organisation, SignIn};
