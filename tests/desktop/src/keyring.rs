//! The keyring of a home: GNOME's, unlocked with an empty password, as after an automatic login.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use workplace::guard::Guard;
use workplace::process::{Crew, command};

use crate::home::Home;
use crate::wait;

const SERVICE: &str = "--dest=org.freedesktop.secrets";
const COLLECTION: &str = "/org/freedesktop/secrets/collection/login";

pub struct Keyring {
    daemon: Crew,
    bus: String,
    password: PathBuf,
}

impl Keyring {
    pub(crate) fn new(folder: &Path, guard: &Arc<Guard>) -> Self {
        Self {
            daemon: Crew::new(guard.clone(), folder.join("run/keyring.log")),
            bus: format!("--bus=unix:path={}", folder.join("run/bus").display()),
            password: folder.join("run/keyring-password"),
        }
    }

    /// Starts it, unlocked.
    pub async fn start(&self, home: &Home) -> Result<()> {
        // The line's end belongs to it: without one the daemon takes the password for missing and stays locked.
        std::fs::write(&self.password, "\n")?;
        let script =
            r#"exec gnome-keyring-daemon --foreground --unlock --components=secrets < "$1""#;
        self.run(home, script)?;
        wait::until("the keyring is unlocked", wait::PATIENCE, || async {
            Ok((!self.locked().await?).then_some(()))
        })
        .await
    }

    /// Starts it as it is after a login that did not unlock it.
    pub async fn start_locked(&self, home: &Home) -> Result<()> {
        self.run(
            home,
            "exec gnome-keyring-daemon --foreground --components=secrets",
        )?;
        wait::until("the keyring is there", wait::PATIENCE, || async {
            Ok(self.locked().await?.then_some(()))
        })
        .await
    }

    fn run(&self, home: &Home, script: &str) -> Result<()> {
        self.stop();
        let mut daemon = command("/bin/sh");
        daemon
            .args(["-c", script, "keyring"])
            .arg(&self.password)
            .env_clear()
            .envs(home.environment_of_session());
        self.daemon.start(daemon)
    }

    /// Locks it, as a person does in the system's keyring program.
    pub async fn lock(&self) -> Result<()> {
        let collection = format!("array:objpath:{COLLECTION}");
        self.ask(
            "/org/freedesktop/secrets",
            "org.freedesktop.Secret.Service.Lock",
            &[&collection],
        )
        .await?;
        ensure!(self.locked().await?, "the keyring did not lock");
        Ok(())
    }

    /// Ends it: there is no keyring service any more.
    pub fn stop(&self) {
        self.daemon.kill();
    }

    pub async fn locked(&self) -> Result<bool> {
        let get = ["string:org.freedesktop.Secret.Collection", "string:Locked"];
        let answer = self
            .ask(COLLECTION, "org.freedesktop.DBus.Properties.Get", &get)
            .await?;
        Ok(answer.contains("true"))
    }

    async fn ask(&self, object: &str, method: &str, arguments: &[&str]) -> Result<String> {
        let answer = tokio::process::Command::new("dbus-send")
            .args([&self.bus, "--print-reply=literal", SERVICE, object, method])
            .args(arguments)
            .output()
            .await
            .context("cannot start dbus-send")?;
        ensure!(
            answer.status.success(),
            "the keyring: {}",
            String::from_utf8_lossy(&answer.stderr)
        );
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    }
}
