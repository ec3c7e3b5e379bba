//! Numbered pictures of what was seen, in the order in which it was seen.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};

use crate::screen::Screen;
use crate::window::Window;

pub struct Gallery {
    folder: Option<PathBuf>,
    next: AtomicUsize,
}

impl Gallery {
    /// Pictures go to this folder; without one nothing is taken.
    pub fn new(folder: Option<PathBuf>) -> Result<Self> {
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self {
            folder,
            next: AtomicUsize::new(1),
        })
    }

    /// What is in the window. What it shows must have been checked before.
    pub async fn window(&self, window: &Window, name: &str) -> Result<()> {
        window.settle().await?;
        match self.file(name) {
            Some(file) => window.picture(&file).await,
            None => Ok(()),
        }
    }

    /// Everything on the screen, as whoever sits before it sees it.
    pub async fn screen(&self, screen: &Screen, name: &str) -> Result<()> {
        match self.file(name) {
            Some(file) => screen.picture(&file).await,
            None => Ok(()),
        }
    }

    /// The screen at the moment when something was not as it should be.
    pub async fn failure(&self, screen: &Screen) {
        if let Some(folder) = &self.folder
            && let Err(why) = screen.picture(&folder.join("failed.png")).await
        {
            tracing::warn!("no picture of the failure: {why:#}");
        }
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        tracing::info!("seen {number:02}: {name}");
        self.folder
            .as_ref()
            .map(|folder| folder.join(format!("{number:02}-{name}.png")))
    }
}
