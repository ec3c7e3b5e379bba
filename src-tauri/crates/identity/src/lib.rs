//! Who the person is: sign-in, tokens, and the operating system's keyring.
//!
//! It knows the organisation's sign-in service (OpenID Connect) and the keyring. It must not know
//! Tauri, Matrix, or anything about what the tokens are used for: a second service that the same
//! browser trip signs in to is only an address to visit and parameters that come back.
//!
//! ```text
//!   SignIn::begin ─► Preparing ─► Browser ─► Completing ─► Session ─► sign_out
//!                                                           ▲  │
//!              Session::remembered ─► resume ───────────────┘  ├─► Valid ⇄ Offline
//!                       ▲                                      └─► Revoked (sign in again)
//!                       │
//!                     Vault: Open ⇄ Locked, Missing
//! ```
//!
//! ```no_run
//! # async fn start(clients: network::Clients) -> Result<(), identity::VaultError> {
//! use std::sync::Arc;
//! use identity::{Session, SystemClock, Vault};
//!
//! let vault = Vault::open("app.cordee").await?;
//! if let Some(remembered) = Session::remembered(&vault).await? {
//!     let session = remembered.resume(clients, vault, Arc::new(SystemClock));
//!     let token = session.access_token().await;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! - Only [`Vault`] opens the keyring, from one thread, one call after another.
//! - A locked keyring is never mistaken for an empty one; only signing out deletes from it.
//! - A new refresh token is in the keyring before anybody gets the access token that came with it,
//!   and at most one renewal is under way.
//! - An answer from the browser is believed only with this attempt's `state`, a token only with
//!   this attempt's `nonce` and the service's signature.
//! - Tokens and keys are wiped from memory, and no log or `Debug` shows them, or who signed in.

mod clock;
mod error;
mod loopback;
mod oidc;
mod random;
mod secret;
mod session;
mod sign_in;
mod vault;

#[cfg(test)]
mod double;
#[cfg(test)]
mod workplace_tests;

pub use clock::{Clock, SystemClock};
pub use error::SignInError;
pub use loopback::{Page, Pages};
pub use oidc::claims::Claims;
pub use secret::Secret;
pub use session::{Remembered, Session, SessionState, SignOut, TokenError};
pub use sign_in::{
    Attempt, BrowserUnavailable, Control, OpenBrowser, Phase, SecondLeg, SignIn, SignedIn,
};
pub use vault::{Vault, VaultError};
