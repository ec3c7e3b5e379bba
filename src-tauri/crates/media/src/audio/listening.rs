//! A thread that plays everybody's packets into one stream of sound.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::jitter::{JitterBuffer, JitterCounts, Playout};
use super::mixer::Mixer;
use crate::incoming::AudioFeed;

const RATE: u32 = 48_000;
const FRAME: Duration = Duration::from_millis(20);
/// 20 ms, mono.
const SAMPLES: usize = 960;
/// 120 ms, the longest Opus packet (RFC 6716 §2.1.4).
const LONGEST_PACKET: usize = 5760;
/// Frames that wait for a loudspeaker; one that falls behind loses sound instead of adding delay.
const QUEUE: usize = 3;
/// Sound below this may be left out to shorten a delay: −46 dBFS.
const QUIET: f32 = 0.005;

/// Everybody's sound, mixed. The thread ends with this.
pub struct Listening {
    voices: Arc<Mutex<HashMap<String, Voice>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Voice {
    feed: AudioFeed,
    buffer: JitterBuffer,
    decoder: opus::Decoder,
    decoded: Vec<f32>,
    volume: f32,
}

impl Listening {
    /// Also returns the mixed sound: mono, 48 kHz, frames of 960 samples from −1 to 1, one each 20 ms.
    pub fn start() -> io::Result<(Self, mpsc::Receiver<Vec<f32>>)> {
        let (sender, frames) = mpsc::channel(QUEUE);
        let voices: Arc<Mutex<HashMap<String, Voice>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (heard, stopped) = (voices.clone(), stop.clone());
        let thread = thread::Builder::new()
            .name("listening".to_owned())
            .spawn(move || play(&heard, &sender, &stopped))?;
        let listening = Self {
            voices,
            stop,
            thread: Some(thread),
        };
        Ok((listening, frames))
    }

    /// Plays a track from now on, until it ends. `volume` 1 is as it was sent, 4 the most.
    pub fn add(&self, sid: &str, feed: AudioFeed, volume: f32) -> opus::Result<()> {
        let voice = Voice {
            feed,
            buffer: JitterBuffer::new(),
            decoder: opus::Decoder::new(RATE, opus::Channels::Mono)?,
            decoded: Vec::with_capacity(2 * LONGEST_PACKET),
            volume,
        };
        lock(&self.voices).insert(sid.to_owned(), voice);
        Ok(())
    }

    /// From the next 20 ms on.
    pub fn set_volume(&self, sid: &str, volume: f32) {
        if let Some(voice) = lock(&self.voices).get_mut(sid) {
            voice.volume = volume;
        }
    }

    pub fn remove(&self, sid: &str) {
        lock(&self.voices).remove(sid);
    }

    /// What was played and what had to be made up; `None` for a track that is not played.
    pub fn counts(&self, sid: &str) -> Option<JitterCounts> {
        lock(&self.voices)
            .get(sid)
            .map(|voice| voice.buffer.counts())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It wakes every 20 ms.
            let _ = thread.join();
        }
    }
}

fn play(
    voices: &Mutex<HashMap<String, Voice>>,
    frames: &mpsc::Sender<Vec<f32>>,
    stop: &AtomicBool,
) {
    let mut mixer = Mixer::new(SAMPLES);
    let mut due = Instant::now();
    while !stop.load(Relaxed) && !frames.is_closed() {
        lock(voices).retain(|_, voice| voice.fill());
        for voice in lock(voices).values_mut() {
            let sound = voice.next();
            mixer.add(&sound, voice.volume);
        }
        let _ = frames.try_send(mixer.take());
        due += FRAME;
        let now = Instant::now();
        // After a sleep of the machine there is nothing to catch up with.
        due = due.max(now.checked_sub(FRAME).unwrap_or(now));
        thread::sleep(due.saturating_duration_since(now));
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

    /// The next 20 ms.
    fn next(&mut self) -> Vec<f32> {
        while self.decoded.len() < SAMPLES {
            let mut sound = vec![0.0; LONGEST_PACKET];
            let (length, may_skip) = match self.buffer.pull() {
                Playout::Packet { data, may_skip } => (
                    self.decoder.decode_float(&data, &mut sound, false),
                    may_skip,
                ),
                Playout::Recover { next } => {
                    sound.truncate(SAMPLES);
                    (self.decoder.decode_float(&next, &mut sound, true), false)
                }
                Playout::Conceal => {
                    sound.truncate(SAMPLES);
                    (self.decoder.decode_float(&[], &mut sound, false), false)
                }
                Playout::Silence => (Ok(SAMPLES), false),
            };
            // A packet that cannot be decoded is as silent as none.
            let length = length.unwrap_or(SAMPLES).max(1);
            sound.truncate(length);
            if may_skip && sound.iter().all(|sample| sample.abs() < QUIET) {
                sound.truncate(length / 2);
            }
            self.decoded.append(&mut sound);
        }
        let rest = self.decoded.split_off(SAMPLES);
        std::mem::replace(&mut self.decoded, rest)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
