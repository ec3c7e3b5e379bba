//! Pictures: where they come from, and VP8 by libvpx. Everything here runs on threads of its own, never on tokio.

mod camera;
mod conversion;
mod decoding;
mod encoding;
mod file;
mod pattern;
mod picture;
#[cfg(target_os = "linux")]
mod pipewire;
#[cfg(target_os = "linux")]
mod portal;
mod scaling;
mod screen;
mod source;
mod vpx;
#[cfg(target_os = "linux")]
mod x11;

pub use camera::{Camera, cameras, open_camera};
pub use decoding::{Decoding, Shown};
pub use encoding::Encoding;
pub use file::FileSource;
pub use pattern::{PatternSource, read_counter};
pub use picture::Picture;
pub use screen::{Screen, ScreenKind, open_screen, screens};
pub use source::{CaptureError, PictureFormat, VideoSource};
pub use vpx::{CodecError, Decoder, EncodedPicture, Encoder};
