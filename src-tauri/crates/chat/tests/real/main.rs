//! Two and more real clients, a real Synapse. One binary, because linking takes longer than most tests.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![recursion_limit = "512"]

mod common;
mod conversation;
#[cfg(target_os = "linux")]
mod cut;
mod damage;
#[cfg(target_os = "linux")]
mod disk;
mod early;
mod hostile;
mod invitations;
mod keys;
mod killed;
mod offline;
