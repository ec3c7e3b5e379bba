//! A thread that plays everybody's packets into one stream of sound, for whoever has no loudspeaker of ours.

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::mixer::Mixer;
use super::processing::STEP;
use super::voices::Voices;

const FRAME: Duration = Duration::from_millis(20);
/// Frames that wait to be taken; one who falls behind loses sound instead of adding delay.
const QUEUE: usize = 3;

/// Everybody's sound, mixed, at the pace of the clock. The thread ends with this.
pub struct Listening {
    voices: Arc<Voices>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// Also returns the mixed sound: mono, 48 kHz, frames of 960 samples from −1 to 1, one each 20 ms.
    pub fn start() -> io::Result<(Self, mpsc::Receiver<Vec<f32>>)> {
        let (sender, frames) = mpsc::channel(QUEUE);
        let voices: Arc<Voices> = Arc::default();
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
}

impl Deref for Listening {
    type Target = Voices;

    fn deref(&self) -> &Voices {
        &self.voices
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

fn play(voices: &Voices, frames: &mpsc::Sender<Vec<f32>>, stop: &AtomicBool) {
    let mut mixer = Mixer::new(STEP);
    let mut due = Instant::now();
    while !stop.load(Relaxed) && !frames.is_closed() {
        let mut frame = voices.next(&mut mixer);
        frame.append(&mut voices.next(&mut mixer));
        let _ = frames.try_send(frame);
        due += FRAME;
        let now = Instant::now();
        // After a sleep of the machine there is nothing to catch up with.
        due = due.max(now.checked_sub(FRAME).unwrap_or(now));
        thread::sleep(due.saturating_duration_since(now));
    }
}
