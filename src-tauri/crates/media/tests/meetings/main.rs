//! Real meetings on a real livekit-server: our peers with each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod encryption;
mod faults;
mod media;
mod place;
