#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]

use std::f32::consts::TAU;

use super::*;

const SECOND: usize = 48_000;

struct Random(u32);

impl Random {
    /// From −1 to 1.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as f32 / u32::MAX as f32 * 2.0 - 1.0
    }
}

/// Like a voice: pulses through three resonances that change with each syllable.
fn speech(samples: usize, seed: u32, pitch: f32) -> Vec<f32> {
    let mut random = Random(seed);
    let (mut phase, mut now, mut wanted, mut tone) = (0.0_f32, 0.0_f32, 1.0_f32, pitch);
    let mut formants = [500.0_f32, 1500.0, 2500.0];
    let mut state = [[0.0_f32; 2]; 3];
    (0..samples)
        .map(|at| {
            if at % (SECOND / 5) == 0 {
                formants = [
                    600.0 + 250.0 * random.next(),
                    1500.0 + 600.0 * random.next(),
                    2700.0 + 500.0 * random.next(),
                ];
                wanted = if random.next() > -0.4 { 1.0 } else { 0.05 };
                tone = pitch * (1.0 + 0.2 * random.next());
            }
            now += (wanted - now) * 0.0008;
            phase += tone / SECOND as f32;
            let mut pulse = random.next() * 0.05;
            if phase >= 1.0 {
                phase -= 1.0;
                pulse += 1.0;
            }
            let radius = 0.985_f32;
            let sum: f32 = formants
                .iter()
                .zip(&mut state)
                .map(|(formant, [one, two])| {
                    let angle = TAU * formant / SECOND as f32;
                    let value =
                        pulse * 0.15 + 2.0 * radius * angle.cos() * *one - radius * radius * *two;
                    (*two, *one) = (*one, value);
                    value
                })
                .sum();
            (sum * now * 0.06).clamp(-0.9, 0.9)
        })
        .collect()
}

/// What a room gives back: 35 ms late, and fading for 60 ms.
fn echo(far: &[f32]) -> Vec<f32> {
    let mut random = Random(99);
    let taps: Vec<(usize, f32)> = (0..SECOND * 60 / 1000)
        .step_by(97)
        .map(|at| {
            let fading = (-(at as f32) / (SECOND as f32 * 0.012)).exp();
            (SECOND * 35 / 1000 + at, random.next() * fading * 0.4)
        })
        .collect();
    (0..far.len())
        .map(|at| {
            let heard = taps.iter().filter(|(late, _)| *late <= at);
            heard.map(|(late, gain)| far[at - late] * gain).sum()
        })
        .collect()
}

fn decibels(samples: &[f32]) -> f32 {
    let mean = samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32;
    10.0 * (mean + 1e-12).log10()
}

fn run(processor: &mut Processor, far: &[f32], near: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    for (far, near) in far.chunks_exact(STEP).zip(near.chunks_exact(STEP)) {
        processor.far(far);
        let mut heard = near.to_vec();
        processor.near(&mut heard);
        out.append(&mut heard);
    }
    out
}

#[test]
fn the_loudspeakers_sound_is_gone_from_the_microphone_after_two_seconds() {
    let far = speech(5 * SECOND, 12_345, 120.0);
    let heard = echo(&far);
    let only_echo = Processing {
        echo: true,
        noise: false,
        gain: false,
    };
    let out = run(&mut Processor::new(only_echo), &far, &heard);
    let (before, after) = (decibels(&heard[2 * SECOND..]), decibels(&out[2 * SECOND..]));
    assert!(
        before - after > 25.0,
        "{before} dB before, {after} dB after"
    );
}

#[test]
fn ones_own_voice_stays_when_nobody_else_speaks() {
    let near = speech(3 * SECOND, 777, 210.0);
    let only_echo = Processing {
        echo: true,
        noise: false,
        gain: false,
    };
    let silence = vec![0.0; near.len()];
    let out = run(&mut Processor::new(only_echo), &silence, &near);
    let lost = decibels(&near[SECOND..]) - decibels(&out[SECOND..]);
    assert!(lost.abs() < 3.0, "{lost} dB lost");
}

#[test]
fn steady_noise_is_taken_away() {
    let mut random = Random(7);
    let noise: Vec<_> = (0..4 * SECOND).map(|_| 0.02 * random.next()).collect();
    let only_noise = Processing {
        echo: false,
        noise: true,
        gain: false,
    };
    let silence = vec![0.0; noise.len()];
    let out = run(&mut Processor::new(only_noise), &silence, &noise);
    let taken = decibels(&noise[2 * SECOND..]) - decibels(&out[2 * SECOND..]);
    assert!(taken > 6.0, "{taken} dB");
}

#[test]
fn a_quiet_voice_is_raised() {
    let near: Vec<_> = speech(6 * SECOND, 777, 210.0)
        .iter()
        .map(|sample| sample * 0.05)
        .collect();
    let only_gain = Processing {
        echo: false,
        noise: false,
        gain: true,
    };
    let silence = vec![0.0; near.len()];
    let out = run(&mut Processor::new(only_gain), &silence, &near);
    let raised = decibels(&out[4 * SECOND..]) - decibels(&near[4 * SECOND..]);
    assert!(raised > 6.0, "{raised} dB");
    assert!(out.iter().all(|sample| sample.abs() <= 1.0));
}
