//! Sound: Opus both ways, what stands between packets that come when they like and a loudspeaker that does not wait,
//! and this computer's devices.

mod devices;
mod encoding;
mod host;
mod jitter;
mod level;
mod listening;
mod looking;
mod microphone;
mod mixer;
mod ports;
mod processing;
mod resampling;
mod sound;
mod speaker;
mod tone;
mod voices;

pub use devices::{Because, DeviceKind, SoundDevice, SoundDevices, SoundEvent, Trouble};
pub use jitter::{JitterBuffer, JitterCounts, Playout, Skip};
pub use level::level;
pub use listening::Listening;
pub use mixer::Mixer;
pub use processing::Processing;
pub use sound::{LoopTest, Sound, SoundChoice, SoundEvents};
pub use tone::{ToneSource, tone_share};
pub use voices::Voices;
