//! One voice into Opus packets.

use super::level::level;
use crate::publication::EncodedSound;

const RATE: u32 = 48_000;
/// Samples per packet: 20 ms.
pub(crate) const SAMPLES: usize = 960;
const TICKS: u32 = 960;
const BITRATE: i32 = 32_000;
/// Loss that forward error correction is made for, in percent: a usual bad network. More costs quality.
const EXPECTED_LOSS: i32 = 10;
/// Recommended for the output buffer of `opus_encode`.
const LARGEST_PACKET: usize = 4000;
/// A packet of no more bytes says only that there is nothing to say (RFC 6716 §3.4, discontinuous transmission).
pub(super) const NOTHING: usize = 2;
/// Quieter than this nobody speaks, in −dBov.
const QUIET: u8 = 60;

/// Opus for speech, mono, 48 kHz, with forward error correction. Says nothing while nobody speaks.
pub(crate) struct SoundEncoder {
    encoder: opus::Encoder,
    packet: Vec<u8>,
    timestamp: u32,
    silent: bool,
}

impl SoundEncoder {
    pub fn new() -> opus::Result<Self> {
        let mut encoder = opus::Encoder::new(RATE, opus::Channels::Mono, opus::Application::Voip)?;
        encoder.set_bitrate(opus::Bitrate::Bits(BITRATE))?;
        encoder.set_inband_fec(true)?;
        encoder.set_packet_loss_perc(EXPECTED_LOSS)?;
        encoder.set_dtx(true)?;
        Ok(Self {
            encoder,
            packet: vec![0; LARGEST_PACKET],
            timestamp: rand::random(),
            silent: false,
        })
    }

    /// 20 ms from −1 to 1. `None` when nothing has to be sent: of a silence only the first packet is, so that the
    /// other end knows that it is none of the losses.
    pub fn encode(&mut self, samples: &[f32]) -> opus::Result<Option<EncodedSound>> {
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(TICKS);
        let length = self.encoder.encode_float(samples, &mut self.packet)?;
        let was_silent = std::mem::replace(&mut self.silent, length <= NOTHING);
        if self.silent && was_silent {
            return Ok(None);
        }
        let level = level(samples);
        Ok(Some(EncodedSound {
            data: self
                .packet
                .get(..length)
                .unwrap_or_default()
                .to_vec()
                .into(),
            timestamp,
            level,
            voice: level < QUIET,
        }))
    }

    /// Time passes without a packet.
    pub fn skip(&mut self) {
        self.timestamp = self.timestamp.wrapping_add(TICKS);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::f32::consts::TAU;

    use super::*;

    #[test]
    fn speech_is_sent_every_20_ms_and_silence_almost_never() {
        let mut encoder = SoundEncoder::new().unwrap();
        let tone: Vec<_> = (0..960_u16)
            .map(|at| 0.3 * (TAU * f32::from(at) / 100.0).sin())
            .collect();
        let mut last = None;
        for _ in 0..50 {
            let sent = encoder.encode(&tone).unwrap().unwrap();
            assert!(sent.voice && sent.level < 20);
            if let Some(last) = last.replace(sent.timestamp) {
                assert_eq!(sent.timestamp.wrapping_sub(last), 960);
            }
        }
        let silence = [0.0; SAMPLES];
        let sent = (0..200)
            .filter_map(|_| encoder.encode(&silence).unwrap())
            .collect::<Vec<_>>();
        assert!(sent.len() < 60, "{} of 200 packets", sent.len());
        // Time went on nevertheless.
        let next = encoder.encode(&tone).unwrap().unwrap();
        assert_eq!(next.timestamp.wrapping_sub(last.unwrap()), 201 * 960);
    }
}
