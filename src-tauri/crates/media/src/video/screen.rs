//! Screens of this computer.

#[cfg_attr(target_os = "linux", path = "screen/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "screen/elsewhere.rs")]
mod system;

use super::source::{CaptureError, VideoSource};

/// What can be shared.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Screen {
    pub id: String,
    /// As the system calls it. Empty when the system asks the person itself, as Wayland does.
    pub name: String,
    pub kind: ScreenKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ScreenKind {
    /// A whole monitor.
    Monitor,
    /// One window.
    Window,
    /// The system shows its own list, when this is opened.
    Asks,
}

/// What can be shared now. Waits for the system for a moment: not for an async task.
pub fn screens() -> Result<Vec<Screen>, CaptureError> {
    system::screens()
}

/// Opens one of [`screens`], with at most `rate` pictures per second. May wait as long as a person thinks about what to
/// share; [`CaptureError::Refused`] when they decide not to.
pub async fn open_screen(id: &str, rate: u32) -> Result<Box<dyn VideoSource>, CaptureError> {
    system::open(id, rate).await
}
