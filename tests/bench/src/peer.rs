//! The peer: nheko, a native Matrix client (Qt, C++) that Debian has. Of those clients it is the one that can be
//! signed in without a hand at the mouse: it reads its access token from its configuration file. Quaternion and
//! `NeoChat` keep theirs in the keyring under names of their own, and Fractal is not in Debian 12.

use std::path::PathBuf;
use std::process::Child;

use anyhow::{Context, Result};
use desktop::Home;
use serde_json::{Value, json};
use workplace::{Person, Workplace};

pub const NAME: &str = "nheko";

/// Where `nheko` is, or a sentence about how to get it.
pub fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(NAME))
        .find(|file| file.is_file())
        .context("the peer is missing: apt-get install nheko, or measure without it (--no-peer)")
}

/// Signs nheko in: a device of its own for this person, written where nheko keeps it.
pub async fn sign_in(
    home: &Home,
    workplace: &Workplace,
    person: &Person,
    size: (u16, u16),
) -> Result<()> {
    let homeserver = workplace.homeserver();
    let login = json!({
        "type": "m.login.password", "password": person.password, "initial_device_display_name": NAME,
        "identifier": { "type": "m.id.user", "user": person.uid },
    });
    let answer = workplace
        .http()?
        .post(format!("{homeserver}/_matrix/client/v3/login"))
        .json(&login)
        .send()
        .await?;
    let session: Value = answer.error_for_status()?.json().await?;
    let text = |name: &str| session[name].as_str().unwrap_or_default().to_owned();
    let folder = home.folder().join(".config/nheko");
    std::fs::create_dir_all(&folder)?;
    // It trusts the system's authorities only, so that this one is told not to look.
    let settings = format!(
        "[General]\ndisable_certificate_validation=true\n\n[auth]\naccess_token={}\ndevice_id={}\n\
         home_server={homeserver}\nuser_id={}\n\n[user]\nwindow\\tray=false\ndesktop_notifications=false\n\
         presence=Offline\n\n[window]\nwidth={}\nheight={}\n",
        text("access_token"),
        text("device_id"),
        text("user_id"),
        size.0,
        size.1,
    );
    std::fs::write(folder.join("nheko.conf"), settings).context("nheko cannot be configured")
}

/// Starts it in this home.
pub fn start(home: &Home) -> Result<Child> {
    let log = std::fs::File::create(home.folder().join("run/nheko.log"))?;
    home.program(program()?)
        .env("QT_QPA_PLATFORM", "xcb")
        .stdin(std::process::Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("nheko does not start")
}
