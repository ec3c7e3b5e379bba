//! What is said to the organisation's sign-in service (OpenID Connect Core 1.0, RFC 6749, 7636,
//! 7009, 9207). One file per exchange; nothing here remembers anything.
//!
//! Metadata of real services is incomplete (`LemonLDAP::NG` 2.16 lists neither `none` as client
//! authentication nor `refresh_token` as grant, though both work), so only what is needed is read,
//! and S256 is always sent.

pub mod authorization;
pub mod claims;
pub mod discovery;
pub mod id_token;
pub mod tokens;
mod wire;
