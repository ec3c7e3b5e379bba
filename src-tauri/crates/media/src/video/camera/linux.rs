//! Linux: `PipeWire` shares a camera between programs and works in sandboxes; without it, or where it knows no camera,
//! the kernel's devices are opened.

use super::{Camera, webcam};
use crate::video::pipewire::{PipeWireSource, Target, nodes};
use crate::video::source::{CaptureError, PictureFormat, VideoSource};

const PIPEWIRE: &str = "pipewire:";

pub(super) fn cameras() -> Result<Vec<Camera>, CaptureError> {
    let shared: Vec<_> = nodes()
        .unwrap_or_default()
        .into_iter()
        .map(|node| Camera {
            id: format!("{PIPEWIRE}{}", node.name),
            name: node.description,
        })
        .collect();
    if shared.is_empty() {
        webcam::cameras()
    } else {
        Ok(shared)
    }
}

pub(super) fn open(id: &str, wanted: PictureFormat) -> Result<Box<dyn VideoSource>, CaptureError> {
    let Some(node) = id.strip_prefix(PIPEWIRE) else {
        return webcam::open(id, wanted);
    };
    let target = Target::Camera {
        node: node.to_owned(),
    };
    Ok(Box::new(PipeWireSource::open(target, wanted)?))
}
