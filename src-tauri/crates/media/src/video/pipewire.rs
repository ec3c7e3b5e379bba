//! Pictures from `PipeWire`: cameras, and screens that the portal gives.
//!
//! Its objects belong to one thread, so each stream has one, with `PipeWire`'s own loop. Pictures come in shared memory;
//! buffers of a graphics card are not asked for.

mod formats;
mod nodes;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender as ThreadSender, channel};
use std::thread;
use std::time::Duration;

use pipewire::channel as loop_channel;
use pipewire::context::ContextRc;
use pipewire::core::PW_ID_CORE;
use pipewire::keys;
use pipewire::main_loop::MainLoopRc;
use pipewire::properties::properties;
use pipewire::spa::param::ParamType;
use pipewire::spa::pod::Pod;
use pipewire::spa::utils::Direction;
use pipewire::stream::{Stream, StreamBox, StreamFlags, StreamState};

use super::Picture;
use super::conversion::{Plane, Raw};
use super::source::{CaptureError, Latest, PictureFormat, VideoSource};
use formats::{Format, agreed, offer};

pub(super) use nodes::nodes;

/// Longest wait for the server's list, and for the first picture's format.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a stream shows.
pub(super) enum Target {
    /// A node of the session's own server.
    Camera { node: String },
    /// A node of the server behind a connection, from the portal.
    Screen { remote: OwnedFd, node: u32 },
}

/// The newest pictures of a stream. The thread ends with this.
pub(super) struct PipeWireSource {
    latest: Arc<Latest>,
    stop: loop_channel::Sender<()>,
}

impl PipeWireSource {
    /// Returns once the server has agreed on a format.
    pub fn open(target: Target, wanted: PictureFormat) -> Result<Self, CaptureError> {
        let latest = Arc::<Latest>::default();
        let (stop, stopped) = loop_channel::channel();
        let (tell, agreed) = channel();
        let pictures = latest.clone();
        thread::Builder::new()
            .name("video-capture".to_owned())
            .spawn(move || {
                if run(target, wanted, &pictures, &tell, stopped).is_err() {
                    pictures.end(CaptureError::NoServer);
                }
                // Whoever still waits is answered; what is at its end has said why before.
                let _ = tell.send(Err(CaptureError::NoServer));
                pictures.end(CaptureError::Gone);
            })
            .map_err(|_| CaptureError::NoServer)?;
        let source = Self { latest, stop };
        match agreed.recv_timeout(PATIENCE) {
            Ok(Ok(())) => Ok(source),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(CaptureError::Missing),
        }
    }
}

impl VideoSource for PipeWireSource {
    fn next(&mut self) -> Result<Option<Picture>, CaptureError> {
        self.latest.next()
    }
}

impl Drop for PipeWireSource {
    fn drop(&mut self) {
        // A thread that is gone needs no telling.
        let _ = self.stop.send(());
    }
}

/// What the callbacks of a stream share.
struct Capture {
    latest: Arc<Latest>,
    tell: ThreadSender<Result<(), CaptureError>>,
    format: Option<Format>,
    main_loop: MainLoopRc,
}

/// Until the stream ends or is told to.
fn run(
    target: Target,
    wanted: PictureFormat,
    latest: &Arc<Latest>,
    tell: &ThreadSender<Result<(), CaptureError>>,
    stopped: loop_channel::Receiver<()>,
) -> Result<(), pipewire::Error> {
    pipewire::init();
    let main_loop = MainLoopRc::new(None)?;
    let stop = main_loop.clone();
    let _stopped = stopped.attach(main_loop.loop_(), move |()| stop.quit());
    let context = ContextRc::new(&main_loop, None)?;
    let mut properties = properties! {
        *keys::MEDIA_TYPE => "Video",
        *keys::MEDIA_CATEGORY => "Capture",
        *keys::MEDIA_ROLE => "Communication",
        // Another camera than the chosen one is our decision.
        *keys::NODE_DONT_RECONNECT => "true",
    };
    let (core, node) = match target {
        Target::Camera { node } => {
            properties.insert(*keys::TARGET_OBJECT, node);
            (context.connect_rc(None)?, None)
        }
        Target::Screen { remote, node } => (context.connect_fd_rc(remote, None)?, Some(node)),
    };
    let (lost, gone) = (main_loop.clone(), latest.clone());
    let _core = core
        .add_listener_local()
        .error(move |id, _, _, _| {
            if id == PW_ID_CORE {
                gone.end(CaptureError::NoServer);
                lost.quit();
            }
        })
        .register();
    let capture = Capture {
        latest: latest.clone(),
        tell: tell.clone(),
        format: None,
        main_loop: main_loop.clone(),
    };
    let stream = StreamBox::new(&core, "cordee-video", properties)?;
    let _stream = stream
        .add_local_listener_with_user_data(capture)
        .state_changed(|_, capture, _, state| capture.state(&state))
        .param_changed(|_, capture, id, param| {
            if id == ParamType::Format.as_raw() {
                capture.agree(param);
            }
        })
        .process(|stream, capture| capture.take(stream))
        .register()?;
    let offer = offer(wanted);
    let mut offer: Vec<&Pod> = offer
        .iter()
        .filter_map(|pod| Pod::from_bytes(pod))
        .collect();
    stream.connect(
        Direction::Input,
        node,
        StreamFlags::AUTOCONNECT | StreamFlags::MAP_BUFFERS,
        &mut offer,
    )?;
    main_loop.run();
    Ok(())
}

impl Capture {
    fn state(&self, state: &StreamState) {
        match state {
            StreamState::Error(reason) => {
                // The reason is the server's wording and may name the device: only what kind it is leaves here.
                let error = trouble(reason, self.format.is_some());
                tracing::warn!(?error, "A camera or screen has ended");
                self.end(error);
            }
            StreamState::Unconnected => self.end(CaptureError::Gone),
            StreamState::Connecting | StreamState::Paused | StreamState::Streaming => {}
        }
    }

    fn end(&self, error: CaptureError) {
        let _ = self.tell.send(Err(error));
        self.latest.end(error);
        self.main_loop.quit();
    }

    fn agree(&mut self, param: Option<&Pod>) {
        let Some(param) = param else {
            return;
        };
        self.format = agreed(param);
        let agreed = self.format.map(|_| ()).ok_or(CaptureError::Format);
        let _ = self.tell.send(agreed);
        if agreed.is_err() {
            self.end(CaptureError::Format);
        }
    }

    fn take(&self, stream: &Stream) {
        // Of several buffers only the last one is new.
        let mut newest = None;
        while let Some(buffer) = stream.dequeue_buffer() {
            newest = Some(buffer);
        }
        let (Some(mut buffer), Some(format)) = (newest, self.format) else {
            return;
        };
        let planes: Vec<Plane<'_>> = buffer
            .datas_mut()
            .iter_mut()
            .filter_map(|data| {
                let chunk = data.chunk();
                let (offset, size) = (chunk.offset(), chunk.size());
                let stride = usize::try_from(chunk.stride()).unwrap_or(0);
                let start = usize::try_from(offset).ok()?;
                let end = start.checked_add(usize::try_from(size).ok()?)?;
                let bytes: &[u8] = data.data()?;
                let bytes = bytes.get(start..end)?;
                Some(Plane { bytes, stride })
            })
            .collect();
        let raw = Raw {
            format: format.pixels,
            width: format.width,
            height: format.height,
            planes: &planes,
        };
        if let Some(picture) = raw.to_picture() {
            self.latest.put(picture);
        }
    }
}

/// The server says why in words only.
fn trouble(reason: &str, was_running: bool) -> CaptureError {
    let reason = reason.to_ascii_lowercase();
    if reason.contains("busy") {
        CaptureError::Busy
    } else if reason.contains("permission") || reason.contains("access") {
        CaptureError::Refused
    } else if was_running {
        CaptureError::Gone
    } else if reason.contains("format") {
        CaptureError::Format
    } else {
        CaptureError::Missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_is_told_apart() {
        for (reason, running, expected) in [
            ("Device or resource busy", false, CaptureError::Busy),
            ("no more input formats", false, CaptureError::Format),
            ("target not found", false, CaptureError::Missing),
            ("target not found", true, CaptureError::Gone),
            (
                "Operation not permitted: no permission",
                false,
                CaptureError::Refused,
            ),
        ] {
            assert_eq!(trouble(reason, running), expected, "{reason}");
        }
    }
}
