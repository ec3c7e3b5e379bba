//! What cameras and screens give, into I420.
//!
//! The bytes come from other programs: they may be shorter than they claim, and then there is no picture.

use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPackedImage, YuvPlanarImageMut, YuvRange,
    YuvStandardMatrix,
};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::Picture;

/// No camera or screen has longer sides, in pixels.
const LONGEST_SIDE: usize = 8192;

/// How pixels lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PixelFormat {
    /// Planes of luma, blue and red difference.
    I420,
    /// A plane of luma, and one with both differences in turn.
    Nv12,
    /// Luma, blue, luma, red.
    Yuyv,
    /// Four bytes, the last one unused or alpha.
    Bgrx,
    Rgbx,
    Rgb,
    Bgr,
    /// A JPEG per picture.
    Jpeg,
}

/// Part of a picture in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane<'a> {
    pub bytes: &'a [u8],
    /// Bytes per row; 0 when rows follow each other without a gap.
    pub stride: usize,
}

/// A picture as it came. All planes may lie in the first one, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    pub format: PixelFormat,
    /// In pixels.
    pub width: usize,
    pub height: usize,
    pub planes: &'a [Plane<'a>],
}

impl Raw<'_> {
    /// `None` when bytes are missing or the size is beyond sense.
    pub fn to_picture(self) -> Option<Picture> {
        let sides = 2..=LONGEST_SIDE;
        if self.format != PixelFormat::Jpeg
            && !(sides.contains(&self.width) && sides.contains(&self.height))
        {
            return None;
        }
        match self.format {
            PixelFormat::I420 => self.i420(),
            PixelFormat::Nv12 => self.nv12(),
            PixelFormat::Yuyv => self.yuyv(),
            PixelFormat::Jpeg => from_jpeg(self.planes.first()?.bytes),
            PixelFormat::Bgrx | PixelFormat::Rgbx => self.rgb(4),
            PixelFormat::Rgb | PixelFormat::Bgr => self.rgb(3),
        }
    }

    /// The plane at this place, wherever it lies: `rows` rows of at least `row` bytes.
    fn plane(&self, number: usize, row: usize, rows: usize, before: usize) -> Option<Plane<'_>> {
        if self.planes.len() > 1 {
            let plane = self.planes.get(number)?;
            return whole(plane.bytes, plane.stride, row, rows);
        }
        // One after the other; chroma has rows of half the length, and gaps of half the length.
        let first = self.planes.first()?;
        let luma_stride = first.stride.max(self.width);
        let stride = luma_stride * row / self.width.max(1);
        whole(first.bytes.get(before..)?, stride, row, rows)
    }

    fn i420(&self) -> Option<Picture> {
        let mut picture = Picture::black(self.width, self.height);
        let stride = self.planes.first()?.stride.max(self.width);
        let chroma_width = self.width.div_ceil(2);
        let chroma_height = self.height.div_ceil(2);
        let chroma_stride = stride.div_ceil(2);
        let luma = self.plane(0, self.width, self.height, 0)?;
        let after_luma = stride * self.height;
        let chroma = |number: usize| {
            if self.planes.len() > 1 {
                let plane = self.planes.get(number)?;
                return whole(plane.bytes, plane.stride, chroma_width, chroma_height);
            }
            let before = after_luma + (number - 1) * chroma_stride * chroma_height;
            let bytes = self.planes.first()?.bytes.get(before..)?;
            whole(bytes, chroma_stride, chroma_width, chroma_height)
        };
        let (width, half) = (picture.width(), picture.width() / 2);
        copy(luma, &mut picture.y, width);
        copy(chroma(1)?, &mut picture.u, half);
        copy(chroma(2)?, &mut picture.v, half);
        Some(picture)
    }

    fn nv12(&self) -> Option<Picture> {
        let mut picture = Picture::black(self.width, self.height);
        let stride = self.planes.first()?.stride.max(self.width);
        let rows = self.height.div_ceil(2);
        let row = 2 * self.width.div_ceil(2);
        let luma = self.plane(0, self.width, self.height, 0)?;
        let both = self.plane(1, row, rows, stride * self.height)?;
        let (width, half) = (picture.width(), picture.width() / 2);
        copy(luma, &mut picture.y, width);
        let blue = picture.u.chunks_exact_mut(half);
        let red = picture.v.chunks_exact_mut(half);
        for ((blue, red), both) in blue.zip(red).zip(both.bytes.chunks(both.stride)) {
            for ((blue, red), pair) in blue.iter_mut().zip(red).zip(both.chunks_exact(2)) {
                if let [b, r] = pair {
                    (*blue, *red) = (*b, *r);
                }
            }
        }
        Some(picture)
    }

    fn yuyv(&self) -> Option<Picture> {
        let mut picture = Picture::black(self.width, self.height);
        let plane = self.planes.first()?;
        let plane = whole(
            plane.bytes,
            plane.stride,
            2 * (self.width & !1),
            picture.height(),
        )?;
        let packed = YuvPackedImage {
            yuy: plane.bytes,
            yuy_stride: u32::try_from(plane.stride).ok()?,
            width: u32::try_from(picture.width()).ok()?,
            height: u32::try_from(picture.height()).ok()?,
        };
        yuv::yuyv422_to_yuv420(&mut planar(&mut picture)?, &packed).ok()?;
        Some(picture)
    }

    fn rgb(&self, pixel: usize) -> Option<Picture> {
        let mut picture = Picture::black(self.width, self.height);
        let plane = self.planes.first()?;
        let row = pixel * picture.width();
        let plane = whole(
            plane.bytes,
            plane.stride.max(pixel * self.width),
            row,
            picture.height(),
        )?;
        let convert = match self.format {
            PixelFormat::Bgrx => yuv::bgra_to_yuv420,
            PixelFormat::Rgbx => yuv::rgba_to_yuv420,
            PixelFormat::Bgr => yuv::bgr_to_yuv420,
            _ => yuv::rgb_to_yuv420,
        };
        convert(
            &mut planar(&mut picture)?,
            plane.bytes,
            u32::try_from(plane.stride).ok()?,
            YuvRange::Limited,
            YuvStandardMatrix::Bt601,
            YuvConversionMode::default(),
        )
        .ok()?;
        Some(picture)
    }
}

fn from_jpeg(bytes: &[u8]) -> Option<Picture> {
    let options = DecoderOptions::default()
        .set_max_width(LONGEST_SIDE)
        .set_max_height(LONGEST_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(bytes, options);
    let pixels = decoder.decode().ok()?;
    let size = decoder.info()?;
    let plane = Plane {
        bytes: &pixels,
        stride: 0,
    };
    Raw {
        format: PixelFormat::Rgb,
        width: size.width.into(),
        height: size.height.into(),
        planes: &[plane],
    }
    .to_picture()
}

/// The plane if it has all its rows; the last one may end where its pixels do.
fn whole(bytes: &[u8], stride: usize, row: usize, rows: usize) -> Option<Plane<'_>> {
    let stride = stride.max(row);
    let needed = stride * rows.checked_sub(1)? + row;
    let bytes = bytes.get(..(stride * rows).min(bytes.len()))?;
    (bytes.len() >= needed).then_some(Plane { bytes, stride })
}

fn copy(from: Plane<'_>, to: &mut [u8], width: usize) {
    let rows = from.bytes.chunks(from.stride.max(1));
    for (from, to) in rows.zip(to.chunks_exact_mut(width.max(1))) {
        if let Some(from) = from.get(..width) {
            to.copy_from_slice(from);
        }
    }
}

fn planar(picture: &mut Picture) -> Option<YuvPlanarImageMut<'_, u8>> {
    let width = u32::try_from(picture.width()).ok()?;
    let height = u32::try_from(picture.height()).ok()?;
    Some(YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(&mut picture.y),
        y_stride: width,
        u_plane: BufferStoreMut::Borrowed(&mut picture.u),
        u_stride: width / 2,
        v_plane: BufferStoreMut::Borrowed(&mut picture.v),
        v_stride: width / 2,
        width,
        height,
    })
}

#[cfg(test)]
#[path = "conversion_tests.rs"]
mod tests;
