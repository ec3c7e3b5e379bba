//! A tone in place of a microphone.

use std::f32::consts::TAU;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::encoding::{SAMPLES, SoundEncoder};
use crate::publication::AudioPublication;

const SAMPLES_PER_SECOND: f32 = 48_000.0;
const FRAME: Duration = Duration::from_millis(20);

/// Publishes a sine on a thread of its own, until it is dropped or the publication ends.
pub struct ToneSource {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ToneSource {
    /// `frequency` in hertz; `amplitude` from 0 to 1.
    pub fn start(
        frequency: f32,
        amplitude: f32,
        publication: AudioPublication,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("tone".to_owned())
            .spawn(move || {
                let ended = || stopped.load(Relaxed) || publication.ended();
                if let Err(error) = play(frequency, amplitude, &publication, ended) {
                    tracing::error!(%error, "There is no Opus encoder");
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for ToneSource {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn play(
    frequency: f32,
    amplitude: f32,
    publication: &AudioPublication,
    ended: impl Fn() -> bool,
) -> opus::Result<()> {
    let mut encoder = SoundEncoder::new()?;
    let mut tone = Tone::new(frequency, amplitude);
    let started = Instant::now();
    for frame in 0_u32.. {
        let due = started + FRAME * frame;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if ended() {
            break;
        }
        let samples: Vec<f32> = tone.by_ref().take(SAMPLES).collect();
        if let Some(sound) = encoder.encode(&samples)? {
            publication.send(sound);
        }
    }
    Ok(())
}

/// A sine, sample by sample at 48 kHz, without end.
pub(super) struct Tone {
    phase: f32,
    step: f32,
    amplitude: f32,
}

impl Tone {
    pub fn new(frequency: f32, amplitude: f32) -> Self {
        Self {
            phase: 0.0,
            step: TAU * frequency / SAMPLES_PER_SECOND,
            amplitude,
        }
    }
}

impl Iterator for Tone {
    type Item = f32;

    fn next(&mut self) -> Option<f32> {
        self.phase = (self.phase + self.step) % TAU;
        Some(self.phase.sin() * self.amplitude)
    }
}

/// How much of `samples` (48 kHz) is this tone, from 0 to 1: Goertzel's algorithm.
pub fn tone_share(samples: &[f32], frequency: f32) -> f32 {
    let energy: f32 = samples.iter().map(|sample| sample * sample).sum();
    if energy <= f32::EPSILON {
        return 0.0;
    }
    let factor = 2.0 * (TAU * frequency / SAMPLES_PER_SECOND).cos();
    let (mut one, mut two) = (0.0_f32, 0.0_f32);
    for sample in samples {
        (one, two) = (sample + factor * one - two, one);
    }
    let power = one * one + two * two - factor * one * two;
    let length = f32::from(u16::try_from(samples.len()).unwrap_or(u16::MAX));
    (2.0 * power / (length * energy)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_told_from_other_tones_from_noise_and_from_silence() {
        let tone: Vec<_> = Tone::new(1000.0, 0.3).take(480).collect();
        assert!(tone_share(&tone, 1000.0) > 0.99);
        assert!(tone_share(&tone, 2000.0) < 0.01);
        let noise: Vec<f32> = (0..480).map(|_| rand::random::<f32>() - 0.5).collect();
        assert!(tone_share(&noise, 1000.0) < 0.2);
        assert!(tone_share(&[0.0; 480], 1000.0) < 0.01);
        assert!(tone_share(&[], 1000.0) < 0.01);
    }
}
