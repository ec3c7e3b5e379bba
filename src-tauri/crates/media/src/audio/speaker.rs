//! The thread between everybody's packets and the loudspeaker: 10 ms at a time, as fast as the device takes them.

use std::thread;
use std::time::Duration;

use rtrb::Producer;

use super::mixer::Mixer;
use super::processing::STEP;
use super::resampling::Resampler;
use super::sound::Shared;

const RATE: u32 = 48_000;
/// The device wakes us; this is for when it does not.
const WAKE: Duration = Duration::from_millis(50);
/// What waits for the device, as a part of a second: a piece of 20 ms, and 10 ms to make the next one.
const AHEAD: u32 = 33;

struct Output {
    ring: Producer<f32>,
    resampler: Resampler,
    capacity: usize,
    ahead: usize,
}

/// `far` gets what is played, mono, 48 kHz, for the echo canceller.
pub(super) fn run(shared: &Shared, mut far: Producer<f32>) {
    let mut mixer = Mixer::new(STEP);
    let mut output: Option<Output> = None;
    let mut made = Vec::new();
    while !shared.stopped() {
        thread::park_timeout(WAKE);
        if let Some(link) = shared.speaker.take() {
            made.clear();
            output = Resampler::new(RATE, link.rate)
                .inspect_err(|_| tracing::error!("The loudspeaker has a rate that none converts"))
                .ok()
                .map(|resampler| Output {
                    capacity: link.ring.slots(),
                    ahead: usize::try_from(link.rate / AHEAD).unwrap_or(STEP),
                    ring: link.ring,
                    resampler,
                });
        }
        let Some(open) = &mut output else { continue };
        if open.ring.is_abandoned() {
            output = None;
            continue;
        }
        while open.capacity - open.ring.slots() < open.ahead {
            let step = shared.voices.next(&mut mixer);
            for sample in &step {
                // Nobody records: then nobody needs it.
                if far.push(*sample).is_err() {
                    break;
                }
            }
            open.resampler.push(&step, &mut made);
            for sample in made.drain(..) {
                // The ring has eight times as much room as is ever in it.
                if open.ring.push(sample).is_err() {
                    break;
                }
            }
        }
    }
}
