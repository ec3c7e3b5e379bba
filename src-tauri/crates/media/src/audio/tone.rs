//! A tone in place of a microphone.

use std::f32::consts::TAU;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::publication::{AudioPublication, EncodedSound};

const RATE: u32 = 48_000;
const TICKS_PER_SECOND: f32 = 48_000.0;
/// 20 ms.
const SAMPLES: u16 = 960;
const FRAME: Duration = Duration::from_millis(20);
const BITRATE: i32 = 32_000;
/// Recommended for the output buffer of `opus_encode`.
const LARGEST_PACKET: usize = 4000;

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
    let mut encoder = opus::Encoder::new(RATE, opus::Channels::Mono, opus::Application::Voip)?;
    encoder.set_bitrate(opus::Bitrate::Bits(BITRATE))?;
    encoder.set_inband_fec(true)?;
    encoder.set_packet_loss_perc(10)?;
    let started = Instant::now();
    let mut phase = 0.0_f32;
    let mut packet = vec![0; LARGEST_PACKET];
    for frame in 0_u32.. {
        let due = started + FRAME * frame;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if ended() {
            break;
        }
        let samples: Vec<f32> = (0..SAMPLES)
            .map(|_| {
                phase = (phase + TAU * frequency / TICKS_PER_SECOND) % TAU;
                phase.sin() * amplitude
            })
            .collect();
        let length = encoder.encode_float(&samples, &mut packet)?;
        let level = level(&samples);
        publication.send(EncodedSound {
            data: packet.get(..length).unwrap_or_default().to_vec().into(),
            timestamp: frame.wrapping_mul(SAMPLES.into()),
            level,
            voice: level < 60,
        });
    }
    Ok(())
}

/// RFC 6464 §3: −dBov of the root mean square, 0 to 127.
fn level(samples: &[f32]) -> u8 {
    let mean = samples.iter().map(|sample| sample * sample).sum::<f32>()
        / f32::from(u16::try_from(samples.len().max(1)).unwrap_or(u16::MAX));
    let decibels = -10.0 * mean.max(1e-13).log10();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // clamped
    let level = decibels.round().clamp(0.0, 127.0) as u8;
    level
}

#[cfg(test)]
mod tests {
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
}
