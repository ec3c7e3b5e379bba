//! Kind and size of a picture from its first bytes, without decoding it.

/// The kinds of pictures that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Png,
    Jpeg,
    Gif,
    Webp,
}

impl Kind {
    pub(crate) fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }
}

/// What the bytes are, whatever they are called.
pub(crate) fn kind(bytes: &[u8]) -> Option<Kind> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(Kind::Png)
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some(Kind::Jpeg)
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Some(Kind::Gif)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(Kind::Webp)
    } else {
        None
    }
}

/// Width and height in pixels.
pub(crate) fn size(kind: Kind, bytes: &[u8]) -> Option<(u32, u32)> {
    match kind {
        // RFC 2083 §11.2.1: IHDR comes first.
        Kind::Png => (bytes.get(12..16)? == b"IHDR")
            .then_some(())
            .and_then(|()| Some((big32(bytes, 16)?, big32(bytes, 20)?))),
        Kind::Gif => Some((little16(bytes, 6)?, little16(bytes, 8)?)),
        Kind::Jpeg => jpeg(bytes),
        Kind::Webp => webp(bytes),
    }
    .filter(|(width, height)| *width > 0 && *height > 0)
}

/// Walks the segments to the frame header (ITU-T T.81 §B.2.2).
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        while *bytes.get(at)? != 0xff {
            at += 1;
        }
        while *bytes.get(at)? == 0xff {
            at += 1;
        }
        let marker = *bytes.get(at)?;
        at += 1;
        match marker {
            0x01 | 0xd0..=0xd8 => {}
            0xd9 | 0xda => return None,
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Some((big16(bytes, at + 5)?, big16(bytes, at + 3)?));
            }
            _ => at += usize::try_from(big16(bytes, at)?.max(2)).ok()?,
        }
    }
}

/// RFC 9649 §2.5 to §2.7.
fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    let little24 = |at: usize| {
        Some(
            u32::from(*bytes.get(at)?)
                | u32::from(*bytes.get(at + 1)?) << 8
                | u32::from(*bytes.get(at + 2)?) << 16,
        )
    };
    match bytes.get(12..16)? {
        b"VP8X" => Some((little24(24)? + 1, little24(27)? + 1)),
        b"VP8L" => {
            let bits = little24(21)? | u32::from(*bytes.get(24)?) << 24;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8 " => Some((little16(bytes, 26)? & 0x3fff, little16(bytes, 28)? & 0x3fff)),
        _ => None,
    }
}

fn big16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(*bytes.get(at)?) << 8 | u32::from(*bytes.get(at + 1)?))
}

fn big32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(big16(bytes, at)? << 16 | big16(bytes, at + 2)?)
}

fn little16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(*bytes.get(at)?) | u32::from(*bytes.get(at + 1)?) << 8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_size_of_each_kind_is_read_from_its_header() {
        let gif = b"GIF89a\x20\x03\x58\x02";
        assert_eq!(size(kind(gif).unwrap(), gif), Some((800, 600)));
        let webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x1f\x03\0\x57\x02\0";
        assert_eq!(size(kind(webp).unwrap(), webp), Some((800, 600)));
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\x02\x58\x03\x20";
        assert_eq!(size(kind(jpeg).unwrap(), jpeg), Some((800, 600)));
    }

    #[test]
    fn a_drawing_that_can_run_scripts_is_no_picture() {
        assert_eq!(kind(b"<svg xmlns='http://www.w3.org/2000/svg'>"), None);
        assert_eq!(kind(b""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(start in 0usize..5, rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let starts: [&[u8]; 5] = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8L"];
            let mut bytes = starts[start].to_vec();
            bytes.extend(rest);
            if let Some(kind) = kind(&bytes) {
                let _ = size(kind, &bytes);
                let _ = crate::attach::scaled(kind, &bytes);
            }
        }
    }
}
