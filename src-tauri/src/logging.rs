//! Rotating log files without personal content.
//!
//! Our crates log codes, durations and counts. Libraries are kept at `warn`, because some of them
//! print addresses and identifiers at lower levels.

use std::path::Path;

use tracing_appender::{non_blocking::WorkerGuard, rolling};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Seven days are enough for a support desk, and little enough to leave on a shared computer.
const FILES_KEPT: usize = 7;

/// What is written when nothing else is asked for. The chat SDK reports ordinary 404 answers
/// as errors and prints identifiers: it stays off.
const FILTER: &str = "warn,cordee=info,problem=info,network=info,organisation=info,identity=info,chat=info,matrix_sdk=off,matrix_sdk_base=off,matrix_sdk_crypto=off,matrix_sdk_ui=off,matrix_sdk_sqlite=off,zbus=off,tao=error";

/// Keeps the writer's thread alive; dropping it flushes the last lines.
pub struct Logging {
    _guard: Option<WorkerGuard>,
}

/// Starts logging to `folder`. Without a writable folder the program goes on without a log.
pub fn start(folder: &Path) -> Logging {
    let appender = rolling::Builder::new()
        .rotation(rolling::Rotation::DAILY)
        .filename_prefix("cordee")
        .filename_suffix("log")
        .max_log_files(FILES_KEPT)
        .build(folder);
    let Ok(appender) = appender else {
        return Logging { _guard: None };
    };
    let (writer, guard) = tracing_appender::non_blocking(appender);
    let filter = std::env::var("CORDEE_LOG")
        .ok()
        .and_then(|wanted| EnvFilter::try_new(wanted).ok())
        .unwrap_or_else(|| EnvFilter::new(FILTER));
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(
            fmt::layer()
                .with_ansi(false)
                .with_target(true)
                .with_writer(writer),
        )
        .try_init();
    if started.is_err() {
        return Logging { _guard: None };
    }
    std::panic::set_hook(Box::new(|panic| {
        // The payload may quote data, so only the place is written.
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    Logging {
        _guard: Some(guard),
    }
}
