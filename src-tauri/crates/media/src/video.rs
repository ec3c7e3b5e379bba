//! Pictures, and VP8 by libvpx. Everything here runs on threads of its own, never on tokio.

mod decoding;
mod encoding;
mod pattern;
mod picture;
mod vpx;

pub use decoding::{Decoding, Shown};
pub use encoding::{Encoding, VideoSource};
pub use pattern::{PatternSource, read_counter};
pub use picture::Picture;
pub use vpx::{CodecError, Decoder, EncodedPicture, Encoder};
