//! A person's home on a computer of the organisation: folders, session bus, keyring, the administrator's policy, and
//! a browser that trusts what the administrator trusts. Nothing of the real home of whoever runs the tests is touched.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use workplace::Workplace;
use workplace::guard::Guard;
use workplace::process::{Crew, command};

use crate::keyring::Keyring;
use crate::screen::Screen;
use crate::wait;

/// What the system does with an address that a program wants to see opened: here it is written down, and the
/// [`crate::Browser`] of the test goes there.
const OPENER: &str = "#!/bin/sh\nprintf '%s\\n' \"$1\" >> \"$CORDEE_TEST_OPENED\"\n";

/// One person's home. Dropping it ends its servers and removes it, unless it is kept.
pub struct Home {
    folder: PathBuf,
    screen: Arc<Screen>,
    bus: Crew,
    keyring: Keyring,
    guard: Arc<Guard>,
    language: String,
}

impl Home {
    /// A new home at this screen, on a computer whose administrator trusts the workplace.
    pub async fn new(workplace: &Workplace, screen: &Arc<Screen>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("cordee-home-")
            .tempdir()?
            .keep();
        Self::at(folder, false, workplace, screen).await
    }

    /// A home that stays where it is when everything ends, so that it can be entered again.
    pub async fn kept(folder: &Path, workplace: &Workplace, screen: &Arc<Screen>) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        Self::at(folder.to_owned(), true, workplace, screen).await
    }

    async fn at(
        folder: PathBuf,
        keep: bool,
        workplace: &Workplace,
        screen: &Arc<Screen>,
    ) -> Result<Self> {
        let keep = keep || std::env::var_os("CORDEE_KEEP").is_some();
        let guard = Arc::new(Guard::post(&folder, keep)?);
        for name in [
            "bin",
            "run",
            "tmp",
            ".config/cordee",
            ".local/share",
            ".cache",
            ".pki/nssdb",
            "Downloads",
        ] {
            private_folder(&folder.join(name))?;
        }
        std::fs::write(
            folder.join(".config/cordee/policy.json"),
            workplace.policy_json(),
        )?;
        executable(&folder.join("bin/xdg-open"), OPENER)?;
        trust_in_browser(&folder.join(".pki/nssdb"), &workplace.authority_file()).await?;
        let bus = Crew::new(guard.clone(), folder.join("run/bus.log"));
        bus.start(bus_daemon(&folder)?)?;
        let socket = folder.join("run/bus");
        wait::until("the session bus listens", wait::PATIENCE, || async {
            Ok(socket.exists().then_some(()))
        })
        .await?;
        let keyring = Keyring::new(&folder, &guard);
        let home = Self {
            folder,
            screen: screen.clone(),
            bus,
            keyring,
            guard,
            language: "fr_FR.UTF-8".to_owned(),
        };
        home.keyring.start(&home).await?;
        Ok(home)
    }

    /// What the system is set to, as `LANG` says it.
    pub fn set_language(&mut self, language: &str) {
        language.clone_into(&mut self.language);
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn screen(&self) -> &Arc<Screen> {
        &self.screen
    }

    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// Where Cordée keeps its data.
    pub fn data(&self) -> PathBuf {
        self.folder.join(".local/share/cordee")
    }

    /// Everything that Cordée logged in this home.
    pub fn log(&self) -> String {
        let Ok(files) = std::fs::read_dir(self.data().join("logs")) else {
            return String::new();
        };
        let mut files: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        files.sort();
        files
            .iter()
            .filter_map(|file| std::fs::read_to_string(file).ok())
            .collect()
    }

    /// A program of this person: it sees this home and this screen, and nothing else of our environment.
    pub fn program(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(self.environment())
            .current_dir(&self.folder);
        command
    }

    /// The environment of this person's programs. How the webview draws may be tried out from outside.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut environment = self.environment_of_session();
        environment.push(("DISPLAY", self.screen.display().into()));
        for name in [
            "WEBKIT_DISABLE_DMABUF_RENDERER",
            "WEBKIT_DISABLE_COMPOSITING_MODE",
            "CORDEE_LOG",
        ] {
            environment.extend(std::env::var_os(name).map(|value| (name, value)));
        }
        environment
    }

    /// The same without a screen.
    pub fn environment_of_session(&self) -> Vec<(&'static str, OsString)> {
        let here = |name: &str| self.folder.join(name).into_os_string();
        let mut path = here("bin");
        path.push(":");
        path.push(
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()),
        );
        vec![
            ("PATH", path),
            ("HOME", self.folder.clone().into_os_string()),
            ("XDG_CONFIG_HOME", here(".config")),
            ("XDG_DATA_HOME", here(".local/share")),
            ("XDG_CACHE_HOME", here(".cache")),
            ("XDG_RUNTIME_DIR", here("run")),
            ("TMPDIR", here("tmp")),
            (
                "DBUS_SESSION_BUS_ADDRESS",
                format!("unix:path={}", self.folder.join("run/bus").display()).into(),
            ),
            ("CORDEE_TEST_OPENED", here("run/opened")),
            ("LANG", self.language.clone().into()),
            ("TZ", "Europe/Paris".into()),
            ("GDK_BACKEND", "x11".into()),
            ("NO_AT_BRIDGE", "1".into()),
            ("GTK_USE_PORTAL", "0".into()),
        ]
    }

    /// How many addresses programs have asked the system to open so far.
    pub fn opened(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join("run/opened")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The next address that a program asks the system to open, after `seen` earlier ones.
    pub async fn address_opened(&self, seen: usize) -> Result<String> {
        wait::until(
            "the system browser is asked to open an address",
            wait::PATIENCE,
            || async { Ok(self.opened().get(seen).cloned()) },
        )
        .await
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.keyring.stop();
        self.bus.kill();
        self.guard.dismiss();
    }
}

/// A bus with nothing on it but what we start: no portals, no other keyring that the system would start by itself.
fn bus_daemon(folder: &Path) -> Result<Command> {
    let file = folder.join("run/bus.conf");
    std::fs::write(
        &file,
        format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#,
            folder.join("run/bus").display()
        ),
    )?;
    let mut daemon = command("dbus-daemon");
    daemon
        .arg(format!("--config-file={}", file.display()))
        .arg("--nofork")
        .arg("--nopidfile");
    Ok(daemon)
}

/// Chromium on Linux reads the person's own NSS database for authorities that an administrator added.
async fn trust_in_browser(database: &Path, authority: &Path) -> Result<()> {
    let sql = format!("sql:{}", database.display());
    let certutil = |arguments: &[&std::ffi::OsStr]| {
        let mut command = tokio::process::Command::new("certutil");
        command.arg("-d").arg(&sql).args(arguments);
        command
    };
    let new: [&std::ffi::OsStr; 2] = ["-N".as_ref(), "--empty-password".as_ref()];
    let add: [&std::ffi::OsStr; 7] = [
        "-A".as_ref(),
        "-t".as_ref(),
        "C,,".as_ref(),
        "-n".as_ref(),
        "workplace".as_ref(),
        "-i".as_ref(),
        authority.as_os_str(),
    ];
    for arguments in [&new[..], &add[..]] {
        let done = certutil(arguments)
            .output()
            .await
            .context("cannot start certutil (libnss3-tools)")?;
        ensure!(
            done.status.success(),
            "certutil: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(())
}

fn private_folder(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make {}", path.display()))
}

fn executable(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(0o755),
    )?)
}
