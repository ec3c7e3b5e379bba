//! From the rate of a device to ours and back, mono.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, ResamplerConstructionError};

/// Turns sound of one rate into sound of another, whatever pieces it comes in. Equal rates pass untouched.
pub(super) struct Resampler {
    fft: Option<Fft<f32>>,
    waiting: Vec<f32>,
    made: Vec<f32>,
}

impl Resampler {
    /// Rates in hertz.
    pub fn new(from: u32, to: u32) -> Result<Self, ResamplerConstructionError> {
        let size = |rate: u32| usize::try_from(rate).unwrap_or(usize::MAX);
        let fft = if from == to {
            None
        } else {
            // 10 ms at a time: the delay it adds.
            let chunk = size(from / 100).max(1);
            Some(Fft::new(size(from), size(to), chunk, 1, FixedSync::Input)?)
        };
        let made = fft.as_ref().map_or(0, Fft::output_frames_max);
        Ok(Self {
            fft,
            waiting: Vec::new(),
            made: vec![0.0; made],
        })
    }

    /// Appends to `out` what is ready.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        let Some(fft) = &mut self.fft else {
            out.extend_from_slice(samples);
            return;
        };
        self.waiting.extend_from_slice(samples);
        let mut used = 0;
        while let Some(rest) = self.waiting.get(used..) {
            let wanted = fft.input_frames_next();
            let Some(chunk) = rest.get(..wanted) else {
                break;
            };
            let room = self.made.len();
            let (Ok(input), Ok(mut output)) = (
                InterleavedSlice::new(chunk, 1, wanted),
                InterleavedSlice::new_mut(&mut self.made, 1, room),
            ) else {
                break;
            };
            let written = match fft.process_into_buffer(&input, &mut output, None) {
                Ok((_, written)) => written,
                // Sizes are as the resampler asked for them; should it refuse, the piece is lost.
                Err(_) => 0,
            };
            out.extend_from_slice(self.made.get(..written).unwrap_or_default());
            used += wanted;
        }
        self.waiting.drain(..used);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_precision_loss)]
    use std::f32::consts::TAU;

    use super::*;

    #[test]
    fn a_tone_keeps_its_pitch_and_loudness_at_every_usual_rate() {
        for (from, to) in [
            (44_100, 48_000),
            (16_000, 48_000),
            (48_000, 44_100),
            (96_000, 48_000),
        ] {
            let mut resampler = Resampler::new(from, to).unwrap();
            let mut out = Vec::new();
            let tone: Vec<f32> = (0..from)
                .map(|at| 0.5 * (TAU * 440.0 * at as f32 / from as f32).sin())
                .collect();
            // As devices do: pieces of no particular size.
            for piece in tone.chunks(333) {
                resampler.push(piece, &mut out);
            }
            let steady = &out[out.len() / 2..];
            let rising = steady
                .windows(2)
                .filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0);
            let pitch = rising.count() as f32 * to as f32 / steady.len() as f32;
            assert!((pitch - 440.0).abs() < 4.0, "{from} to {to}: {pitch} Hz");
            let loudest = steady.iter().copied().fold(0.0, f32::max);
            assert!((loudest - 0.5).abs() < 0.01, "{from} to {to}: {loudest}");
            let missing = to as usize - out.len();
            assert!(
                missing < to as usize / 20,
                "{from} to {to}: {missing} samples late"
            );
        }
    }

    #[test]
    fn the_same_rate_passes_untouched() {
        let mut resampler = Resampler::new(48_000, 48_000).unwrap();
        let mut out = Vec::new();
        resampler.push(&[0.1, -0.2], &mut out);
        assert_eq!(out, [0.1, -0.2]);
    }
}
