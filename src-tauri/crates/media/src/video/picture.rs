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

fn halve(from: &[u8], from_width: usize, to: &mut [u8], to_width: usize) {
    if from_width == 0 || to_width == 0 {
        return;
    }
    let rows = from.chunks_exact(2 * from_width);
    for (rows, row) in rows.zip(to.chunks_exact_mut(to_width)) {
        let (above, below) = rows.split_at(from_width);
        let pairs = above.chunks_exact(2).zip(below.chunks_exact(2));
        for ((above, below), pixel) in pairs.zip(row) {
            let sum: u16 = above.iter().chain(below).map(|p| u16::from(*p)).sum();
            *pixel = u8::try_from((sum + 2) / 4).unwrap_or(u8::MAX);
        }
    }
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
    fn odd_and_empty_sizes_are_harmless() {
        let odd = Picture::black(7, 5).halved();
        assert_eq!((odd.width(), odd.height()), (2, 2));
        assert!(Picture::black(0, 0).halved().luma().is_empty());
    }
}
