//! The formats that we take from `PipeWire`, in its own notation.

use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::{FormatProperties, MediaSubtype, MediaType};
use pipewire::spa::param::format_utils::parse_format;
use pipewire::spa::param::video::{VideoFormat, VideoInfoRaw};
use pipewire::spa::pod::serialize::PodSerializer;
use pipewire::spa::pod::{Object, Pod, Value, object, property};
use pipewire::spa::utils::{Fraction, Rectangle, SpaTypes};

use crate::video::conversion::PixelFormat;
use crate::video::source::PictureFormat;

/// What was agreed on.
#[derive(Clone, Copy)]
pub(super) struct Format {
    pub pixels: PixelFormat,
    pub width: usize,
    pub height: usize,
}

/// Reads it; `None` for what was not offered.
pub(super) fn agreed(param: &Pod) -> Option<Format> {
    let (kind, subtype) = parse_format(param).ok()?;
    if kind != MediaType::Video {
        return None;
    }
    if subtype == MediaSubtype::Mjpg {
        return Some(Format {
            pixels: PixelFormat::Jpeg,
            width: 0,
            height: 0,
        });
    }
    let mut raw = VideoInfoRaw::new();
    raw.parse(param).ok()?;
    let pixels = match raw.format() {
        VideoFormat::I420 => PixelFormat::I420,
        VideoFormat::NV12 => PixelFormat::Nv12,
        VideoFormat::YUY2 => PixelFormat::Yuyv,
        VideoFormat::BGRx | VideoFormat::BGRA => PixelFormat::Bgrx,
        VideoFormat::RGBx | VideoFormat::RGBA => PixelFormat::Rgbx,
        VideoFormat::RGB => PixelFormat::Rgb,
        VideoFormat::BGR => PixelFormat::Bgr,
        _ => return None,
    };
    Some(Format {
        pixels,
        width: usize::try_from(raw.size().width).ok()?,
        height: usize::try_from(raw.size().height).ok()?,
    })
}

/// What we take, the best first, as the server wants to read it.
pub(super) fn offer(wanted: PictureFormat) -> Vec<Vec<u8>> {
    let raw = object!(
        SpaTypes::ObjectParamFormat,
        ParamType::EnumFormat,
        property!(FormatProperties::MediaType, Id, MediaType::Video),
        property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Raw),
        property!(
            FormatProperties::VideoFormat,
            Choice,
            Enum,
            Id,
            VideoFormat::I420,
            VideoFormat::I420,
            VideoFormat::NV12,
            VideoFormat::YUY2,
            VideoFormat::BGRx,
            VideoFormat::BGRA,
            VideoFormat::RGBx,
            VideoFormat::RGBA,
            VideoFormat::RGB,
            VideoFormat::BGR
        ),
    );
    let jpeg = object!(
        SpaTypes::ObjectParamFormat,
        ParamType::EnumFormat,
        property!(FormatProperties::MediaType, Id, MediaType::Video),
        property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Mjpg),
    );
    [raw, jpeg]
        .into_iter()
        .filter_map(|object| sized(object, wanted))
        .collect()
}

fn sized(mut object: Object, wanted: PictureFormat) -> Option<Vec<u8>> {
    object.properties.push(property!(
        FormatProperties::VideoSize,
        Choice,
        Range,
        Rectangle,
        Rectangle {
            width: wanted.width,
            height: wanted.height
        },
        Rectangle {
            width: 2,
            height: 2
        },
        Rectangle {
            width: 8192,
            height: 8192
        }
    ));
    object.properties.push(property!(
        FormatProperties::VideoFramerate,
        Choice,
        Range,
        Fraction,
        Fraction {
            num: wanted.rate,
            denom: 1
        },
        // Screens give pictures when something moves.
        Fraction { num: 0, denom: 1 },
        Fraction { num: 60, denom: 1 }
    ));
    let bytes = std::io::Cursor::new(Vec::new());
    let (bytes, _) = PodSerializer::serialize(bytes, &Value::Object(object)).ok()?;
    Some(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_is_something_that_the_server_can_read() {
        let offer = offer(PictureFormat::default());
        assert_eq!(offer.len(), 2);
        assert!(offer.iter().all(|pod| Pod::from_bytes(pod).is_some()));
    }
}
