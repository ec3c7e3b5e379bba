//! Pictures from `PipeWire`: cameras, and screens that the portal gives.
//!
//! Its objects belong to one thread, so each stream has one, with `PipeWire`'s own loop. Pictures come in shared memory;
//! buffers of a graphics card are not asked for.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
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
use pipewire::spa::param::format::{FormatProperties, MediaSubtype, MediaType};
use pipewire::spa::param::format_utils::parse_format;
use pipewire::spa::param::video::{VideoFormat, VideoInfoRaw};
use pipewire::spa::pod::serialize::PodSerializer;
use pipewire::spa::pod::{Object, Pod, Value, object, property};
use pipewire::spa::utils::{Direction, Fraction, Rectangle, SpaTypes};
use pipewire::stream::{Stream, StreamBox, StreamFlags, StreamState};
use pipewire::types::ObjectType;

use super::Picture;
use super::conversion::{PixelFormat, Plane, Raw};
use super::source::{CaptureError, Latest, PictureFormat, VideoSource};

/// Longest wait for the server's list, and for the first picture's format.
const PATIENCE: Duration = Duration::from_secs(5);

/// A camera that the server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Stays the same when the camera is plugged in again.
    pub name: String,
    pub description: String,
}

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

/// The cameras that the server knows.
pub(super) fn nodes() -> Result<Vec<Node>, CaptureError> {
    let (found, list) = channel();
    // A server that hangs costs a thread, not the caller.
    thread::Builder::new()
        .name("camera-list".to_owned())
        .spawn(move || {
            let _ = found.send(list_nodes());
        })
        .map_err(|_| CaptureError::NoServer)?;
    let list = list.recv_timeout(PATIENCE);
    list.map_err(|_| CaptureError::NoServer)?
        .map_err(|_| CaptureError::NoServer)
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

fn list_nodes() -> Result<Vec<Node>, pipewire::Error> {
    pipewire::init();
    let main_loop = MainLoopRc::new(None)?;
    let context = ContextRc::new(&main_loop, None)?;
    let core = context.connect_rc(None)?;
    let registry = core.get_registry()?;
    let nodes = Rc::<RefCell<Vec<Node>>>::default();
    let found = nodes.clone();
    let _globals = registry
        .add_listener_local()
        .global(move |global| {
            let Some(properties) = global.props.filter(|_| global.type_ == ObjectType::Node) else {
                return;
            };
            if properties.get(*keys::MEDIA_CLASS) != Some("Video/Source") {
                return;
            }
            let Some(name) = properties.get(*keys::NODE_NAME) else {
                return;
            };
            let description = properties.get(*keys::NODE_DESCRIPTION).unwrap_or(name);
            found.borrow_mut().push(Node {
                name: name.to_owned(),
                description: description.to_owned(),
            });
        })
        .register();
    // The server answers in order: after this everything was told.
    let asked = core.sync(0)?;
    let (done, failed) = (main_loop.clone(), main_loop.clone());
    let _core = core
        .add_listener_local()
        .done(move |id, answered| {
            if id == PW_ID_CORE && answered == asked {
                done.quit();
            }
        })
        .error(move |_, _, _, _| failed.quit())
        .register();
    main_loop.run();
    Ok(nodes.take())
}

/// What the callbacks of a stream share.
struct Capture {
    latest: Arc<Latest>,
    tell: ThreadSender<Result<(), CaptureError>>,
    format: Option<Format>,
    main_loop: MainLoopRc,
}

#[derive(Clone, Copy)]
struct Format {
    pixels: PixelFormat,
    width: usize,
    height: usize,
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
    let formats = formats(wanted);
    let mut formats: Vec<&Pod> = formats
        .iter()
        .filter_map(|pod| Pod::from_bytes(pod))
        .collect();
    stream.connect(
        Direction::Input,
        node,
        StreamFlags::AUTOCONNECT | StreamFlags::MAP_BUFFERS,
        &mut formats,
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
        self.format = format(param);
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

/// What was agreed on; `None` for what was not offered.
fn format(param: &Pod) -> Option<Format> {
    let (kind, subtype) = parse_format(param).ok()?;
    if kind != MediaType::Video {
        return None;
    }
    if subtype == MediaSubtype::Mjpg {
        return Some(Format {
            pixels: PixelFormat::Jpeg,
            width: 0,
            height: 0,
        });
    }
    let mut raw = VideoInfoRaw::new();
    raw.parse(param).ok()?;
    let pixels = match raw.format() {
        VideoFormat::I420 => PixelFormat::I420,
        VideoFormat::NV12 => PixelFormat::Nv12,
        VideoFormat::YUY2 => PixelFormat::Yuyv,
        VideoFormat::BGRx | VideoFormat::BGRA => PixelFormat::Bgrx,
        VideoFormat::RGBx | VideoFormat::RGBA => PixelFormat::Rgbx,
        VideoFormat::RGB => PixelFormat::Rgb,
        VideoFormat::BGR => PixelFormat::Bgr,
        _ => return None,
    };
    Some(Format {
        pixels,
        width: usize::try_from(raw.size().width).ok()?,
        height: usize::try_from(raw.size().height).ok()?,
    })
}

/// What we take, the best first, as the server wants to read it.
fn formats(wanted: PictureFormat) -> Vec<Vec<u8>> {
    let raw = object!(
        SpaTypes::ObjectParamFormat,
        ParamType::EnumFormat,
        property!(FormatProperties::MediaType, Id, MediaType::Video),
        property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Raw),
        property!(
            FormatProperties::VideoFormat,
            Choice,
            Enum,
            Id,
            VideoFormat::I420,
            VideoFormat::I420,
            VideoFormat::NV12,
            VideoFormat::YUY2,
            VideoFormat::BGRx,
            VideoFormat::BGRA,
            VideoFormat::RGBx,
            VideoFormat::RGBA,
            VideoFormat::RGB,
            VideoFormat::BGR
        ),
    );
    let jpeg = object!(
        SpaTypes::ObjectParamFormat,
        ParamType::EnumFormat,
        property!(FormatProperties::MediaType, Id, MediaType::Video),
        property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Mjpg),
    );
    [raw, jpeg]
        .into_iter()
        .filter_map(|object| sized(object, wanted))
        .collect()
}

fn sized(mut object: Object, wanted: PictureFormat) -> Option<Vec<u8>> {
    object.properties.push(property!(
        FormatProperties::VideoSize,
        Choice,
        Range,
        Rectangle,
        Rectangle {
            width: wanted.width,
            height: wanted.height
        },
        Rectangle {
            width: 2,
            height: 2
        },
        Rectangle {
            width: 8192,
            height: 8192
        }
    ));
    object.properties.push(property!(
        FormatProperties::VideoFramerate,
        Choice,
        Range,
        Fraction,
        Fraction {
            num: wanted.rate,
            denom: 1
        },
        // Screens give pictures when something moves.
        Fraction { num: 0, denom: 1 },
        Fraction { num: 60, denom: 1 }
    ));
    let bytes = std::io::Cursor::new(Vec::new());
    let (bytes, _) = PodSerializer::serialize(bytes, &Value::Object(object)).ok()?;
    Some(bytes.into_inner())
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

    #[test]
    fn the_offer_is_something_that_the_server_can_read() {
        let formats = formats(PictureFormat::default());
        assert_eq!(formats.len(), 2);
        assert!(formats.iter().all(|pod| Pod::from_bytes(pod).is_some()));
    }
}
