//! Windows and macOS: Media Foundation and `AVFoundation`.

use super::{Camera, webcam};
use crate::video::source::{CaptureError, PictureFormat, VideoSource};

pub(super) fn cameras() -> Result<Vec<Camera>, CaptureError> {
    webcam::cameras()
}

pub(super) fn open(id: &str, wanted: PictureFormat) -> Result<Box<dyn VideoSource>, CaptureError> {
    webcam::open(id, wanted)
}
