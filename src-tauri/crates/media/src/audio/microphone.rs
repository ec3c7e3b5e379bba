//! The thread between the microphone and the packets: 10 ms at a time.

use std::thread;
use std::time::Duration;

use rtrb::Consumer;

use super::encoding::{SAMPLES, SoundEncoder};
use super::processing::{Processing, Processor, STEP};
use super::resampling::Resampler;
use super::sound::Shared;

const RATE: u32 = 48_000;
/// The device wakes us; this is for when it does not.
const WAKE: Duration = Duration::from_millis(50);

struct Input {
    ring: Consumer<f32>,
    resampler: Resampler,
}

/// `far` is what the loudspeaker plays, mono, 48 kHz.
pub(super) fn run(shared: &Shared, mut far: Consumer<f32>) {
    let mut encoder = match SoundEncoder::new() {
        Ok(encoder) => encoder,
        Err(error) => {
            tracing::error!(%error, "There is no Opus encoder");
            return;
        }
    };
    let mut processing = Processing::default();
    let mut processor = Processor::new(processing);
    let mut input: Option<Input> = None;
    let (mut heard, mut packet) = (Vec::new(), Vec::with_capacity(SAMPLES));
    while !shared.stopped() {
        thread::park_timeout(WAKE);
        if let Some(link) = shared.microphone.take() {
            heard.clear();
            input = Resampler::new(link.rate, RATE)
                .inspect_err(|_| tracing::error!("The microphone has a rate that none converts"))
                .ok()
                .map(|resampler| Input {
                    ring: link.ring,
                    resampler,
                });
        }
        let wanted = shared.processing();
        if wanted != processing {
            processing = wanted;
            processor.set(processing);
        }
        // The loudspeaker's sound comes first: what is heard now was played before.
        while let Some(step) = take(&mut far, STEP) {
            processor.far(&step);
        }
        let Some(open) = &mut input else { continue };
        let waiting = open.ring.slots();
        if let Some(samples) = take(&mut open.ring, waiting) {
            open.resampler.push(&samples, &mut heard);
        } else if open.ring.is_abandoned() {
            input = None;
            shared.microphone_meter.silence();
        }
        let mut steps = heard.chunks_exact_mut(STEP);
        for step in &mut steps {
            shared.overhear(step);
            processor.near(step);
            shared.microphone_meter.measure(step);
            packet.extend_from_slice(step);
            if packet.len() >= SAMPLES {
                send(shared, &mut encoder, &packet);
                packet.clear();
            }
        }
        let rest = steps.into_remainder().len();
        heard.drain(..heard.len() - rest);
    }
}

fn send(shared: &Shared, encoder: &mut SoundEncoder, packet: &[f32]) {
    let publication = shared.publication();
    let Some(publication) = publication.filter(|publication| !publication.muted()) else {
        encoder.skip();
        return;
    };
    match encoder.encode(packet) {
        Ok(Some(sound)) => publication.send(sound),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "The microphone's sound was not encoded"),
    }
}

/// So many samples, if they are there.
fn take(ring: &mut Consumer<f32>, count: usize) -> Option<Vec<f32>> {
    if count == 0 {
        return None;
    }
    let chunk = ring.read_chunk(count).ok()?;
    Some(chunk.into_iter().collect())
}
