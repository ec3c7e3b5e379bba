//! The crate `cameras`: V4L2, Media Foundation and `AVFoundation` behind one interface, with pictures as the camera gives
//! them. Of its peers `media-device` knows no Linux, and `nokhwa` has been waiting for its next version since 2024.

use cameras::{Device, Error, FormatDescriptor, Frame, PixelFormat as Given, StreamConfig};

use super::Camera;
use crate::video::Picture;
use crate::video::conversion::{PixelFormat, Plane, Raw};
use crate::video::source::{CaptureError, PictureFormat, VideoSource, WAIT};

/// Not one picture was readable for so long.
const MOST_BROKEN: u32 = 50;
/// What the kernel says of a device that another program has opened, at the end of the message: `EBUSY`.
const TAKEN: &str = "(os error 16)";

pub(super) fn cameras() -> Result<Vec<Camera>, CaptureError> {
    let devices = cameras::devices().map_err(|error| trouble(&error))?;
    let camera = |device: Device| Camera {
        id: device.id.0,
        name: device.name,
    };
    Ok(devices.into_iter().map(camera).collect())
}

pub(super) fn open(id: &str, wanted: PictureFormat) -> Result<Box<dyn VideoSource>, CaptureError> {
    let devices = cameras::devices().map_err(|error| trouble(&error))?;
    let device = devices.iter().find(|device| device.id.0 == id);
    let device = device.ok_or(CaptureError::Missing)?;
    let able = cameras::probe(device).map_err(|error| trouble(&error))?;
    let best = nearest(&able.formats, wanted).ok_or(CaptureError::Format)?;
    let config = StreamConfig {
        resolution: best.resolution,
        framerate: wanted.rate,
        pixel_format: best.pixel_format,
    };
    let camera = cameras::open(device, config).map_err(|error| trouble(&error))?;
    Ok(Box::new(Webcam { camera, broken: 0 }))
}

struct Webcam {
    camera: cameras::Camera,
    broken: u32,
}

impl VideoSource for Webcam {
    fn next(&mut self) -> Result<Option<Picture>, CaptureError> {
        match cameras::next_frame(&self.camera, WAIT) {
            Ok(frame) => self.read(&frame),
            Err(Error::Timeout) => Ok(None),
            Err(error) => Err(match trouble(&error) {
                CaptureError::Missing => CaptureError::Gone,
                other => other,
            }),
        }
    }
}

impl Webcam {
    fn read(&mut self, frame: &Frame) -> Result<Option<Picture>, CaptureError> {
        let picture = picture(frame);
        // One broken picture is nothing; cheap cameras give some after the start.
        self.broken = if picture.is_some() {
            0
        } else {
            self.broken + 1
        };
        if self.broken > MOST_BROKEN {
            return Err(CaptureError::Format);
        }
        Ok(picture)
    }
}

fn picture(frame: &Frame) -> Option<Picture> {
    let stride = usize::try_from(frame.stride).ok()?;
    let plane = |bytes| Plane { bytes, stride };
    let mut planes = vec![plane(&frame.plane_primary[..])];
    if !frame.plane_secondary.is_empty() {
        planes.push(plane(&frame.plane_secondary[..]));
    }
    Raw {
        format: pixels(frame.pixel_format)?,
        width: usize::try_from(frame.width).ok()?,
        height: usize::try_from(frame.height).ok()?,
        planes: &planes,
    }
    .to_picture()
}

fn pixels(given: Given) -> Option<PixelFormat> {
    match given {
        Given::Bgra8 => Some(PixelFormat::Bgrx),
        Given::Rgba8 => Some(PixelFormat::Rgbx),
        Given::Rgb8 => Some(PixelFormat::Rgb),
        Given::Yuyv => Some(PixelFormat::Yuyv),
        Given::Nv12 => Some(PixelFormat::Nv12),
        Given::Mjpeg => Some(PixelFormat::Jpeg),
        _ => None,
    }
}

/// As many pictures per second as wished for come first, then the size, then formats that need no decoding.
fn nearest(formats: &[FormatDescriptor], wanted: PictureFormat) -> Option<&FormatDescriptor> {
    let usable = formats.iter().filter(|f| pixels(f.pixel_format).is_some());
    usable.min_by_key(|format| {
        let slow = format.framerate_range.max + 1.0 < f64::from(wanted.rate);
        let (width, height) = (format.resolution.width, format.resolution.height);
        let size = width.abs_diff(wanted.width) + height.abs_diff(wanted.height);
        (slow, size, format.pixel_format == Given::Mjpeg)
    })
}

fn trouble(error: &Error) -> CaptureError {
    match error {
        Error::PermissionDenied => CaptureError::Refused,
        Error::DeviceInUse => CaptureError::Busy,
        Error::DeviceNotFound(_) => CaptureError::Missing,
        Error::FormatNotSupported | Error::MjpegDecode(_) => CaptureError::Format,
        Error::Backend { message, .. } if message.ends_with(TAKEN) => CaptureError::Busy,
        // A device that was pulled out answers with whatever its driver has left to say.
        _ => CaptureError::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_told_apart() {
        let busy = std::io::Error::from_raw_os_error(16).to_string();
        let backend = |message: &str| Error::Backend {
            platform: "linux",
            message: message.to_owned(),
        };
        for (error, expected) in [
            (Error::DeviceInUse, CaptureError::Busy),
            (backend(&busy), CaptureError::Busy),
            (backend("No such device (os error 19)"), CaptureError::Gone),
            (Error::PermissionDenied, CaptureError::Refused),
            (Error::StreamEnded, CaptureError::Gone),
        ] {
            assert_eq!(trouble(&error), expected);
        }
    }
}
