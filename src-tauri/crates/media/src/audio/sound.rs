//! This computer's microphone and loudspeaker in a meeting.
//!
//! ```text
//! microphone ─▶ ring ─▶ 48 kHz ─▶ echo, noise, gain ─▶ level ─▶ Opus ─▶ publication
//!                                  ▲ what is played
//! loudspeaker ◀─ ring ◀─ its rate ◀┴─ everybody, mixed ◀─ jitter buffers ◀─ feeds
//! ```
//! A third thread opens the devices, only while something is published or heard; a fourth looks which ones there are.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self as thread_channel, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::devices::{DeviceKind, SoundDevices, SoundEvent};
use super::level::{Meter, level};
use super::looking::Newest;
use super::ports::Ports;
use super::processing::Processing;
use super::tone::{Tone, tone_share};
use super::voices::Voices;
use super::{looking, microphone, speaker};
use crate::incoming::AudioFeed;
use crate::publication::AudioPublication;

/// Events that wait for the application; of more the oldest are lost.
const EVENTS: usize = 64;
/// What is played is kept for the echo canceller for half a second.
const REFERENCE: usize = 24_000;
/// Steps of 10 ms that a loop test is behind at most.
const OVERHEARD: usize = 128;
const TEST_TONE: f32 = 1000.0;
const TEST_AMPLITUDE: f32 = 0.3;
/// 1.5 s.
const TEST_SAMPLES: usize = 72_000;
/// How often the tone is played in a loop test before it is given up.
const TEST_TONES: u32 = 3;
/// Longest wait in a loop test for the microphone, then for the loudspeaker, and then for the tone.
const TESTING: Duration = Duration::from_secs(10);
/// Steps of 10 ms that have to be the tone.
const SURE: u32 = 10;

/// What the person chose. Ids come from [`SoundDevices`]; without one the system's default is taken.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SoundChoice {
    pub microphone: Option<String>,
    pub speaker: Option<String>,
    pub processing: Processing,
}

/// The microphone and the loudspeaker. They are closed when this is dropped.
pub struct Sound {
    shared: Arc<Shared>,
    devices: watch::Receiver<SoundDevices>,
    wake: SyncSender<()>,
    threads: Vec<JoinHandle<()>>,
}

/// What happens to the devices.
pub struct SoundEvents {
    events: broadcast::Receiver<SoundEvent>,
}

/// What a loop test found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoopTest {
    /// The microphone gives sound at all.
    pub records: bool,
    /// The microphone heard the tone that the loudspeaker played. With a headset on it cannot.
    pub heard: bool,
    /// The loudest that was heard, in −dBov: 0 is the loudest, 127 silence.
    pub level: u8,
}

impl SoundEvents {
    /// `None` once the sound is closed.
    pub async fn next(&mut self) -> Option<SoundEvent> {
        loop {
            match self.events.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Sound {
    /// Nothing is opened before something is published or heard.
    pub fn start(choice: SoundChoice) -> io::Result<(Self, SoundEvents)> {
        let (tell, events) = broadcast::channel(EVENTS);
        let (tell_devices, devices) = watch::channel(SoundDevices::default());
        let (wake, woken) = thread_channel::sync_channel(4);
        let (played, reference) = RingBuffer::new(REFERENCE);
        let shared = Arc::new(Shared::new(choice));
        let start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(run)
        };
        let own = shared.clone();
        let microphone = start(
            "microphone",
            Box::new(move || microphone::run(&own, reference)),
        )?;
        let own = shared.clone();
        let speaker = start("speaker", Box::new(move || speaker::run(&own, played)))?;
        let newest = Arc::<Newest>::default();
        let (own, list, listed) = (shared.clone(), newest.clone(), wake.clone());
        // Neither of the two is waited for at the end: a sound server that hangs would hold us.
        start(
            "sound-list",
            Box::new(move || looking::run(&own, &list, &listed)),
        )?;
        let ports = Ports {
            shared: shared.clone(),
            newest,
            devices: tell_devices,
            events: tell,
            microphone: microphone.thread().clone(),
            speaker: speaker.thread().clone(),
        };
        start("sound-devices", Box::new(move || ports.run(&woken)))?;
        let sound = Self {
            shared,
            devices,
            wake,
            threads: vec![microphone, speaker],
        };
        Ok((sound, SoundEvents { events }))
    }

    /// What is plugged in: empty for a moment after the start.
    pub fn devices(&self) -> watch::Receiver<SoundDevices> {
        self.devices.clone()
    }

    /// Takes this device from now on, and whenever it is there. `None`: the system's default.
    pub fn choose(&self, kind: DeviceKind, id: Option<String>) {
        self.shared.choose(kind, id);
        self.look();
    }

    /// From the next 10 ms on.
    pub fn process(&self, processing: Processing) {
        lock(&self.shared.choice).processing = processing;
    }

    /// Opens the microphone and publishes it, instead of into a former publication, until that ends.
    pub fn publish(&self, publication: AudioPublication) {
        *lock(&self.shared.publication) = Some(publication);
        self.look();
    }

    /// Closes the microphone.
    pub fn stop_publishing(&self) {
        *lock(&self.shared.publication) = None;
        self.look();
    }

    /// Plays a track until it ends. `volume` 1 is as it was sent, 4 the most.
    pub fn play(&self, sid: &str, feed: AudioFeed, volume: f32) -> opus::Result<()> {
        self.shared.voices.add(sid, feed, volume)?;
        self.look();
        Ok(())
    }

    /// Volumes, levels and counts of the tracks that are played.
    pub fn voices(&self) -> &Voices {
        &self.shared.voices
    }

    /// Keeps the microphone open without publishing it, so that its level can be shown.
    pub fn preview_microphone(&self, preview: bool) {
        self.shared.preview.store(preview, Relaxed);
        self.look();
    }

    /// How loud the microphone is now, as others hear it, in −dBov: 0 is the loudest, 127 silence.
    pub fn microphone_level(&self) -> u8 {
        self.shared.microphone_meter.read()
    }

    /// A tone from the loudspeaker, for 1.5 s.
    pub fn play_test_tone(&self) {
        let tone = Tone::new(TEST_TONE, TEST_AMPLITUDE).take(TEST_SAMPLES);
        self.shared.voices.play_once(tone.collect());
        self.look();
    }

    /// Plays a tone and listens whether the microphone hears it.
    pub async fn loop_test(&self) -> LoopTest {
        let mut found = LoopTest {
            records: false,
            heard: false,
            level: 127,
        };
        let (overheard, mut steps) = mpsc::channel(OVERHEARD);
        *lock(&self.shared.overheard) = Some(overheard);
        self.look();
        // A stream may begin with what an earlier one left; a second step comes from now.
        for _ in 0..2 {
            if !matches!(timeout(TESTING, steps.recv()).await, Ok(Some(_))) {
                *lock(&self.shared.overheard) = None;
                self.look();
                return found;
            }
        }
        found.records = true;
        let mut until = Instant::now() + TESTING;
        let (mut tones, mut heard, mut plays) = (0, 0, false);
        while let Ok(Some(step)) = timeout_at(until, steps.recv()).await {
            found.level = found.level.min(level(&step));
            heard += u32::from(tone_share(&step, TEST_TONE) > 0.6);
            if heard == SURE {
                found.heard = true;
                break;
            }
            let left = self.shared.voices.left_to_play();
            if !plays && (1..TEST_SAMPLES).contains(&left) {
                // A loudspeaker that is slow to open says nothing about the microphone.
                plays = true;
                until = Instant::now() + TESTING;
            }
            // A loudspeaker that has just been opened may swallow the beginning.
            if left == 0 {
                if tones == TEST_TONES {
                    break;
                }
                tones += 1;
                self.play_test_tone();
            }
        }
        *lock(&self.shared.overheard) = None;
        // Without a loudspeaker the tone would still wait for one.
        self.shared.voices.play_once(Vec::new());
        self.look();
        found
    }

    fn look(&self) {
        // A full channel is a look that is still to come.
        let _ = self.wake.try_send(());
    }
}

impl Drop for Sound {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        self.look();
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// A newly opened device.
pub(super) struct Link<R> {
    pub ring: R,
    /// Of the device, in hertz.
    pub rate: u32,
}

/// Where a newly opened device is handed over.
pub(super) struct Slot<T>(Mutex<Option<T>>);

impl<T> Slot<T> {
    pub fn put(&self, value: T) {
        *lock(&self.0) = Some(value);
    }

    pub fn take(&self) -> Option<T> {
        lock(&self.0).take()
    }
}

/// What the threads have in common.
pub(super) struct Shared {
    stop: AtomicBool,
    choice: Mutex<SoundChoice>,
    just_chosen: [AtomicBool; 2],
    publication: Mutex<Option<AudioPublication>>,
    preview: AtomicBool,
    overheard: Mutex<Option<mpsc::Sender<Vec<f32>>>>,
    pub microphone: Slot<Link<Consumer<f32>>>,
    pub speaker: Slot<Link<Producer<f32>>>,
    pub microphone_meter: Meter,
    pub voices: Voices,
}

impl Shared {
    fn new(choice: SoundChoice) -> Self {
        Self {
            stop: AtomicBool::new(false),
            choice: Mutex::new(choice),
            just_chosen: Default::default(),
            publication: Mutex::default(),
            preview: AtomicBool::new(false),
            overheard: Mutex::default(),
            microphone: Slot(Mutex::new(None)),
            speaker: Slot(Mutex::new(None)),
            microphone_meter: Meter::default(),
            voices: Voices::default(),
        }
    }

    pub fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    pub fn processing(&self) -> Processing {
        lock(&self.choice).processing
    }

    /// The publication that the microphone goes into, while there is one.
    pub fn publication(&self) -> Option<AudioPublication> {
        let publication = lock(&self.publication).clone();
        publication.filter(|publication| !publication.ended())
    }

    /// Whether the device has to be open.
    pub fn needs(&self, kind: DeviceKind) -> bool {
        match kind {
            DeviceKind::Microphone => {
                self.preview.load(Relaxed)
                    || lock(&self.overheard).is_some()
                    || self.publication().is_some()
            }
            DeviceKind::Speaker => self.voices.any(),
        }
    }

    /// The id of the chosen device, and whether it was chosen since the last time.
    pub fn wanted(&self, kind: DeviceKind) -> (Option<String>, bool) {
        let [microphone, speaker] = &self.just_chosen;
        let choice = lock(&self.choice);
        let (wanted, just_chosen) = match kind {
            DeviceKind::Microphone => (&choice.microphone, microphone),
            DeviceKind::Speaker => (&choice.speaker, speaker),
        };
        let wanted = wanted.clone();
        (wanted, just_chosen.swap(false, Relaxed))
    }

    fn choose(&self, kind: DeviceKind, id: Option<String>) {
        let [microphone, speaker] = &self.just_chosen;
        let mut choice = lock(&self.choice);
        let (wanted, just_chosen) = match kind {
            DeviceKind::Microphone => (&mut choice.microphone, microphone),
            DeviceKind::Speaker => (&mut choice.speaker, speaker),
        };
        *wanted = id;
        just_chosen.store(true, Relaxed);
    }

    /// Hands what the microphone heard, as it came, to a loop test.
    pub fn overhear(&self, step: &[f32]) {
        if let Some(overheard) = &*lock(&self.overheard) {
            // A test that is late misses a step.
            let _ = overheard.try_send(step.to_vec());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
