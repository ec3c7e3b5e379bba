//! Screens of an X11 server, through memory that it shares with us.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use x11rb::connection::Connection;
use x11rb::protocol::randr::ConnectionExt as _;
use x11rb::protocol::shm::{ConnectionExt as _, Seg};
use x11rb::protocol::xfixes::ConnectionExt as _;
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat, ImageOrder, Window};
use x11rb::rust_connection::RustConnection;

use super::Picture;
use super::conversion::{PixelFormat, Plane, Raw};
use super::screen::{Screen, ScreenKind};
use super::source::{CaptureError, VideoSource};

const PREFIX: &str = "x11:";
/// All planes of a pixel.
const WHOLE: u32 = u32::MAX;
/// Bytes per pixel: all that today's servers use.
const PIXEL: usize = 4;

pub(super) fn screens() -> Result<Vec<Screen>, CaptureError> {
    let (connection, root) = connect()?;
    let monitors = monitors(&connection, root)?;
    Ok(monitors
        .into_iter()
        .map(|monitor| Screen {
            id: format!("{PREFIX}{}", monitor.name),
            name: monitor.name,
            kind: ScreenKind::Monitor,
        })
        .collect())
}

pub(super) fn open(id: &str, rate: u32) -> Result<X11Source, CaptureError> {
    let name = id.strip_prefix(PREFIX).ok_or(CaptureError::Missing)?;
    let (connection, root) = connect()?;
    let area = monitors(&connection, root)?
        .into_iter()
        .find(|monitor| monitor.name == name)
        .ok_or(CaptureError::Missing)?;
    let shared = Shared::new(&connection, area.bytes());
    // The pointer is no part of the picture: it is painted on it, if the server says how it looks.
    let pointer = connection
        .xfixes_query_version(5, 0)
        .is_ok_and(|asked| asked.reply().is_ok());
    Ok(X11Source {
        connection,
        root,
        area,
        shared,
        pointer,
        pause: Duration::from_secs(1) / rate.clamp(5, 60),
        due: Instant::now(),
        last: Vec::new(),
        pixels: Vec::new(),
    })
}

/// One monitor. A picture comes when something on it has changed.
pub(super) struct X11Source {
    connection: RustConnection,
    root: Window,
    area: Area,
    shared: Option<Shared>,
    pointer: bool,
    pause: Duration,
    due: Instant,
    last: Vec<u8>,
    pixels: Vec<u8>,
}

/// Part of the root window.
#[derive(Debug, Clone)]
struct Area {
    name: String,
    x: i16,
    y: i16,
    width: u16,
    height: u16,
}

impl Area {
    fn bytes(&self) -> usize {
        usize::from(self.width) * usize::from(self.height) * PIXEL
    }
}

/// Memory that the server writes pictures into.
struct Shared {
    segment: Seg,
    memory: File,
}

impl Shared {
    /// `None` on a server that is far away or too old: then pictures come through the connection.
    fn new(connection: &RustConnection, bytes: usize) -> Option<Self> {
        let segment = connection.generate_id().ok()?;
        let size = u32::try_from(bytes).ok()?;
        let asked = connection.shm_create_segment(segment, size, false).ok()?;
        let memory = File::from(asked.reply().ok()?.shm_fd);
        Some(Self { segment, memory })
    }
}

impl VideoSource for X11Source {
    fn next(&mut self) -> Result<Option<Picture>, CaptureError> {
        std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
        self.due = Instant::now() + self.pause;
        self.grab()?;
        if self.pointer {
            self.paint_pointer();
        }
        if self.pixels == self.last {
            return Ok(None);
        }
        std::mem::swap(&mut self.pixels, &mut self.last);
        let plane = Plane {
            bytes: &self.last,
            stride: usize::from(self.area.width) * PIXEL,
        };
        let raw = Raw {
            format: PixelFormat::Bgrx,
            width: self.area.width.into(),
            height: self.area.height.into(),
            planes: &[plane],
        };
        Ok(raw.to_picture())
    }
}

impl X11Source {
    fn grab(&mut self) -> Result<(), CaptureError> {
        let Area {
            x,
            y,
            width,
            height,
            ..
        } = self.area;
        let format = ImageFormat::Z_PIXMAP;
        // A monitor that was turned off or made smaller is no longer all within the root window.
        let gone = CaptureError::Gone;
        if let Some(Shared { segment, memory }) = &self.shared {
            let asked = self.connection.shm_get_image(
                self.root,
                x,
                y,
                width,
                height,
                WHOLE,
                format.into(),
                *segment,
                0,
            );
            asked.map_err(|_| gone)?.reply().map_err(|_| gone)?;
            self.pixels.resize(self.area.bytes(), 0);
            memory.read_exact_at(&mut self.pixels, 0).map_err(|_| gone)
        } else {
            let asked = self
                .connection
                .get_image(format, self.root, x, y, width, height, WHOLE);
            let image = asked.map_err(|_| gone)?.reply().map_err(|_| gone)?;
            self.pixels = image.data;
            Ok(())
        }
    }

    fn paint_pointer(&mut self) {
        let asked = self.connection.xfixes_get_cursor_image();
        let Some(pointer) = asked.ok().and_then(|asked| asked.reply().ok()) else {
            return;
        };
        let left = i32::from(pointer.x) - i32::from(pointer.xhot) - i32::from(self.area.x);
        let top = i32::from(pointer.y) - i32::from(pointer.yhot) - i32::from(self.area.y);
        let width = usize::from(self.area.width);
        let rows = pointer
            .cursor_image
            .chunks_exact(usize::from(pointer.width).max(1));
        for (row, y) in rows.zip(top..) {
            for (argb, x) in row.iter().zip(left..) {
                let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
                    continue;
                };
                if x >= width {
                    continue;
                }
                let at = (y * width + x) * PIXEL;
                if let Some(pixel) = self.pixels.get_mut(at..at + 3) {
                    blend(pixel, *argb);
                }
            }
        }
    }
}

/// `argb` is already multiplied by its alpha.
fn blend(pixel: &mut [u8], argb: u32) {
    let [blue, green, red, alpha] = argb.to_le_bytes();
    for (own, painted) in pixel.iter_mut().zip([blue, green, red]) {
        let left = u16::from(*own) * u16::from(255 - alpha) / 255;
        *own = painted.saturating_add(u8::try_from(left).unwrap_or(u8::MAX));
    }
}

fn connect() -> Result<(RustConnection, Window), CaptureError> {
    let (connection, number) = x11rb::connect(None).map_err(|_| CaptureError::NoServer)?;
    let setup = connection.setup();
    let screen = setup.roots.get(number).ok_or(CaptureError::NoServer)?;
    let root = screen.root;
    // Blue first, four bytes: what every server of the last twenty years has.
    let usual = setup.image_byte_order == ImageOrder::LSB_FIRST
        && setup
            .pixmap_formats
            .iter()
            .any(|format| format.depth == screen.root_depth && format.bits_per_pixel == 32)
        && screen.allowed_depths.iter().any(|depth| {
            let visual = depth
                .visuals
                .iter()
                .find(|v| v.visual_id == screen.root_visual);
            visual.is_some_and(|visual| visual.red_mask == 0x00ff_0000)
        });
    if usual {
        Ok((connection, root))
    } else {
        Err(CaptureError::Format)
    }
}

fn monitors(connection: &RustConnection, root: Window) -> Result<Vec<Area>, CaptureError> {
    let failed = CaptureError::NoServer;
    let asked = connection
        .randr_get_monitors(root, true)
        .map_err(|_| failed)?;
    let monitors = asked.reply().map_err(|_| failed)?.monitors;
    let areas = monitors.into_iter().filter_map(|monitor| {
        let asked = connection.get_atom_name(monitor.name).ok()?;
        Some(Area {
            name: String::from_utf8_lossy(&asked.reply().ok()?.name).into_owned(),
            x: monitor.x,
            y: monitor.y,
            width: monitor.width,
            height: monitor.height,
        })
    });
    Ok(areas.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_covers_what_is_under_it_as_much_as_it_is_opaque() {
        let mut pixel = [100, 100, 100];
        blend(&mut pixel, 0);
        assert_eq!(pixel, [100, 100, 100]);
        blend(&mut pixel, 0x8000_0080);
        assert_eq!(pixel, [177, 49, 49]);
        blend(&mut pixel, 0xff10_2030);
        assert_eq!(pixel, [0x30, 0x20, 0x10]);
    }
}
