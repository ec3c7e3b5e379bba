//! Joins two connections until both have ended, each direction on its own.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// First size of a direction's buffer, bytes. Most connections carry little: 1,000 idle ones
/// take 16 MB.
const SMALL: usize = 8 * 1024;
/// Size of the buffer of a direction that fills the small one, bytes.
const LARGE: usize = 128 * 1024;
/// Longest silence of the open direction after the other one has closed. Both open: no limit, a
/// remote desktop may be silent for hours.
const HALF_CLOSED: Duration = Duration::from_mins(10);

/// Moves bytes both ways. A closed direction is closed on the far side, too, and the other goes
/// on; an error in either ends both.
pub(super) async fn relay(near: impl AsyncRead + AsyncWrite, far: impl AsyncRead + AsyncWrite) {
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    let one_closed = AtomicBool::new(false);
    let up = pump(near_read, far_write, &one_closed);
    let down = pump(far_read, near_write, &one_closed);
    if let Err(error) = tokio::try_join!(up, down) {
        tracing::debug!(kind = ?error.kind(), "A joined connection broke");
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    one_closed: &AtomicBool,
) -> io::Result<()> {
    let mut buffer = vec![0; SMALL];
    loop {
        let count = loop {
            match timeout(HALF_CLOSED, from.read(&mut buffer)).await {
                Ok(count) => break count?,
                Err(_) if one_closed.load(Relaxed) => return Err(io::ErrorKind::TimedOut.into()),
                Err(_) => {}
            }
        };
        if count == 0 {
            one_closed.store(true, Relaxed);
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..count).unwrap_or_default())
            .await?;
        if count == SMALL && buffer.len() == SMALL {
            buffer.resize(LARGE, 0);
        }
    }
}
