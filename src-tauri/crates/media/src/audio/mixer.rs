//! Many voices into one loudspeaker.

/// From here up a loud sum is bent instead of cut: −6 dBFS.
const KNEE: f32 = 0.5;
/// Loudest amplification of one person: +12 dB.
const MOST_GAIN: f32 = 4.0;

/// Adds frames of equal length. Quiet sums stay exactly as they are; loud ones stay below full scale.
#[derive(Debug)]
pub struct Mixer {
    sum: Vec<f32>,
}

impl Mixer {
    /// `samples` per frame.
    pub fn new(samples: usize) -> Self {
        Self {
            sum: vec![0.0; samples],
        }
    }

    /// Adds one person's frame, samples from −1 to 1, times `volume` (1 is unchanged, at most 4). Longer frames are
    /// cut, shorter ones end in silence; what is no number is silence.
    pub fn add(&mut self, frame: &[f32], volume: f32) {
        let gain = if volume.is_finite() {
            volume.clamp(0.0, MOST_GAIN)
        } else {
            1.0
        };
        for (sum, sample) in self.sum.iter_mut().zip(frame) {
            if sample.is_finite() {
                *sum += sample * gain;
            }
        }
    }

    /// The mixed frame, and silence for the next one.
    pub fn take(&mut self) -> Vec<f32> {
        self.sum
            .iter_mut()
            .map(|sum| bend(std::mem::take(sum)))
            .collect()
    }
}

fn bend(sample: f32) -> f32 {
    let loud = sample.abs();
    if loud <= KNEE {
        return sample;
    }
    let room = 1.0 - KNEE;
    let bent = KNEE + room * ((loud - KNEE) / room).tanh();
    bent.copysign(sample)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quiet_voices_are_added_exactly_and_the_next_frame_starts_silent() {
        let mut mixer = Mixer::new(3);
        mixer.add(&[0.25, -0.25, 0.0], 1.0);
        mixer.add(&[0.125, 0.125], 2.0);
        assert_eq!(mixer.take(), [0.5, 0.0, 0.0]);
        assert_eq!(mixer.take(), [0.0; 3]);
    }

    proptest! {
        #[test]
        fn whatever_is_added_stays_within_full_scale(
            frames in prop::collection::vec((prop::collection::vec(any::<f32>(), 0..20), any::<f32>()), 0..60),
        ) {
            let mut mixer = Mixer::new(10);
            for (frame, volume) in frames {
                let frame: Vec<_> = frame.iter().map(|sample| sample.clamp(-1.0, 1.0)).collect();
                mixer.add(&frame, volume);
            }
            prop_assert!(mixer.take().iter().all(|sample| sample.abs() <= 1.0));
        }

        #[test]
        fn louder_in_is_never_quieter_out(a in 0.0_f32..20.0, b in 0.0_f32..20.0) {
            prop_assert!(bend(a.min(b)) <= bend(a.max(b)));
        }
    }
}
