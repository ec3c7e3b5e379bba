//! A camera made of software: a stream of `PipeWire` that offers one format and sets the pace, as a driver's does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ::media::PatternSource;
use pipewire::channel as loop_channel;
use pipewire::context::ContextRc;
use pipewire::core::PW_ID_CORE;
use pipewire::keys;
use pipewire::main_loop::MainLoopRc;
use pipewire::properties::properties;
use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::{FormatProperties, MediaSubtype, MediaType};
use pipewire::spa::param::video::VideoFormat;
use pipewire::spa::pod::serialize::PodSerializer;
use pipewire::spa::pod::{ChoiceValue, Object, Pod, Property, Value, object, property};
use pipewire::spa::sys;
use pipewire::spa::utils::{
    Choice, ChoiceEnum, ChoiceFlags, Direction, Fraction, Rectangle, SpaTypes,
};
use pipewire::stream::{Stream, StreamFlags, StreamRc, StreamState};

use super::{DEADLINE, Stage};

/// Pictures per second.
const RATE: u32 = 30;
/// So many pictures later, a slow reader finds another one in the place of its own.
const BUFFERS: i32 = 8;

/// A camera that is plugged in until it is dropped.
pub struct Camera {
    /// The server's number for it.
    pub node: u32,
    unplug: loop_channel::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// What a camera shows, and in which format.
pub struct Show {
    /// `None`: each picture is a JPEG.
    pixels: Option<VideoFormat>,
    width: usize,
    height: usize,
    /// Bytes per row of the first plane; the others follow it in the same buffer.
    stride: usize,
    picture: Box<dyn Fn(u32) -> Vec<u8> + Send>,
}

impl Stage {
    /// Plugs in a camera that shows a pattern of 30 pictures per second. A picture's number says how many were given
    /// before it.
    pub fn camera(&self, name: &str, width: usize, height: usize) -> Camera {
        self.camera_that_shows(name, Show::pattern(width, height))
    }

    /// Returns once the server knows the camera.
    pub fn camera_that_shows(&self, name: &str, show: Show) -> Camera {
        let (unplug, unplugged) = loop_channel::channel();
        let (tell, plugged_in) = sync_channel(1);
        let name = name.to_owned();
        let thread = thread::spawn(move || give(&name, show, tell, unplugged));
        // Without the thread nobody could say it any more: then this ends at once.
        let node = plugged_in
            .recv_timeout(DEADLINE)
            .expect("the server takes the camera");
        Camera {
            node,
            unplug,
            thread: Some(thread),
        }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        // A thread that is gone needs no telling.
        let _ = self.unplug.send(());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Show {
    pub fn pattern(width: usize, height: usize) -> Self {
        let pattern = PatternSource::new(width, height, RATE);
        Self {
            pixels: Some(VideoFormat::I420),
            width,
            height,
            stride: width,
            picture: Box::new(move |number| {
                let picture = pattern.paint(number);
                let (blue, red) = picture.chroma();
                [picture.luma(), blue, red].concat()
            }),
        }
    }

    /// Nothing but red, 640×360, in one of the formats that cameras give; in YUV it is BT.601's limited range.
    pub fn red(format: VideoFormat) -> Self {
        let pixels = 640 * 360;
        let (stride, picture) = match format {
            VideoFormat::I420 => (
                640,
                [
                    vec![81; pixels],
                    vec![90; pixels / 4],
                    vec![240; pixels / 4],
                ]
                .concat(),
            ),
            VideoFormat::NV12 => (
                640,
                [vec![81; pixels], [90, 240].repeat(pixels / 4)].concat(),
            ),
            VideoFormat::YUY2 => (1280, [81, 90, 81, 240].repeat(pixels / 2)),
            VideoFormat::BGRx => (2560, [0, 0, 255, 0].repeat(pixels)),
            VideoFormat::RGBA => (2560, [255, 0, 0, 255].repeat(pixels)),
            VideoFormat::RGB => (1920, [255, 0, 0].repeat(pixels)),
            other => panic!("{other:?}"),
        };
        Self::still(Some(format), stride, picture)
    }

    /// Nothing but red, 640×360, as JPEGs.
    pub fn red_jpeg() -> Self {
        Self::still(None, 0, include_bytes!("red.jpg").to_vec())
    }

    fn still(pixels: Option<VideoFormat>, stride: usize, picture: Vec<u8>) -> Self {
        Self {
            pixels,
            width: 640,
            height: 360,
            stride,
            picture: Box::new(move |_| picture.clone()),
        }
    }

    fn format(&self) -> Vec<u8> {
        let size = Rectangle {
            width: u32::try_from(self.width).unwrap(),
            height: u32::try_from(self.height).unwrap(),
        };
        let rate = Fraction {
            num: RATE,
            denom: 1,
        };
        let subtype = self
            .pixels
            .map_or(MediaSubtype::Mjpg, |_| MediaSubtype::Raw);
        let mut format = object!(
            SpaTypes::ObjectParamFormat,
            ParamType::EnumFormat,
            property!(FormatProperties::MediaType, Id, MediaType::Video),
            property!(FormatProperties::MediaSubtype, Id, subtype),
            property!(FormatProperties::VideoSize, Rectangle, size),
            property!(FormatProperties::VideoFramerate, Fraction, rate),
        );
        if let Some(pixels) = self.pixels {
            let pixels = property!(FormatProperties::VideoFormat, Id, pixels);
            format.properties.push(pixels);
        }
        bytes(format)
    }

    fn buffers(&self) -> Vec<u8> {
        let number = |number: usize| Value::Int(i32::try_from(number).unwrap());
        let count = ChoiceEnum::Range {
            default: BUFFERS,
            min: 2,
            max: BUFFERS,
        };
        let count = Value::Choice(ChoiceValue::Int(Choice(ChoiceFlags::empty(), count)));
        let size = (self.picture)(0).len();
        bytes(Object {
            type_: sys::SPA_TYPE_OBJECT_ParamBuffers,
            id: sys::SPA_PARAM_Buffers,
            properties: vec![
                Property::new(sys::SPA_PARAM_BUFFERS_buffers, count),
                Property::new(sys::SPA_PARAM_BUFFERS_blocks, Value::Int(1)),
                Property::new(sys::SPA_PARAM_BUFFERS_size, number(size)),
                Property::new(sys::SPA_PARAM_BUFFERS_stride, number(self.stride)),
            ],
        })
    }
}

fn bytes(object: Object) -> Vec<u8> {
    let bytes = std::io::Cursor::new(Vec::new());
    let (bytes, _) = PodSerializer::serialize(bytes, &Value::Object(object)).unwrap();
    bytes.into_inner()
}

/// Gives pictures to who wants them, until it is unplugged or the server is gone.
fn give(
    name: &str,
    show: Show,
    plugged_in: SyncSender<u32>,
    unplugged: loop_channel::Receiver<()>,
) {
    pipewire::init();
    let main_loop = MainLoopRc::new(None).unwrap();
    let stop = main_loop.clone();
    let _unplugged = unplugged.attach(main_loop.loop_(), move |()| stop.quit());
    let context = ContextRc::new(&main_loop, None).unwrap();
    let core = context.connect_rc(None).unwrap();
    let lost = main_loop.clone();
    let _core = core
        .add_listener_local()
        .error(move |id, _, _, _| {
            if id == PW_ID_CORE {
                lost.quit();
            }
        })
        .register();
    let properties = properties! {
        *keys::MEDIA_CLASS => "Video/Source",
        *keys::MEDIA_ROLE => "Camera",
        *keys::NODE_NAME => name,
        *keys::NODE_DESCRIPTION => name,
    };
    let stream = StreamRc::new(core.clone(), name, properties).unwrap();
    let streaming = Rc::<Cell<bool>>::default();
    let (format, buffers) = (show.format(), show.buffers());
    let (watched, given) = (streaming.clone(), RefCell::new(0));
    let _stream = stream
        .add_local_listener::<()>()
        .state_changed(move |stream, (), _, state| {
            watched.set(state == StreamState::Streaming);
            match state {
                StreamState::Paused => {
                    // It is told every time that nobody watches any more; the first time somebody waits for it.
                    let _ = plugged_in.try_send(stream.node_id());
                }
                StreamState::Error(reason) => tracing::error!(reason, "The camera has failed"),
                StreamState::Unconnected | StreamState::Connecting | StreamState::Streaming => {}
            }
        })
        .param_changed(move |stream, (), id, param| {
            if id == ParamType::Format.as_raw() && param.is_some() {
                let buffers = Pod::from_bytes(&buffers).unwrap();
                stream.update_params(&mut [buffers]).unwrap();
            }
        })
        .process(move |stream, ()| fill(stream, &show, &mut given.borrow_mut()))
        .register()
        .unwrap();
    stream
        .connect(
            Direction::Output,
            None,
            StreamFlags::DRIVER | StreamFlags::MAP_BUFFERS,
            &mut [Pod::from_bytes(&format).unwrap()],
        )
        .unwrap();
    let paced = stream.clone();
    let pace = main_loop.loop_().add_timer(move |_| {
        if streaming.get() {
            // Refused while the server is about to stop the stream.
            let _ = paced.trigger_process();
        }
    });
    let frame = Some(Duration::from_secs(1) / RATE);
    pace.update_timer(frame, frame).into_result().unwrap();
    main_loop.run();
}

fn fill(stream: &Stream, show: &Show, given: &mut u32) {
    let Some(mut buffer) = stream.dequeue_buffer() else {
        return;
    };
    let Some(place) = buffer.datas_mut().first_mut() else {
        return;
    };
    let picture = (show.picture)(*given);
    let Some(pixels) = place
        .data()
        .and_then(|bytes| bytes.get_mut(..picture.len()))
    else {
        return;
    };
    pixels.copy_from_slice(&picture);
    let chunk = place.chunk_mut();
    *chunk.offset_mut() = 0;
    *chunk.stride_mut() = i32::try_from(show.stride).unwrap();
    *chunk.size_mut() = u32::try_from(picture.len()).unwrap();
    *given += 1;
}
