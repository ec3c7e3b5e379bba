//! A seeded homeserver is kept in the cache folder, so that the next start of the same kind only copies it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::seed;
use crate::services::synapse;
use crate::site::{Site, cache, hex};

/// What a seeded homeserver consists of, in its folder.
const PARTS: [&str; 5] = [
    "homeserver.db",
    "homeserver.db-wal",
    "signing.key",
    "media",
    "seeded",
];
/// Snapshots of other days are of no use: their history ends on that day.
const KEPT: Duration = Duration::from_hours(36);

pub struct Snapshot {
    folder: PathBuf,
}

impl Snapshot {
    /// The snapshot that fits this workplace, whether it exists yet or not.
    pub fn of(site: &Site) -> Result<Self> {
        let options = &site.options;
        let mut hash = Sha256::new();
        for part in [seed::fingerprint().as_str(), synapse::VERSION] {
            hash.update(part);
        }
        hash.update(format!(
            "{} {} {}",
            options.people, options.rooms, options.long_room
        ));
        let digest = hex(hash.finalize().into_iter().take(8));
        let name = format!("{}-{digest}", seed::today());
        Ok(Self {
            folder: cache()?.join("snapshots").join(name),
        })
    }

    /// Copies the snapshot into the homeserver's folder; false when there is none.
    pub fn restore(&self, to: &Path) -> Result<bool> {
        if !self.folder.join("seeded").exists() {
            return Ok(false);
        }
        for part in PARTS {
            copy(&self.folder.join(part), &to.join(part))
                .context("cannot copy the seeded homeserver")?;
        }
        Ok(true)
    }

    /// Keeps a stopped homeserver's state. Another workplace may have done so meanwhile; then theirs stays.
    pub fn keep(&self, from: &Path) -> Result<()> {
        let parent = self
            .folder
            .parent()
            .context("a snapshot has a folder above it")?;
        fs::create_dir_all(parent)?;
        forget_old(parent);
        let fresh = tempfile::Builder::new().prefix("new-").tempdir_in(parent)?;
        for part in PARTS {
            copy(&from.join(part), &fresh.path().join(part))
                .context("cannot keep the seeded homeserver")?;
        }
        let fresh = fresh.keep();
        if fs::rename(&fresh, &self.folder).is_err() {
            fs::remove_dir_all(&fresh)?;
        }
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else if from.exists() {
        fs::copy(from, to)?;
    }
    Ok(())
}

fn forget_old(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let old = |path: &Path| -> Option<bool> {
        Some(
            SystemTime::now()
                .duration_since(path.metadata().ok()?.modified().ok()?)
                .ok()?
                > KEPT,
        )
    };
    for entry in entries.flatten() {
        if old(&entry.path()) == Some(true) {
            // Somebody may be reading it; then the next start removes it.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
