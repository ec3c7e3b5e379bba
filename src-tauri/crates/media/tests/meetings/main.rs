//! Real meetings on a real livekit-server: our peers with each other, and with a browser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// What was measured on the way.
#![allow(clippy::print_stdout)]

mod blocked;
mod browser;
mod encryption;
mod faults;
mod frozen;
mod hostile;
mod loss;
mod media;
mod namespace;
mod narrow;
mod place;
mod roaming;
mod server;
mod token;
mod wire;
