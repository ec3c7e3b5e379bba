//! Microphones, loudspeakers, cameras and screens of a computer that exists only for the test: a sound and video server
//! of its own, with devices made of software, and the same capture code as with real ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]
// A stage is what it is, also where a question does not need to know which.
#![allow(clippy::unused_self)]
// What was measured on the way.
#![allow(clippy::print_stdout)]

mod camera;
mod meeting;
#[allow(dead_code)] // for the meetings without devices
#[path = "../meetings/place.rs"]
mod place;
mod portal;
mod screen;
mod sound;
mod stage;
