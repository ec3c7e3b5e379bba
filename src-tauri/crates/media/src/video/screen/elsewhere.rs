//! Windows and macOS, by `xcap`: still pictures, taken again and again.

use std::time::{Duration, Instant};

use xcap::{Monitor, Window};

use super::{Screen, ScreenKind};
use crate::video::Picture;
use crate::video::conversion::{PixelFormat, Plane, Raw};
use crate::video::source::{CaptureError, VideoSource};

const MONITOR: &str = "monitor:";
const WINDOW: &str = "window:";

pub(super) fn screens() -> Result<Vec<Screen>, CaptureError> {
    let monitors = Monitor::all().map_err(|_| CaptureError::Refused)?;
    let windows = Window::all().unwrap_or_default();
    let monitors = monitors.iter().filter_map(|monitor| {
        Some(Screen {
            id: format!("{MONITOR}{}", monitor.id().ok()?),
            name: monitor.friendly_name().or_else(|_| monitor.name()).ok()?,
            kind: ScreenKind::Monitor,
        })
    });
    let windows = windows.iter().filter_map(|window| {
        let name = window.title().ok().filter(|title| !title.is_empty())?;
        let hidden = window.is_minimized().unwrap_or(false);
        (!hidden).then_some(Screen {
            id: format!("{WINDOW}{}", window.id().ok()?),
            name,
            kind: ScreenKind::Window,
        })
    });
    Ok(monitors.chain(windows).collect())
}

pub(super) async fn open(id: &str, rate: u32) -> Result<Box<dyn VideoSource>, CaptureError> {
    let id = id.to_owned();
    let looking = tokio::task::spawn_blocking(move || {
        // Neither kind can leave this thread on every system, so only its number does.
        let number = |prefix: &str| id.strip_prefix(prefix)?.parse::<u32>().ok();
        number(MONITOR)
            .map(Target::Monitor)
            .or_else(|| number(WINDOW).map(Target::Window))
            .ok_or(CaptureError::Missing)
    });
    let target = looking.await.map_err(|_| CaptureError::NoServer)??;
    Ok(Box::new(Shots {
        target,
        pause: Duration::from_secs(1) / rate.clamp(5, 60),
        due: Instant::now(),
        last: Vec::new(),
    }))
}

#[derive(Clone, Copy)]
enum Target {
    Monitor(u32),
    Window(u32),
}

struct Shots {
    target: Target,
    pause: Duration,
    due: Instant,
    last: Vec<u8>,
}

impl VideoSource for Shots {
    fn next(&mut self) -> Result<Option<Picture>, CaptureError> {
        std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
        self.due = Instant::now() + self.pause;
        let shot = match self.target {
            Target::Monitor(id) => Monitor::all()
                .ok()
                .and_then(|all| all.into_iter().find(|own| own.id().ok() == Some(id)))
                .and_then(|monitor| monitor.capture_image().ok()),
            Target::Window(id) => Window::all()
                .ok()
                .and_then(|all| all.into_iter().find(|own| own.id().ok() == Some(id)))
                .and_then(|window| window.capture_image().ok()),
        };
        let shot = shot.ok_or(CaptureError::Gone)?;
        let (width, height) = shot.dimensions();
        let bytes = shot.into_raw();
        if bytes == self.last {
            return Ok(None);
        }
        let plane = Plane {
            bytes: &bytes,
            stride: 0,
        };
        let picture = Raw {
            format: PixelFormat::Rgbx,
            width: usize::try_from(width).map_err(|_| CaptureError::Format)?,
            height: usize::try_from(height).map_err(|_| CaptureError::Format)?,
            planes: &[plane],
        }
        .to_picture();
        self.last = bytes;
        Ok(picture)
    }
}
