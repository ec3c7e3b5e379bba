//! Everybody else: who is heard, how loud, and the next 10 ms of all of them together.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::jitter::{JitterBuffer, JitterCounts, Playout, Skip};
use super::level::Meter;
use super::mixer::Mixer;
use super::processing::STEP;
use crate::incoming::AudioFeed;

const RATE: u32 = 48_000;
/// 20 ms, the packet that everybody sends.
const PACKET: usize = 960;
/// 120 ms, the longest Opus packet (RFC 6716 §2.1.4).
const LONGEST_PACKET: usize = 5760;
/// Sound below this may be left out to shorten a delay: −46 dBFS.
const QUIET: f32 = 0.005;

/// The tracks that are heard.
#[derive(Default)]
pub struct Voices {
    tracks: Mutex<HashMap<String, Voice>>,
    /// Sounds of our own: a test tone.
    chime: Mutex<VecDeque<f32>>,
    meter: Meter,
}

struct Voice {
    feed: AudioFeed,
    buffer: JitterBuffer,
    decoder: opus::Decoder,
    decoded: Vec<f32>,
    volume: f32,
    meter: Meter,
}

impl Voices {
    /// Plays a track from now on, until it ends. `volume` 1 is as it was sent, 4 the most.
    pub fn add(&self, sid: &str, feed: AudioFeed, volume: f32) -> opus::Result<()> {
        let voice = Voice {
            feed,
            buffer: JitterBuffer::new(),
            decoder: opus::Decoder::new(RATE, opus::Channels::Mono)?,
            decoded: Vec::with_capacity(2 * LONGEST_PACKET),
            volume,
            meter: Meter::default(),
        };
        lock(&self.tracks).insert(sid.to_owned(), voice);
        Ok(())
    }

    /// From the next 10 ms on.
    pub fn set_volume(&self, sid: &str, volume: f32) {
        if let Some(voice) = lock(&self.tracks).get_mut(sid) {
            voice.volume = volume;
        }
    }

    pub fn remove(&self, sid: &str) {
        lock(&self.tracks).remove(sid);
    }

    /// What was played and what had to be made up; `None` for a track that is not played.
    pub fn counts(&self, sid: &str) -> Option<JitterCounts> {
        lock(&self.tracks)
            .get(sid)
            .map(|voice| voice.buffer.counts())
    }

    /// How loud a track is now, before its volume, in −dBov: 0 is the loudest, 127 silence.
    pub fn level(&self, sid: &str) -> u8 {
        let voices = lock(&self.tracks);
        voices.get(sid).map_or(127, |voice| voice.meter.read())
    }

    /// How loud all of it is, as [`Voices::level`].
    pub fn level_of_all(&self) -> u8 {
        self.meter.read()
    }

    /// Whether there is something to play, now or later.
    pub(super) fn any(&self) -> bool {
        !lock(&self.tracks).is_empty() || !lock(&self.chime).is_empty()
    }

    /// Samples of a sound of our own that no loudspeaker has taken yet.
    pub(super) fn left_to_play(&self) -> usize {
        lock(&self.chime).len()
    }

    /// Plays this once, mono, 48 kHz. What still plays of an earlier one is left out.
    pub(super) fn play_once(&self, samples: Vec<f32>) {
        *lock(&self.chime) = samples.into();
    }

    /// The next 10 ms of everybody: [`STEP`] samples.
    pub(super) fn next(&self, mixer: &mut Mixer) -> Vec<f32> {
        let mut voices = lock(&self.tracks);
        voices.retain(|_, voice| voice.fill());
        for voice in voices.values_mut() {
            let sound = voice.next();
            voice.meter.measure(&sound);
            mixer.add(&sound, voice.volume);
        }
        drop(voices);
        let mut chime = lock(&self.chime);
        let length = chime.len().min(STEP);
        mixer.add(&chime.drain(..length).collect::<Vec<_>>(), 1.0);
        drop(chime);
        let together = mixer.take();
        self.meter.measure(&together);
        together
    }
}

impl Voice {
    /// Takes in what arrived. False when the track has ended.
    fn fill(&mut self) -> bool {
        loop {
            match self.feed.try_next() {
                Ok(Some(packet)) => {
                    self.buffer.push(
                        packet.sequence,
                        packet.timestamp,
                        packet.data,
                        packet.arrived,
                    );
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// The next 10 ms.
    fn next(&mut self) -> Vec<f32> {
        while self.decoded.len() < STEP {
            let mut sound = vec![0.0; LONGEST_PACKET];
            let (length, skip) = match self.buffer.pull() {
                Playout::Packet { data, skip } => {
                    (self.decoder.decode_float(&data, &mut sound, false), skip)
                }
                Playout::Recover { next } => {
                    sound.truncate(PACKET);
                    let decoded = self.decoder.decode_float(&next, &mut sound, true);
                    (decoded, Skip::No)
                }
                Playout::Conceal => {
                    sound.truncate(PACKET);
                    let decoded = self.decoder.decode_float(&[], &mut sound, false);
                    (decoded, Skip::No)
                }
                Playout::Silence => (Ok(PACKET), Skip::No),
            };
            // A packet that cannot be decoded is as silent as none.
            let length = length.unwrap_or(PACKET).max(1);
            sound.truncate(length);
            let quiet = || sound.iter().all(|sample| sample.abs() < QUIET);
            if skip == Skip::Now || skip == Skip::IfQuiet && quiet() {
                shorten(&mut sound);
            }
            self.decoded.append(&mut sound);
        }
        let rest = self.decoded.split_off(STEP);
        std::mem::replace(&mut self.decoded, rest)
    }
}

/// Half as long: the first half goes over into the second one.
fn shorten(sound: &mut Vec<f32>) {
    let half = sound.len() / 2;
    let (first, second) = sound.split_at_mut(half);
    let mut share = 0.0;
    let step = 1.0 / f32::from(u16::try_from(half.max(1)).unwrap_or(u16::MAX));
    for (early, late) in first.iter_mut().zip(second) {
        *early = *early * (1.0 - share) + *late * share;
        share += step;
    }
    sound.truncate(half);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortened_sound_begins_as_before_and_ends_as_before_without_a_jump() {
        let mut sound: Vec<f32> = (0..960_u16).map(|at| f32::from(at) / 960.0).collect();
        shorten(&mut sound);
        assert_eq!(sound.len(), 480);
        assert!(sound.first().is_some_and(|first| first.abs() < 0.001));
        assert!(sound.last().is_some_and(|last| *last > 0.99));
        assert!(
            sound
                .windows(2)
                .all(|pair| (pair[1] - pair[0]).abs() < 0.004)
        );
    }

    #[test]
    fn a_sound_of_our_own_is_played_once() {
        let voices = Voices::default();
        let mut mixer = Mixer::new(STEP);
        voices.play_once(vec![0.25; STEP + 1]);
        assert!(voices.any());
        assert_eq!(voices.next(&mut mixer), vec![0.25; STEP]);
        assert!(voices.level_of_all() < 20);
        let end = voices.next(&mut mixer);
        assert_eq!(end.iter().filter(|sample| **sample != 0.0).count(), 1);
        assert!(!voices.any());
    }
}
