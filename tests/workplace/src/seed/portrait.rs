//! Simple drawn portraits, one per person, always the same for the same account.

use std::io::Cursor;

use anyhow::Result;
use image::{ImageFormat, Rgb, RgbImage};
use sha2::{Digest, Sha256};

const SIDE: u32 = 160;
/// Points per pixel and direction, for smooth edges.
const FINE: u32 = 3;

type Colour = [f32; 3];

const BACKGROUNDS: [Colour; 8] = [
    [0.75, 0.90, 0.89],
    [0.98, 0.87, 0.74],
    [0.83, 0.85, 0.97],
    [0.96, 0.82, 0.84],
    [0.84, 0.93, 0.78],
    [0.99, 0.93, 0.74],
    [0.80, 0.90, 0.98],
    [0.91, 0.84, 0.95],
];
const SKINS: [Colour; 6] = [
    [0.98, 0.86, 0.76],
    [0.95, 0.79, 0.66],
    [0.87, 0.67, 0.51],
    [0.74, 0.53, 0.38],
    [0.56, 0.38, 0.27],
    [0.99, 0.89, 0.82],
];
const HAIRS: [Colour; 6] = [
    [0.16, 0.12, 0.11],
    [0.30, 0.19, 0.13],
    [0.48, 0.31, 0.18],
    [0.80, 0.62, 0.36],
    [0.60, 0.27, 0.16],
    [0.62, 0.62, 0.63],
];
const CLOTHES: [Colour; 6] = [
    [0.04, 0.43, 0.46],
    [0.95, 0.96, 0.97],
    [0.24, 0.36, 0.62],
    [0.55, 0.24, 0.36],
    [0.36, 0.55, 0.42],
    [0.93, 0.95, 0.96],
];

/// A PNG of about 8 kB.
pub fn png(uid: &str, long_hair: bool) -> Result<Vec<u8>> {
    let traits = Sha256::digest(uid);
    let pick = |place: usize, of: &[Colour]| of[usize::from(traits[place]) % of.len()];
    let face = Face {
        background: pick(0, &BACKGROUNDS),
        skin: pick(1, &SKINS),
        // Light hair only where the skin is light.
        hair: if usize::from(traits[1]) % SKINS.len() < 2 {
            pick(2, &HAIRS)
        } else {
            pick(2, &HAIRS[..3])
        },
        clothes: pick(3, &CLOTHES),
        long_hair,
        glasses: traits[4] % 4 == 0,
        beard: !long_hair && traits[5] % 3 == 0,
        parting: f32::from(traits[6] % 5).mul_add(0.03, -0.06),
    };
    let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let mut sum = [0.0; 3];
        for sub in 0..FINE * FINE {
            let at = |pixel: u32, part: u32| {
                let fine = f32::from(u16::try_from(pixel * FINE + part).unwrap_or_default());
                (fine + 0.5) / f32::from(u16::try_from(SIDE * FINE).unwrap_or(1))
            };
            let colour = face.colour(at(x, sub % FINE), at(y, sub / FINE));
            for (total, part) in sum.iter_mut().zip(colour) {
                *total += part;
            }
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Rgb(sum.map(|total| (total / 9.0 * 255.0).round().clamp(0.0, 255.0) as u8))
    });
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png)?;
    Ok(file.into_inner())
}

struct Face {
    background: Colour,
    skin: Colour,
    hair: Colour,
    clothes: Colour,
    long_hair: bool,
    glasses: bool,
    beard: bool,
    parting: f32,
}

impl Face {
    /// The colour at a point of the unit square, the front layers first.
    fn colour(&self, x: f32, y: f32) -> Colour {
        let inside = |cx: f32, cy: f32, rx: f32, ry: f32| {
            ((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2) < 1.0
        };
        let ring = |cx: f32, r: f32| {
            let far = (x - cx).hypot(y - 0.43);
            far < r && far > r - 0.012
        };
        let dark = [0.17, 0.15, 0.16];
        let head = inside(0.5, 0.43, 0.165, 0.205);
        if self.glasses
            && (ring(0.43, 0.058)
                || ring(0.57, 0.058)
                || ((y - 0.425).abs() < 0.006 && (x - 0.5).abs() < 0.016))
        {
            return dark;
        }
        if inside(0.43, 0.43, 0.017, 0.02) || inside(0.57, 0.43, 0.017, 0.02) {
            return dark;
        }
        if inside(0.5, 0.525, 0.055, 0.03) && y > 0.525 {
            return shade(self.skin, 0.68);
        }
        if inside(0.5, 0.485, 0.014, 0.016) {
            return shade(self.skin, 0.90);
        }
        let fringe = inside(0.5 + self.parting, 0.245, 0.19, 0.105)
            || inside(0.5 - self.parting * 2.0, 0.23, 0.15, 0.085);
        if fringe && inside(0.5, 0.40, 0.195, 0.235) {
            return self.hair;
        }
        if head {
            let chin = self.beard
                && y > 0.475
                && !inside(0.5, 0.46, 0.125, 0.105)
                && !inside(0.5, 0.53, 0.075, 0.035);
            return if chin {
                mix(self.hair, self.skin, 0.25)
            } else {
                self.skin
            };
        }
        if (x - 0.5).abs() < 0.065 && y > 0.55 && y < 0.72 {
            return shade(self.skin, 0.90);
        }
        if inside(0.5, 1.02, 0.36, 0.33) {
            // A collar, open at the neck.
            let collar = (x - 0.5).abs() < 0.085 && y < 0.74 + (0.085 - (x - 0.5).abs()) * 1.2;
            return if collar {
                shade(self.clothes, 0.84)
            } else {
                self.clothes
            };
        }
        let behind = if self.long_hair {
            inside(0.5, 0.40, 0.215, 0.245) || (inside(0.5, 0.58, 0.225, 0.22) && y > 0.40)
        } else {
            inside(0.5, 0.375, 0.19, 0.205)
        };
        if behind {
            return shade(self.hair, 0.86);
        }
        shade(self.background, 1.04 - 0.12 * y)
    }
}

fn shade(colour: Colour, by: f32) -> Colour {
    colour.map(|part| (part * by).min(1.0))
}

fn mix(one: Colour, other: Colour, part: f32) -> Colour {
    [0, 1, 2].map(|i| one[i] * (1.0 - part) + other[i] * part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    #[test]
    fn a_portrait_is_small_and_always_the_same() {
        let one = super::png("camille.martin", true).unwrap();
        assert!(one.len() < 20_000, "{} bytes", one.len());
        assert_eq!(one, super::png("camille.martin", true).unwrap());
    }
}
