//! The desktop's portal: the person chooses what to share, and a connection to `PipeWire` that shows only that comes
//! back.

use ashpd::desktop::screencast::{
    CursorMode, OpenPipeWireRemoteOptions, Screencast, SelectSourcesOptions, SourceType,
    StartCastOptions,
};
use ashpd::desktop::{CreateSessionOptions, PersistMode, Session};

use super::Picture;
use super::pipewire::{PipeWireSource, Target};
use super::source::{CaptureError, PictureFormat, VideoSource};

/// A screen or a window. The desktop's sign that something is shared goes with this.
pub(super) struct PortalSource {
    source: PipeWireSource,
    session: Option<Session<Screencast>>,
    runtime: tokio::runtime::Handle,
}

pub(super) async fn open(rate: u32) -> Result<PortalSource, CaptureError> {
    let portal = Screencast::new().await.map_err(trouble)?;
    let session = portal
        .create_session(CreateSessionOptions::default())
        .await
        .map_err(trouble)?;
    let choice = SelectSourcesOptions::default()
        .set_sources(SourceType::Monitor | SourceType::Window)
        .set_cursor_mode(CursorMode::Embedded)
        .set_multiple(false)
        .set_persist_mode(PersistMode::DoNot);
    let selecting = portal.select_sources(&session, choice).await;
    selecting
        .and_then(|request| request.response())
        .map_err(trouble)?;
    let starting = portal
        .start(&session, None, StartCastOptions::default())
        .await;
    let chosen = starting
        .and_then(|request| request.response())
        .map_err(trouble)?;
    let stream = chosen.streams().first().ok_or(CaptureError::Refused)?;
    let remote = portal.open_pipe_wire_remote(&session, OpenPipeWireRemoteOptions::default());
    let target = Target::Screen {
        remote: remote.await.map_err(trouble)?,
        node: stream.pipe_wire_node_id(),
    };
    let (width, height) = stream.size().unwrap_or((1920, 1080));
    let wanted = PictureFormat {
        width: u32::try_from(width).unwrap_or(1920),
        height: u32::try_from(height).unwrap_or(1080),
        rate,
    };
    let opening = tokio::task::spawn_blocking(move || PipeWireSource::open(target, wanted));
    let source = opening.await.map_err(|_| CaptureError::NoServer)??;
    Ok(PortalSource {
        source,
        session: Some(session),
        runtime: tokio::runtime::Handle::current(),
    })
}

impl VideoSource for PortalSource {
    fn next(&mut self) -> Result<Option<Picture>, CaptureError> {
        self.source.next()
    }
}

impl Drop for PortalSource {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.runtime.spawn(async move {
                // A portal that is gone has closed it already.
                let _ = session.close().await;
            });
        }
    }
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn trouble(error: ashpd::Error) -> CaptureError {
    if let ashpd::Error::Response(_) = error {
        CaptureError::Refused
    } else {
        CaptureError::NoServer
    }
}
