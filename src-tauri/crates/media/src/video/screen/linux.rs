//! Linux: under X11 its own server gives the pictures; under Wayland the desktop's portal asks the person, and
//! `PipeWire` brings what they chose.

use super::{Screen, ScreenKind};
use crate::video::portal;
use crate::video::source::{CaptureError, VideoSource};
use crate::video::x11;

const PORTAL: &str = "portal";

pub(super) fn screens() -> Result<Vec<Screen>, CaptureError> {
    if is_wayland() {
        return Ok(vec![Screen {
            id: PORTAL.to_owned(),
            name: String::new(),
            kind: ScreenKind::Asks,
        }]);
    }
    x11::screens()
}

pub(super) async fn open(id: &str, rate: u32) -> Result<Box<dyn VideoSource>, CaptureError> {
    if id == PORTAL {
        return Ok(Box::new(portal::open(rate).await?));
    }
    let id = id.to_owned();
    let opening = tokio::task::spawn_blocking(move || x11::open(&id, rate));
    let source = opening.await.map_err(|_| CaptureError::NoServer)??;
    Ok(Box::new(source))
}

/// A Wayland desktop also has an X11 server, but that shows nothing of the others' windows.
fn is_wayland() -> bool {
    std::env::var_os("WAYLAND_DISPLAY").is_some_and(|display| !display.is_empty())
}
