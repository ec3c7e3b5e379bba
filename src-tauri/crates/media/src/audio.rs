//! Sound: Opus both ways, and what stands between packets that come when they like and a loudspeaker that does not
//! wait.

mod jitter;
mod mixer;
mod tone;

pub use jitter::{JitterBuffer, Playout};
pub use mixer::Mixer;
pub use tone::ToneSource;
