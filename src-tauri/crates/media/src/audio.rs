//! Sound: Opus both ways, and what stands between packets that come when they like and a loudspeaker that does not
//! wait.

mod jitter;
mod listening;
mod mixer;
mod tone;

pub use jitter::{JitterBuffer, JitterCounts, Playout};
pub use listening::Listening;
pub use mixer::Mixer;
pub use tone::ToneSource;
