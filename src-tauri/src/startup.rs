//! How long the start took, for the log and for `./x bench start`.

use std::{sync::OnceLock, time::Instant};

/// From the start of the process to the first painted content.
pub struct Startup {
    began: Instant,
    ready: OnceLock<()>,
}

impl Startup {
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            ready: OnceLock::new(),
        }
    }

    /// Milliseconds since the process began.
    pub fn elapsed_ms(&self) -> u128 {
        self.began.elapsed().as_millis()
    }

    /// Written once, at the first painted content.
    pub fn ready(&self) {
        if self.ready.set(()).is_ok() {
            tracing::info!(ms = self.elapsed_ms(), "window ready");
        }
    }
}
