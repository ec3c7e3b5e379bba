//! What a microphone hears, without what the loudspeaker said, without noise, and about as loud as everybody.

use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, NoiseSuppression,
};
use sonora::{AudioProcessing, Config, StreamConfig};

/// 10 ms, the step of everything in here.
pub(super) const STEP: usize = 480;
const RATE: u32 = 48_000;
/// About how long sound is on its way from us through the loudspeaker to the microphone and back, in milliseconds.
/// The canceller finds the exact value by itself, sooner with a good guess.
const GUESSED_DELAY: i32 = 80;

/// What is done to the microphone's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Processing {
    /// Take away what the loudspeaker plays.
    pub echo: bool,
    /// Take away steady noise.
    pub noise: bool,
    /// Raise quiet voices, calm loud ones.
    pub gain: bool,
}

impl Default for Processing {
    fn default() -> Self {
        Self {
            echo: true,
            noise: true,
            gain: true,
        }
    }
}

pub(super) struct Processor {
    apm: AudioProcessing,
    out: Vec<f32>,
}

impl Processor {
    pub fn new(wanted: Processing) -> Self {
        let mono = StreamConfig::new(RATE, 1);
        Self {
            apm: AudioProcessing::builder()
                .config(config(wanted))
                .capture_config(mono)
                .render_config(mono)
                .build(),
            out: vec![0.0; STEP],
        }
    }

    pub fn set(&mut self, wanted: Processing) {
        self.apm.apply_config(config(wanted));
    }

    /// 10 ms that the loudspeaker gets.
    pub fn far(&mut self, played: &[f32]) {
        let done = self.apm.process_render_f32(&[played], &mut [&mut self.out]);
        if let Err(error) = done {
            tracing::warn!(?error, "The loudspeaker's sound was not taken as reference");
        }
    }

    /// 10 ms that the microphone heard, in place.
    pub fn near(&mut self, heard: &mut [f32]) {
        // Clamped to what is possible, and the guess is possible.
        let _ = self.apm.set_stream_delay_ms(GUESSED_DELAY);
        match self.apm.process_capture_f32(&[heard], &mut [&mut self.out]) {
            Ok(()) => heard.copy_from_slice(&self.out),
            Err(error) => tracing::warn!(?error, "The microphone's sound goes as it is"),
        }
    }
}

fn config(wanted: Processing) -> Config {
    Config {
        high_pass_filter: Some(HighPassFilter::default()),
        echo_canceller: wanted.echo.then(EchoCanceller::default),
        noise_suppression: wanted.noise.then(NoiseSuppression::default),
        gain_controller2: wanted.gain.then(|| GainController2 {
            adaptive_digital: Some(AdaptiveDigital::default()),
            ..GainController2::default()
        }),
        ..Config::default()
    }
}

#[cfg(test)]
#[path = "processing_tests.rs"]
mod tests;
