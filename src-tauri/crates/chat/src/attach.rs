//! Files and pictures on their way out.
//!
//! What a file is comes from its first bytes, not from its name. Pictures get their dimensions and a thumbnail;
//! one with more than 50 million pixels is never decoded, only its header is read.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use matrix_sdk::attachment::{
    AttachmentConfig, AttachmentInfo, BaseFileInfo, BaseImageInfo, Thumbnail,
};
use matrix_sdk::ruma::UInt;
use tokio::io::AsyncReadExt;

use crate::chat::Shared;
use crate::error::ChatError;
use crate::media::MAX_PIXELS;
use crate::media::header;
use crate::send::queue_failure;
use crate::text::names;

/// Longest side of a thumbnail, in pixels.
pub(crate) const THUMBNAIL: u32 = 800;
/// Pictures up to this size need no thumbnail, in bytes.
const SMALL: usize = 100 * 1024;
/// Largest file when the server does not say, in bytes. Synapse's own default.
const DEFAULT_MAX: u64 = 50 * 1024 * 1024;
/// Files sent by one action.
const AT_ONCE: usize = 20;

impl Shared {
    /// Sends files, each as one message, in this order. Nothing is sent when one of them cannot be.
    pub(crate) async fn send_files(&self, room: &str, paths: &[PathBuf]) -> Result<(), ChatError> {
        let room = self.room(room)?;
        self.space.enough()?;
        let max = self.max_upload().await;
        let paths = paths.get(..AT_ONCE).unwrap_or(paths);
        for path in paths {
            let size = size_of(path).await?;
            if size > max {
                return Err(ChatError::TooLarge { max });
            }
        }
        for path in paths {
            let bytes = read(path, max).await?;
            self.attach(&room, &shown_name(path), None, bytes).await?;
        }
        Ok(())
    }

    /// Sends a picture or file that is in memory, for example from the clipboard.
    pub(crate) async fn send_bytes(
        &self,
        room: &str,
        name: &str,
        mime: &str,
        bytes: Vec<u8>,
    ) -> Result<(), ChatError> {
        let room = self.room(room)?;
        self.space.enough()?;
        let max = self.max_upload().await;
        if bytes.len() as u64 > max {
            return Err(ChatError::TooLarge { max });
        }
        self.attach(&room, &names::file_name(name), Some(mime), bytes)
            .await
    }
}

impl Shared {
    async fn max_upload(&self) -> u64 {
        match tokio::time::timeout(
            std::time::Duration::from_secs(3),
            self.client.load_or_fetch_max_upload_size(),
        )
        .await
        {
            Ok(Ok(max)) => u64::from(max),
            _ => DEFAULT_MAX,
        }
    }

    async fn attach(
        &self,
        room: &matrix_sdk::Room,
        name: &str,
        claimed: Option<&str>,
        bytes: Vec<u8>,
    ) -> Result<(), ChatError> {
        let size = UInt::try_from(bytes.len()).ok();
        let kind = header::kind(&bytes);
        let mime = mime_of(name, claimed, &bytes);
        let (bytes, picture) = match kind {
            Some(kind) => {
                let work = move || {
                    let picture = Picture::of(kind, &bytes);
                    (bytes, picture)
                };
                let (bytes, picture) = tokio::task::spawn_blocking(work)
                    .await
                    .map_err(|_| ChatError::Other("a picture could not be prepared"))?;
                (bytes, Some(picture))
            }
            None => (bytes, None),
        };
        let config = match picture {
            Some(picture) => AttachmentConfig::new()
                .info(AttachmentInfo::Image(BaseImageInfo {
                    width: picture.size.map(|(width, _)| UInt::from(width)),
                    height: picture.size.map(|(_, height)| UInt::from(height)),
                    size,
                    blurhash: None,
                    is_animated: None,
                }))
                .thumbnail(picture.thumbnail),
            None => AttachmentConfig::new().info(AttachmentInfo::File(BaseFileInfo { size })),
        };
        let mime = mime
            .parse()
            .map_err(|_| ChatError::Other("a kind of file has no name"))?;
        self.secrecy_known(room).await?;
        room.send_queue()
            .send_attachment(name, mime, bytes, config)
            .await
            .map_err(|error| queue_failure(&error))?;
        self.wake_queue(room);
        Ok(())
    }
}

/// What is known of a picture that is sent.
struct Picture {
    size: Option<(u32, u32)>,
    thumbnail: Option<Thumbnail>,
}

impl Picture {
    fn of(kind: header::Kind, bytes: &[u8]) -> Self {
        let size = header::size(kind, bytes);
        let decodes =
            size.is_some_and(|(width, height)| u64::from(width) * u64::from(height) <= MAX_PIXELS);
        let small = bytes.len() <= SMALL
            && size.is_some_and(|(width, height)| width.max(height) <= THUMBNAIL);
        let thumbnail = if decodes && !small {
            scaled(kind, bytes)
        } else {
            None
        };
        Self {
            size,
            thumbnail: thumbnail.and_then(Scaled::into_thumbnail),
        }
    }
}

/// A smaller copy of a picture.
pub(crate) struct Scaled {
    pub bytes: Vec<u8>,
    pub mime: &'static str,
    width: u32,
    height: u32,
}

impl Scaled {
    fn into_thumbnail(self) -> Option<Thumbnail> {
        Some(Thumbnail {
            size: UInt::try_from(self.bytes.len()).ok()?,
            content_type: self.mime.parse().ok()?,
            width: UInt::from(self.width),
            height: UInt::from(self.height),
            data: self.bytes,
        })
    }
}

/// Scales a PNG or JPEG to at most [`THUMBNAIL`] pixels. `None` for other kinds, and for pictures that are
/// broken or too large to decode.
pub(crate) fn scaled(kind: header::Kind, bytes: &[u8]) -> Option<Scaled> {
    let format = match kind {
        header::Kind::Png => ImageFormat::Png,
        header::Kind::Jpeg => ImageFormat::Jpeg,
        header::Kind::Gif | header::Kind::Webp => return None,
    };
    let (width, height) = header::size(kind, bytes)?;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return None;
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(512 * 1024 * 1024);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    let orientation = decoder.orientation().ok();
    let mut picture = DynamicImage::from_decoder(decoder)
        .ok()?
        .thumbnail(THUMBNAIL, THUMBNAIL);
    if let Some(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    let (width, height) = (picture.width(), picture.height());
    let mut bytes = Cursor::new(Vec::new());
    let mime = if picture.color().has_alpha() {
        picture.write_to(&mut bytes, ImageFormat::Png).ok()?;
        "image/png"
    } else {
        DynamicImage::ImageRgb8(picture.into_rgb8())
            .write_to(&mut bytes, ImageFormat::Jpeg)
            .ok()?;
        "image/jpeg"
    };
    Some(Scaled {
        bytes: bytes.into_inner(),
        mime,
        width,
        height,
    })
}

async fn size_of(path: &Path) -> Result<u64, ChatError> {
    let unreadable = || ChatError::FileUnreadable {
        name: shown_name(path),
    };
    let known = tokio::fs::metadata(path).await.map_err(|_| unreadable())?;
    if known.is_file() {
        Ok(known.len())
    } else {
        Err(unreadable())
    }
}

/// Reads a file, but never more than `max`: it may grow while it is read.
async fn read(path: &Path, max: u64) -> Result<Vec<u8>, ChatError> {
    let unreadable = |_| ChatError::FileUnreadable {
        name: shown_name(path),
    };
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(max + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(unreadable)?;
    if bytes.len() as u64 > max {
        return Err(ChatError::TooLarge { max });
    }
    Ok(bytes)
}

fn shown_name(path: &Path) -> String {
    names::file_name(&path.file_name().unwrap_or_default().to_string_lossy())
}

/// What a file is: by its first bytes, else by its ending, else as claimed.
fn mime_of(name: &str, claimed: Option<&str>, bytes: &[u8]) -> String {
    if let Some(kind) = header::kind(bytes) {
        return kind.mime().to_owned();
    }
    if bytes.starts_with(b"%PDF-") {
        return "application/pdf".to_owned();
    }
    let guessed = mime_guess::from_path(name)
        .first_raw()
        // Said to be a picture, but its bytes are not.
        .filter(|mime| {
            !mime.starts_with("image/") || *mime == "image/svg+xml" || *mime == "image/heic"
        });
    guessed
        .or(claimed.filter(|claimed| !claimed.starts_with("image/")))
        .unwrap_or("application/octet-stream")
        .to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::new_rgba8(width, height)
            .write_to(&mut bytes, ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_picture_larger_than_a_window_gets_a_thumbnail() {
        let picture = Picture::of(header::Kind::Png, &png(1_600, 400));
        assert_eq!(picture.size, Some((1_600, 400)));
        let thumbnail = picture.thumbnail.unwrap();
        assert_eq!(
            (thumbnail.width, thumbnail.height),
            (UInt::from(800_u32), UInt::from(200_u32))
        );
    }

    #[test]
    fn a_picture_of_400_million_pixels_is_not_decoded() {
        // A valid small PNG whose header claims 20,000 × 20,000.
        let mut bytes = png(4, 4);
        bytes[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
        let picture = Picture::of(header::Kind::Png, &bytes);
        assert_eq!(picture.size, Some((20_000, 20_000)));
        assert!(picture.thumbnail.is_none());
    }

    #[test]
    fn a_broken_picture_is_sent_without_a_thumbnail() {
        let mut bytes = png(1_000, 1_000);
        bytes.truncate(60);
        assert!(Picture::of(header::Kind::Png, &bytes).thumbnail.is_none());
    }

    #[test]
    fn what_a_file_is_comes_from_its_bytes() {
        assert_eq!(mime_of("photo.txt", None, &png(1, 1)), "image/png");
        assert_eq!(
            mime_of("photo.png", Some("image/png"), b"<script>"),
            "application/octet-stream"
        );
        assert_eq!(mime_of("lettre.bin", None, b"%PDF-1.7"), "application/pdf");
        assert_eq!(mime_of("notes.csv", None, b"a;b"), "text/csv");
    }
}
