//! Pictures of any size into the size that is published.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::Picture;

/// Keeps what scaling needs between two pictures.
pub(super) struct Scaler {
    resizer: Resizer,
    options: ResizeOptions,
}

impl Scaler {
    pub fn new() -> Self {
        Self {
            resizer: Resizer::new(),
            // Interpolates when it enlarges, and takes the mean when it shrinks: text stays readable.
            options: ResizeOptions::new()
                .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
                .use_alpha(false),
        }
    }

    /// As large as fits, in the middle, on black; the sides keep their proportion.
    pub fn fit(&mut self, picture: Picture, width: usize, height: usize) -> Picture {
        let (width, height) = (width & !1, height & !1);
        if (picture.width(), picture.height()) == (width, height) {
            return picture;
        }
        let mut fitted = Picture::black(width, height);
        let (inner_width, inner_height) = inside(&picture, width, height);
        let empty = picture.luma().is_empty();
        if empty || inner_width == 0 || inner_height == 0 {
            return fitted;
        }
        // Both even, so that chroma lies where luma does.
        let left = ((width - inner_width) / 2) & !1;
        let top = ((height - inner_height) / 2) & !1;
        let (from_width, from_height) = (picture.width(), picture.height());
        for (from, to, half) in [
            (&picture.y, &mut fitted.y, 1),
            (&picture.u, &mut fitted.u, 2),
            (&picture.v, &mut fitted.v, 2),
        ] {
            let plane = Plane {
                bytes: from,
                width: from_width / half,
                height: from_height / half,
            };
            let size = (inner_width / half, inner_height / half);
            let Some(scaled) = self.scale(&plane, size) else {
                continue;
            };
            let rows = to.chunks_exact_mut(width / half).skip(top / half);
            for (row, scaled) in rows.zip(scaled.chunks_exact(size.0)) {
                if let Some(place) = row.get_mut(left / half..left / half + size.0) {
                    place.copy_from_slice(scaled);
                }
            }
        }
        fitted
    }

    /// `None` when a side is zero or beyond 32 bits.
    fn scale(&mut self, plane: &Plane<'_>, size: (usize, usize)) -> Option<Vec<u8>> {
        let short = |length: usize| u32::try_from(length).ok();
        let from = TypedImageRef::<U8>::from_buffer(
            short(plane.width)?,
            short(plane.height)?,
            plane.bytes,
        )
        .ok()?;
        let mut to = TypedImage::<U8>::new(short(size.0)?, short(size.1)?);
        self.resizer
            .resize_typed(&from, &mut to, Some(&self.options))
            .ok()?;
        Some(to.pixels().iter().map(|pixel| pixel.0).collect())
    }
}

struct Plane<'a> {
    bytes: &'a [u8],
    width: usize,
    height: usize,
}

/// The largest even size of the picture's proportion within the given one.
fn inside(picture: &Picture, width: usize, height: usize) -> (usize, usize) {
    let (own_width, own_height) = (picture.width().max(1), picture.height().max(1));
    if own_width * height <= width * own_height {
        ((own_width * height / own_height) & !1, height)
    } else {
        (width, (own_height * width / own_width) & !1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::video::{PatternSource, read_counter};

    #[test]
    fn a_picture_of_the_right_size_passes_untouched() {
        let picture = PatternSource::new(640, 360, 30).paint(5);
        assert_eq!(Scaler::new().fit(picture.clone(), 640, 360), picture);
    }

    #[test]
    fn a_number_is_still_read_after_scaling() {
        let picture = PatternSource::new(1920, 1080, 30).paint(77);
        let smaller = Scaler::new().fit(picture.clone(), 640, 360);
        assert_eq!(read_counter(&smaller), Some(77));
        let larger = Scaler::new().fit(smaller, 1280, 720);
        assert_eq!(read_counter(&larger), Some(77));
    }

    #[test]
    fn other_proportions_get_black_beside_or_above() {
        let mut white = Picture::black(400, 400);
        white.y.fill(235);
        let wide = Scaler::new().fit(white.clone(), 800, 400);
        let row = &wide.luma()[200 * 800..201 * 800];
        assert_eq!((row[0], row[199], row[400], row[799]), (16, 16, 235, 16));
        let tall = Scaler::new().fit(white, 400, 800);
        assert_eq!((tall.luma()[0], tall.luma()[400 * 400]), (16, 235));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_size_fits_into_any_other(from in (0_usize..200, 0_usize..200), to in (0_usize..200, 0_usize..200)) {
            let fitted = Scaler::new().fit(Picture::black(from.0, from.1), to.0, to.1);
            prop_assert_eq!((fitted.width(), fitted.height()), (to.0 & !1, to.1 & !1));
            prop_assert!(fitted.luma().iter().all(|luma| *luma == 16));
        }
    }
}
