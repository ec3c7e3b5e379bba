//! Where pictures come from.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Picture;

/// Longest wait of [`VideoSource::next`].
pub(super) const WAIT: Duration = Duration::from_millis(200);

/// A camera, a screen, a file, a pattern.
pub trait VideoSource: Send + 'static {
    /// Waits for the next picture, a fifth of a second at most. `None`: there is no new one, as on a screen where
    /// nothing moves. After an error nothing comes any more.
    fn next(&mut self) -> Result<Option<Picture>, CaptureError>;
}

impl VideoSource for Box<dyn VideoSource> {
    fn next(&mut self) -> Result<Option<Picture>, CaptureError> {
        self.as_mut().next()
    }
}

/// Why there are no pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CaptureError {
    /// Never was there, or not any more at the start.
    #[error("there is no such camera or screen")]
    Missing,
    #[error("the camera or screen is gone")]
    Gone,
    #[error("another program uses it")]
    Busy,
    /// By the system, or by the person whom the system asked.
    #[error("it may not be used")]
    Refused,
    #[error("it gives no pictures that can be used")]
    Format,
    #[error("the system's video service does not answer")]
    NoServer,
    #[error("the file has ended or cannot be read")]
    File,
}

/// Pictures that are wished for; a camera gives what comes nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureFormat {
    /// In pixels.
    pub width: u32,
    pub height: u32,
    /// Per second.
    pub rate: u32,
}

impl Default for PictureFormat {
    fn default() -> Self {
        Self {
            width: 1280,
            height: 720,
            rate: 30,
        }
    }
}

/// The newest picture between the thread that gets pictures and the one that encodes them: a new one replaces one that
/// was not taken.
#[derive(Default)]
pub(super) struct Latest {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    picture: Option<Picture>,
    end: Option<CaptureError>,
}

impl Latest {
    pub fn put(&self, picture: Picture) {
        self.lock().picture = Some(picture);
        self.changed.notify_all();
    }

    /// The first reason stays.
    pub fn end(&self, error: CaptureError) {
        self.lock().end.get_or_insert(error);
        self.changed.notify_all();
    }

    pub fn next(&self) -> Result<Option<Picture>, CaptureError> {
        let nothing = |state: &mut State| state.picture.is_none() && state.end.is_none();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.lock(), WAIT, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        match (state.picture.take(), state.end) {
            (None, Some(error)) => Err(error),
            (picture, _) => Ok(picture),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_picture_wins_and_the_end_comes_after_it() {
        let latest = Latest::default();
        assert_eq!(latest.next(), Ok(None));
        latest.put(Picture::black(2, 2));
        latest.put(Picture::black(4, 4));
        latest.end(CaptureError::Gone);
        latest.end(CaptureError::NoServer);
        assert_eq!(latest.next(), Ok(Some(Picture::black(4, 4))));
        assert_eq!(latest.next(), Err(CaptureError::Gone));
        assert_eq!(latest.next(), Err(CaptureError::Gone));
    }
}
