//! A screen that nobody looks at: Xvfb on a free display, and pictures of it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use workplace::guard::Guard;
use workplace::process::{Crew, command};

use crate::wait;

/// The size of the screen unless somebody asks for another.
pub const SIZE: (u32, u32) = (1400, 900);

/// One X server with one screen. It ends with us, however we end.
pub struct Screen {
    display: String,
    server: Crew,
    guard: Arc<Guard>,
}

impl Screen {
    pub async fn start() -> Result<Arc<Self>> {
        Self::sized(SIZE.0, SIZE.1).await
    }

    pub async fn sized(width: u32, height: u32) -> Result<Arc<Self>> {
        let folder = tempfile::Builder::new()
            .prefix("cordee-screen-")
            .tempdir()?
            .keep();
        let guard = Arc::new(Guard::post(&folder, false)?);
        let log = folder.join("xvfb.log");
        let number = folder.join("display");
        let server = Crew::new(guard.clone(), log.clone());
        // Xvfb chooses a free display by itself and writes its number to the file that is its third stream here.
        let mut xvfb = command("/bin/sh");
        xvfb.args([
            "-c",
            r#"exec Xvfb -displayfd 3 -screen 0 "$2" -nolisten tcp -noreset 3> "$1""#,
            "xvfb",
        ])
        .arg(&number)
        .arg(format!("{width}x{height}x24"));
        server.start(xvfb)?;
        let display = wait::until("Xvfb has chosen a display", wait::PATIENCE, || async {
            ensure!(server.ended().is_none(), "{}", server.last_lines());
            let text = std::fs::read_to_string(&number).unwrap_or_default();
            Ok(text.strip_suffix('\n').map(|number| format!(":{number}")))
        })
        .await?;
        Ok(Arc::new(Self {
            display,
            server,
            guard,
        }))
    }

    /// `:99`
    pub fn display(&self) -> &str {
        &self.display
    }

    /// A picture of everything on the screen, as a person would see it.
    pub async fn picture(&self, file: &Path) -> Result<()> {
        let shot = tokio::process::Command::new("import")
            .args(["-display", &self.display, "-window", "root"])
            .arg(file)
            .output()
            .await
            .context("cannot start import (ImageMagick)")?;
        ensure!(
            shot.status.success(),
            "import: {}",
            String::from_utf8_lossy(&shot.stderr)
        );
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.server.kill();
        self.guard.dismiss();
    }
}
