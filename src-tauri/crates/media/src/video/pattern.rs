//! A moving test picture that carries its own number, so that a test can say which pictures arrived and how late.

use std::time::{Duration, Instant};

use super::picture::Picture;
use super::source::{CaptureError, VideoSource};

/// The number stands in the upper left corner as bright and dark squares of a twentieth of the width: two rows of
/// sixteen bits, and one row that proves them.
const COLUMNS: usize = 16;
const ROWS: usize = 3;
const SIDES_PER_WIDTH: usize = 20;
const PROOF: u16 = 0x5a5a;
const BRIGHT: u8 = 220;
const DARK: u8 = 30;

/// Paints pictures at a steady rate: a gradient, a checked box that moves, and the picture's number.
pub struct PatternSource {
    background: Picture,
    frame: Duration,
    started: Option<Instant>,
    number: u32,
}

impl PatternSource {
    /// `rate` in pictures per second.
    pub fn new(width: usize, height: usize, rate: u32) -> Self {
        Self {
            background: gradient(width, height),
            frame: Duration::from_secs(1) / rate.max(1),
            started: None,
            number: 0,
        }
    }

    /// The picture with this number, whatever time it is.
    pub fn paint(&self, number: u32) -> Picture {
        let mut picture = self.background.clone();
        paint_box(&mut picture, number);
        write_counter(&mut picture, number);
        picture
    }
}

impl VideoSource for PatternSource {
    fn next(&mut self) -> Result<Option<Picture>, CaptureError> {
        let started = *self.started.get_or_insert_with(Instant::now);
        let number = self.number;
        self.number = number.wrapping_add(1);
        let due = started + self.frame * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        Ok(Some(self.paint(number)))
    }
}

/// The number in a picture of [`PatternSource`], also after it was scaled and compressed; `None` when there is none.
pub fn read_counter(picture: &Picture) -> Option<u32> {
    let side = picture.width() / SIDES_PER_WIDTH;
    if side < 4 || picture.height() < ROWS * side {
        return None;
    }
    let row = |row: usize| -> u16 {
        (0..COLUMNS).fold(0, |bits, column| {
            let (x, y) = (column * side + side / 2, row * side + side / 2);
            let around = (y - 1..=y + 1).flat_map(|y| (x - 1..=x + 1).map(move |x| (x, y)));
            let light: u32 = around
                .filter_map(|(x, y)| picture.luma().get(y * picture.width() + x))
                .map(|luma| u32::from(*luma))
                .sum();
            bits << 1 | u16::from(light > 9 * 125)
        })
    };
    let (high, low) = (row(0), row(1));
    (row(2) == high ^ low ^ PROOF).then(|| u32::from(high) << 16 | u32::from(low))
}

fn write_counter(picture: &mut Picture, number: u32) {
    let side = picture.width() / SIDES_PER_WIDTH;
    let (high, low) = ((number >> 16) as u16, (number & 0xffff) as u16);
    for (row, bits) in [high, low, high ^ low ^ PROOF].into_iter().enumerate() {
        for column in 0..COLUMNS {
            let bright = bits >> (COLUMNS - 1 - column) & 1 == 1;
            let luma = if bright { BRIGHT } else { DARK };
            fill(picture, column * side, row * side, side, |_, _| luma);
        }
    }
}

fn gradient(width: usize, height: usize) -> Picture {
    let mut picture = Picture::black(width, height);
    let (width, height) = (picture.width(), picture.height());
    for (at, luma) in picture.y.iter_mut().enumerate() {
        let (x, y) = (at % width, at / width);
        *luma = u8::try_from(40 + (x + y) * 120 / (width + height)).unwrap_or(160);
    }
    for (at, (u, v)) in picture.u.iter_mut().zip(&mut picture.v).enumerate() {
        *u = u8::try_from(110 + at % (width / 2) * 80 / width).unwrap_or(128);
        *v = u8::try_from(110 + at / (width / 2) * 80 / height).unwrap_or(128);
    }
    picture
}

/// Moves to and fro below the number, so that each picture differs from the one before.
fn paint_box(picture: &mut Picture, number: u32) {
    let side = picture.width() / 5;
    let step = usize::try_from(number).unwrap_or(0) * 4;
    let bounce = |step: usize, room: usize| {
        if room == 0 {
            return 0;
        }
        let at = step % (2 * room);
        at.min(2 * room - at)
    };
    let x = bounce(step, picture.width().saturating_sub(side));
    let y =
        picture.height() / 3 + bounce(step / 3, (picture.height() * 2 / 3).saturating_sub(side));
    fill(picture, x, y, side, |x, y| {
        if (x / 8 + y / 8) % 2 == 0 { 200 } else { 90 }
    });
}

fn fill(
    picture: &mut Picture,
    left: usize,
    top: usize,
    side: usize,
    luma: impl Fn(usize, usize) -> u8,
) {
    let width = picture.width();
    let rows = picture
        .y
        .chunks_exact_mut(width.max(1))
        .skip(top)
        .take(side);
    for (y, row) in rows.enumerate() {
        for (x, pixel) in row.iter_mut().skip(left).take(side).enumerate() {
            *pixel = luma(x, y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // Each case takes some ten milliseconds.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_number_is_read_at_every_simulcast_size(number: u32) {
            let whole = PatternSource::new(1280, 720, 30).paint(number);
            prop_assert_eq!(read_counter(&whole), Some(number));
            prop_assert_eq!(read_counter(&whole.halved()), Some(number));
            prop_assert_eq!(read_counter(&whole.halved().halved()), Some(number));
        }
    }

    #[test]
    fn a_picture_without_a_number_has_none() {
        assert_eq!(read_counter(&Picture::black(640, 360)), None);
        assert_eq!(read_counter(&gradient(640, 360)), None);
        assert_eq!(read_counter(&Picture::black(16, 16)), None);
    }
}
