//! The thread that knows the devices: keeps a microphone and a loudspeaker open while they are needed, and goes on with
//! the next one when one is gone.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rtrb::RingBuffer;
use tokio::sync::{broadcast, watch};

use super::devices::{
    Because, Before, DeviceKind, SoundDevice, SoundDevices, SoundEvent, Trouble, change, order,
};
use super::host::{Host, Stream};
use super::looking::{LOOK, Listed, Newest};
use super::sound::{Link, Shared};

/// A stream that gives or takes nothing for so long has died without a word.
const STALLED: Duration = Duration::from_secs(2);
/// A device that refused is asked again after this, while another one works.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Part of a second that a ring holds.
const RING: u32 = 4;

pub(super) struct Ports {
    pub shared: std::sync::Arc<Shared>,
    pub newest: std::sync::Arc<Newest>,
    pub devices: watch::Sender<SoundDevices>,
    pub events: broadcast::Sender<SoundEvent>,
    pub microphone: std::thread::Thread,
    pub speaker: std::thread::Thread,
}

/// What is open on one side.
struct Port {
    kind: DeviceKind,
    open: Option<Open>,
    /// There was one before, so the next one does not just start.
    interrupted: bool,
    told: Option<Trouble>,
    refused: HashMap<String, Instant>,
}

struct Open {
    device: SoundDevice,
    stream: Stream,
    pieces: u64,
    alive: Instant,
    /// When it was first seen that it does not work any more.
    failed: Option<Instant>,
}

impl Ports {
    /// Until the program is told to stop.
    pub fn run(self, wake: &Receiver<()>) {
        let mut ports = [
            Port::new(DeviceKind::Microphone),
            Port::new(DeviceKind::Speaker),
        ];
        let mut listed: Option<Listed> = None;
        while !self.shared.stopped() {
            for open in ports.iter_mut().filter_map(|port| port.open.as_mut()) {
                open.look();
            }
            if let Some(newer) = self.newest.take() {
                self.devices.send_if_modified(|known| {
                    let changed = *known != newer.devices;
                    known.clone_from(&newer.devices);
                    changed
                });
                listed = Some(newer);
            }
            if let Some(listed) = &listed {
                for port in &mut ports {
                    self.tend(port, listed);
                }
            }
            match wake.recv_timeout(LOOK) {
                // Several wishes at once are one look.
                Ok(()) => while wake.try_recv().is_ok() {},
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn tend(&self, port: &mut Port, listed: &Listed) {
        if !self.shared.needs(port.kind) {
            *port = Port::new(port.kind);
            return;
        }
        // One that ended because it was unplugged is no longer in a list that was asked for afterwards.
        let failed = port.open.as_ref().and_then(|open| open.failed);
        if failed.is_some_and(|failed| failed > listed.began) {
            return;
        }
        let devices = listed.devices.of(port.kind);
        port.refused.retain(|_, until| *until > Instant::now());
        let askable: Vec<_> = devices
            .iter()
            .filter(|device| !port.refused.contains_key(&device.id))
            .cloned()
            .collect();
        let (wanted, just_chosen) = self.shared.wanted(port.kind);
        let before = port.open.as_ref().map(|open| Before {
            id: &open.device.id,
            works: open.failed.is_none(),
        });
        let Some(because) = change(&askable, wanted.as_deref(), just_chosen, before) else {
            return;
        };
        let replaceable = matches!(because, Because::Unplugged | Because::Failed);
        if replaceable {
            // It may be the same device, which some systems give only once.
            port.interrupted |= port.open.take().is_some();
        }
        let mut first_trouble = None;
        for device in order(&askable, wanted.as_deref()) {
            if port.open.as_ref().is_some_and(|o| o.device.id == device.id) {
                // What comes from here on is no better.
                return;
            }
            match self.open(port.kind, &device.id) {
                Ok(stream) => return self.opened(port, device, stream, because),
                Err(trouble) => {
                    first_trouble = first_trouble.or(Some(trouble));
                    let until = Instant::now() + ASK_AGAIN;
                    port.refused.insert(device.id.clone(), until);
                }
            }
        }
        // Those that refused a moment ago are still the reason.
        let trouble = first_trouble.or(port.told).unwrap_or(Trouble::Missing);
        let trouble = if devices.is_empty() {
            Trouble::Missing
        } else {
            trouble
        };
        if port.open.is_none() && port.told != Some(trouble) {
            port.told = Some(trouble);
            self.tell(SoundEvent::Without {
                kind: port.kind,
                trouble,
            });
        }
    }

    fn opened(&self, port: &mut Port, device: &SoundDevice, stream: Stream, because: Because) {
        port.open = Some(Open {
            device: device.clone(),
            pieces: stream.pieces(),
            stream,
            alive: Instant::now(),
            failed: None,
        });
        let because = match because {
            Because::Started if port.interrupted => Because::Failed,
            because => because,
        };
        port.interrupted = false;
        port.told = None;
        self.tell(SoundEvent::Using {
            kind: port.kind,
            device: device.clone(),
            because,
        });
    }

    fn open(&self, kind: DeviceKind, id: &str) -> Result<Stream, Trouble> {
        // Each stream has a connection of its own: on a busy computer that of a running microphone has its hands full
        // with sound, and answers nothing else for ten seconds and more.
        let mut host = Host::new();
        let length = |rate: u32| usize::try_from(rate / RING).unwrap_or(1).max(1);
        match kind {
            DeviceKind::Microphone => {
                let ring = |rate| {
                    let (producer, consumer) = RingBuffer::new(length(rate));
                    let link = Link {
                        ring: consumer,
                        rate,
                    };
                    self.shared.microphone.put(link);
                    producer
                };
                host.record(id, ring, self.microphone.clone())
            }
            DeviceKind::Speaker => {
                let ring = |rate| {
                    let (producer, consumer) = RingBuffer::new(length(rate));
                    let link = Link {
                        ring: producer,
                        rate,
                    };
                    self.shared.speaker.put(link);
                    consumer
                };
                host.play(id, ring, self.speaker.clone())
            }
        }
    }

    fn tell(&self, event: SoundEvent) {
        // Nobody listens: the state is in the devices nevertheless.
        let _ = self.events.send(event);
    }
}

impl Port {
    fn new(kind: DeviceKind) -> Self {
        Self {
            kind,
            open: None,
            interrupted: false,
            told: None,
            refused: HashMap::new(),
        }
    }
}

impl Open {
    fn look(&mut self) {
        let pieces = self.stream.pieces();
        if pieces != self.pieces {
            self.pieces = pieces;
            self.alive = Instant::now();
        }
        let works = !self.stream.failed() && self.alive.elapsed() < STALLED;
        self.failed = if works {
            None
        } else {
            self.failed.or_else(|| Some(Instant::now()))
        };
    }
}
