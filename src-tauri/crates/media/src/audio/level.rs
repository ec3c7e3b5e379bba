//! How loud sound is.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// The quietest level.
const SILENCE: u8 = 127;

/// RFC 6464 §3: −dBov of the root mean square; 0 is the loudest, 127 silence.
pub fn level(samples: &[f32]) -> u8 {
    let mean = samples.iter().map(|sample| sample * sample).sum::<f32>()
        / f32::from(u16::try_from(samples.len().max(1)).unwrap_or(u16::MAX));
    let decibels = -10.0 * mean.max(1e-13).log10();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
    let level = decibels.round().clamp(0.0, f32::from(SILENCE)) as u8;
    level
}

/// The level of the newest sound, for whoever draws it.
#[derive(Debug)]
pub(crate) struct Meter(AtomicU8);

impl Default for Meter {
    fn default() -> Self {
        Self(AtomicU8::new(SILENCE))
    }
}

impl Meter {
    /// Also returns what was measured.
    pub fn measure(&self, samples: &[f32]) -> u8 {
        let level = level(samples);
        self.0.store(level, Relaxed);
        level
    }

    pub fn silence(&self) {
        self.0.store(SILENCE, Relaxed);
    }

    pub fn read(&self) -> u8 {
        self.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    #[test]
    fn the_level_of_a_full_sine_is_three_decibels_and_silence_is_127() {
        let sine: Vec<_> = (0..480_u16)
            .map(|at| (TAU * f32::from(at) / 48.0).sin())
            .collect();
        assert_eq!(level(&sine), 3);
        assert_eq!(level(&[0.0; 480]), 127);
        assert_eq!(level(&[]), 127);
    }

    #[test]
    fn a_meter_shows_the_newest_sound() {
        let meter = Meter::default();
        assert_eq!(meter.read(), 127);
        meter.measure(&[1.0; 480]);
        assert_eq!(meter.read(), 0);
        meter.silence();
        assert_eq!(meter.read(), 127);
    }
}
