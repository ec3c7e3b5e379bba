//! The system's sound, by `cpal`: which devices there are, and streams from and to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::Thread;
use std::time::{Duration, Instant};

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, ErrorKind, FromSample, SampleFormat, SizedSample, StreamConfig, SupportedBufferSize,
};
use rtrb::{Consumer, Producer};

use super::devices::{DeviceKind, SoundDevice, SoundDevices, Trouble};

/// Longest wait for the system to open a device.
const OPENING: Duration = Duration::from_secs(3);
/// Pieces that a device gives or takes, per second: 20 ms.
const PIECES_PER_SECOND: u32 = 50;

/// Whichever of the system's sound servers is the best one now.
pub(super) struct Host {
    host: cpal::Host,
}

/// A running stream. It ends when this is dropped.
pub(super) struct Stream {
    _stream: cpal::Stream,
    pulse: Arc<Pulse>,
}

/// Signs of life of a stream.
#[derive(Default)]
pub(super) struct Pulse {
    pieces: AtomicU64,
    failed: AtomicBool,
}

impl Stream {
    /// Pieces that were given or taken so far.
    pub fn pieces(&self) -> u64 {
        self.pulse.pieces.load(Relaxed)
    }

    /// The system said that it has ended.
    pub fn failed(&self) -> bool {
        self.pulse.failed.load(Relaxed)
    }
}

impl Host {
    pub fn new() -> Self {
        Self {
            host: cpal::default_host(),
        }
    }

    /// What is plugged in now.
    pub fn devices(&mut self) -> SoundDevices {
        self.ask(Self::list).unwrap_or_default()
    }

    /// A server that is better than ours may have started meanwhile, and ours may have died.
    fn ask<T>(
        &mut self,
        question: impl Fn(&Self) -> Result<T, cpal::Error>,
    ) -> Result<T, cpal::Error> {
        let best = cpal::available_hosts().first().copied();
        if best != Some(self.host.id()) {
            self.host = cpal::default_host();
        }
        question(self).or_else(|_| {
            self.host = cpal::default_host();
            question(self)
        })
    }

    /// Opens a microphone: mono sound at the returned rate goes into the ring, and `reader` is woken for each piece.
    pub fn record(
        &mut self,
        id: &str,
        ring: impl FnOnce(u32) -> Producer<f32>,
        reader: Thread,
    ) -> Result<Stream, Trouble> {
        let stages = Stages::begin(DeviceKind::Microphone);
        let device = self.find(DeviceKind::Microphone, id)?;
        stages.passed("found");
        let supported = device.default_input_config().map_err(trouble)?;
        let config = config(&supported);
        let ring = ring(config.sample_rate);
        let pulse = Arc::<Pulse>::default();
        let input = Input {
            device: &device,
            config,
            pulse: &pulse,
        };
        let stream = match supported.sample_format() {
            SampleFormat::I8 => input.open::<i8>(ring, reader),
            SampleFormat::I16 => input.open::<i16>(ring, reader),
            SampleFormat::I24 => input.open::<cpal::I24>(ring, reader),
            SampleFormat::I32 => input.open::<i32>(ring, reader),
            SampleFormat::U8 => input.open::<u8>(ring, reader),
            SampleFormat::U16 => input.open::<u16>(ring, reader),
            SampleFormat::F32 => input.open::<f32>(ring, reader),
            SampleFormat::F64 => input.open::<f64>(ring, reader),
            _ => return Err(Trouble::Failed),
        };
        started(stream, pulse, &stages)
    }

    /// Opens a loudspeaker: it plays the ring's mono sound at the returned rate, and wakes `writer` for each piece.
    pub fn play(
        &mut self,
        id: &str,
        ring: impl FnOnce(u32) -> Consumer<f32>,
        writer: Thread,
    ) -> Result<Stream, Trouble> {
        let stages = Stages::begin(DeviceKind::Speaker);
        let device = self.find(DeviceKind::Speaker, id)?;
        stages.passed("found");
        let supported = device.default_output_config().map_err(trouble)?;
        let config = config(&supported);
        let ring = ring(config.sample_rate);
        let pulse = Arc::<Pulse>::default();
        let output = Output {
            device: &device,
            config,
            pulse: &pulse,
        };
        let stream = match supported.sample_format() {
            SampleFormat::I8 => output.open::<i8>(ring, writer),
            SampleFormat::I16 => output.open::<i16>(ring, writer),
            SampleFormat::I24 => output.open::<cpal::I24>(ring, writer),
            SampleFormat::I32 => output.open::<i32>(ring, writer),
            SampleFormat::U8 => output.open::<u8>(ring, writer),
            SampleFormat::U16 => output.open::<u16>(ring, writer),
            SampleFormat::F32 => output.open::<f32>(ring, writer),
            SampleFormat::F64 => output.open::<f64>(ring, writer),
            _ => return Err(Trouble::Failed),
        };
        started(stream, pulse, &stages)
    }

    fn list(&self) -> Result<SoundDevices, cpal::Error> {
        let default_microphone = self.host.default_input_device().and_then(|d| d.id().ok());
        let default_speaker = self.host.default_output_device().and_then(|d| d.id().ok());
        let described = |device: cpal::Device, default: Option<&cpal::DeviceId>| {
            let id = device.id().ok()?;
            let name = device.description().ok()?.name().to_owned();
            Some(SoundDevice {
                default: default == Some(&id),
                id: id.to_string(),
                name,
            })
        };
        let microphones = self.host.input_devices()?;
        let speakers = self.host.output_devices()?;
        Ok(SoundDevices {
            microphones: microphones
                .filter_map(|device| described(device, default_microphone.as_ref()))
                .filter(|device| !is_monitor(&device.id))
                .collect(),
            speakers: speakers
                .filter_map(|device| described(device, default_speaker.as_ref()))
                .collect(),
        })
    }

    fn find(&mut self, kind: DeviceKind, id: &str) -> Result<cpal::Device, Trouble> {
        let is_wanted = |device: &cpal::Device| device.id().is_ok_and(|own| own.to_string() == id);
        let found = self.ask(|own| match kind {
            DeviceKind::Microphone => Ok(own.host.input_devices()?.find(is_wanted)),
            DeviceKind::Speaker => Ok(own.host.output_devices()?.find(is_wanted)),
        });
        found.map_err(trouble)?.ok_or(Trouble::Missing)
    }
}

/// How long each step of the opening of a device takes: a busy computer or a slow sound server shows here.
struct Stages {
    kind: DeviceKind,
    began: Instant,
}

impl Stages {
    fn begin(kind: DeviceKind) -> Self {
        Self {
            kind,
            began: Instant::now(),
        }
    }

    fn passed(&self, stage: &str) {
        let (kind, after) = (self.kind, self.began.elapsed().as_millis());
        tracing::debug!(?kind, stage, after, "A sound device is being opened");
    }
}

/// `PulseAudio` and `PipeWire` offer what each loudspeaker plays as a source; nobody speaks into one.
fn is_monitor(id: &str) -> bool {
    id.starts_with("pulseaudio:")
        && std::path::Path::new(id)
            .extension()
            .is_some_and(|end| end == "monitor")
}

fn config(supported: &cpal::SupportedStreamConfig) -> StreamConfig {
    let mut config = supported.config();
    if let SupportedBufferSize::Range { min, max } = *supported.buffer_size() {
        let piece = config.sample_rate / PIECES_PER_SECOND;
        config.buffer_size = BufferSize::Fixed(piece.clamp(min, max.max(min)));
    }
    config
}

struct Input<'a> {
    device: &'a cpal::Device,
    config: StreamConfig,
    pulse: &'a Arc<Pulse>,
}

impl Input<'_> {
    fn open<T>(&self, mut ring: Producer<f32>, reader: Thread) -> Result<cpal::Stream, cpal::Error>
    where
        T: SizedSample,
        f32: FromSample<T>,
    {
        let channels = usize::from(self.config.channels).max(1);
        let share = 1.0 / f32::from(self.config.channels.max(1));
        let pulse = self.pulse.clone();
        let data = move |samples: &[T], _: &cpal::InputCallbackInfo| {
            for frame in samples.chunks_exact(channels) {
                let sum: f32 = frame.iter().map(|sample| f32::from_sample_(*sample)).sum();
                // A full ring has no reader any more.
                if ring.push(sum * share).is_err() {
                    break;
                }
            }
            pulse.pieces.fetch_add(1, Relaxed);
            reader.unpark();
        };
        let failed = fails(self.pulse);
        self.device
            .build_input_stream(self.config, data, failed, Some(OPENING))
    }
}

struct Output<'a> {
    device: &'a cpal::Device,
    config: StreamConfig,
    pulse: &'a Arc<Pulse>,
}

impl Output<'_> {
    fn open<T>(&self, mut ring: Consumer<f32>, writer: Thread) -> Result<cpal::Stream, cpal::Error>
    where
        T: SizedSample + FromSample<f32>,
    {
        let channels = usize::from(self.config.channels).max(1);
        let pulse = self.pulse.clone();
        let data = move |samples: &mut [T], _: &cpal::OutputCallbackInfo| {
            for frame in samples.chunks_mut(channels) {
                let sample = ring.pop().unwrap_or_default();
                // Left and right; further loudspeakers of a room stay silent.
                for (channel, out) in frame.iter_mut().enumerate() {
                    let sample = if channel < 2 { sample } else { 0.0 };
                    *out = T::from_sample_(sample);
                }
            }
            pulse.pieces.fetch_add(1, Relaxed);
            writer.unpark();
        };
        let failed = fails(self.pulse);
        self.device
            .build_output_stream(self.config, data, failed, Some(OPENING))
    }
}

fn fails(pulse: &Arc<Pulse>) -> impl FnMut(cpal::Error) + Send + 'static {
    let pulse = pulse.clone();
    move |error| match error.kind() {
        // The stream goes on.
        ErrorKind::Xrun | ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged => {}
        kind => {
            tracing::warn!(?kind, "A sound stream has ended");
            pulse.failed.store(true, Relaxed);
        }
    }
}

fn started(
    stream: Result<cpal::Stream, cpal::Error>,
    pulse: Arc<Pulse>,
    stages: &Stages,
) -> Result<Stream, Trouble> {
    stages.passed("opened");
    let stream = stream.map_err(trouble)?;
    stream.play().map_err(trouble)?;
    stages.passed("started");
    Ok(Stream {
        _stream: stream,
        pulse,
    })
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn trouble(error: cpal::Error) -> Trouble {
    tracing::debug!(kind = ?error.kind(), "A sound device does not open");
    match error.kind() {
        ErrorKind::DeviceBusy => Trouble::Busy,
        ErrorKind::DeviceNotAvailable => Trouble::Missing,
        ErrorKind::PermissionDenied => Trouble::Refused,
        ErrorKind::HostUnavailable | ErrorKind::StreamInvalidated => Trouble::NoServer,
        _ => Trouble::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_loudspeaker_plays_is_no_microphone() {
        assert!(is_monitor(
            "pulseaudio:alsa_output.pci-0000_00_1f.3.analog-stereo.monitor"
        ));
        assert!(!is_monitor("pulseaudio:alsa_input.usb-headset"));
        assert!(!is_monitor("alsa:hw:monitor"));
    }

    #[test]
    fn what_the_system_says_is_told_apart() {
        for (kind, expected) in [
            (ErrorKind::DeviceBusy, Trouble::Busy),
            (ErrorKind::PermissionDenied, Trouble::Refused),
            (ErrorKind::DeviceNotAvailable, Trouble::Missing),
            (ErrorKind::HostUnavailable, Trouble::NoServer),
            (ErrorKind::BackendError, Trouble::Failed),
        ] {
            assert_eq!(trouble(cpal::Error::new(kind)), expected);
        }
    }
}
