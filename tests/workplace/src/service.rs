//! What every service of the workplace can do. One file per service in `services/`.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use anyhow::{Result, bail};

use crate::process::Crew;
use crate::site::Site;

pub type Step<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// A real back end: `install` → `configure` → `start` → `ready` → `seed` → `stop`.
///
/// `install`, `configure`, `start` and `stop` block; the workplace calls them where that is allowed.
pub trait Service: Send + Sync {
    fn name(&self) -> &'static str;

    /// Brings what can be brought without administrator rights, and says which system packages are missing.
    fn install(&self) -> Result<()>;

    /// Writes the service's files into its folder.
    fn configure(&self, site: &Site) -> Result<()>;

    /// Starts the processes; returns before they are healthy.
    fn start(&self, site: &Site) -> Result<()>;

    /// One look: healthy, or why not yet.
    fn ready<'a>(&'a self, site: &'a Site) -> Step<'a>;

    /// Puts in what the demo needs; called once, when all services are healthy.
    fn seed<'a>(&'a self, _site: &'a Site) -> Step<'a> {
        Box::pin(async { Ok(()) })
    }

    fn stop(&self) {
        self.crew().stop();
    }

    fn crew(&self) -> &Crew;
}

/// Fails with a sentence when a program of a system package is not there.
pub fn need(program: &Path, packages: &str) -> Result<()> {
    let found = if program.is_absolute() {
        program.exists()
    } else {
        // Servers live in sbin, which is not on an ordinary person's path.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    };
    if !found {
        bail!(
            "{} is missing. Install it: apt-get install {packages} (./x does it for you)",
            program.display()
        );
    }
    Ok(())
}

/// Content when a request to `address` succeeds.
pub(crate) fn answers<'a>(site: &'a Site, what: &'static str, address: String) -> Step<'a> {
    Box::pin(async move {
        let answer = crate::browser::client(&site.authority)?
            .get(address)
            .send()
            .await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "{what} answers {status}");
        Ok(())
    })
}
