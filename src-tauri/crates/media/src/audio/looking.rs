//! The thread that looks which devices there are.
//!
//! It is not the one that opens them, and has a connection of its own to the sound server: on a busy computer a list takes
//! seconds, and over the connection of a running stream more than ten. A loudspeaker that is needed now must not wait for
//! that.

use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::devices::SoundDevices;
use super::host::Host;
use super::sound::Shared;

/// How often the devices are looked at. The systems' own notices are all different; this is the same everywhere.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// A list that takes so long is worth a line in the log.
const SLOW: Duration = Duration::from_secs(1);

/// What was plugged in.
pub(super) struct Listed {
    pub devices: SoundDevices,
    /// When it was asked for: what was unplugged later may still be in it.
    pub began: Instant,
}

/// The newest list that nobody took yet.
#[derive(Default)]
pub(super) struct Newest(Mutex<Option<Listed>>);

impl Newest {
    pub fn take(&self) -> Option<Listed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, listed: Listed) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(listed);
    }
}

/// Until the program is told to stop; `wake` tells of each list.
pub(super) fn run(shared: &Shared, newest: &Newest, wake: &SyncSender<()>) {
    let mut host = Host::new();
    while !shared.stopped() {
        let began = Instant::now();
        let devices = host.devices();
        if began.elapsed() > SLOW {
            let took = began.elapsed().as_millis();
            tracing::debug!(took, "The sound devices are slow to be listed");
        }
        newest.put(Listed { devices, began });
        // A full channel is a look that is still to come.
        let _ = wake.try_send(());
        thread::sleep(LOOK);
    }
}
