//! The vault against a real GNOME Keyring on a session bus of its own.
//!
//! The bus and the daemon belong to a process tree, so each test starts this test program again
//! inside `dbus-run-session`, where [`inside`] does the step that it was told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

const STEP: &str = "CORDEE_KEYRING_STEP";
const NOTE: &str = "CORDEE_KEYRING_NOTE";
const INSIDE: &str = "vault::gnome_keyring_tests::inside";

const UNLOCK_DAEMON: &str =
    "echo secret | gnome-keyring-daemon --unlock --components=secrets >/dev/null";
/// Ends the daemon that owns the service's name on this bus, and waits until it is gone.
const END_DAEMON: &str = "pid=$(dbus-send --session --print-reply=literal \
    --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetConnectionUnixProcessID \
    string:org.freedesktop.secrets | grep -o '[0-9]*$') && kill $pid && \
    while [ -e /proc/$pid ] && ! grep -q 'State:.Z' /proc/$pid/status; do sleep 0.05; done";

fn bash(script: &str) -> std::process::ExitStatus {
    Command::new("bash")
        .args(["-c", script])
        .stdin(Stdio::null())
        .status()
        .unwrap()
}

/// How the daemon finds the person's keyring.
enum Daemon {
    Unlocked,
    /// Started without a password: what is on disk stays locked.
    Locked,
    /// A bus without any keyring service.
    None,
}

/// Runs `step` in a new session whose files are in `home`.
fn session(home: &Path, daemon: &Daemon, step: &str) {
    let run = tempfile::tempdir().unwrap();
    let before = match daemon {
        Daemon::Unlocked => UNLOCK_DAEMON,
        Daemon::Locked => "gnome-keyring-daemon --start --components=secrets >/dev/null",
        Daemon::None => "true",
    };
    let script = format!("{before}; exec \"$0\" \"$@\"");
    let mut command = Command::new("dbus-run-session");
    if matches!(daemon, Daemon::None) {
        // Nothing may be started on demand either.
        let config = run.path().join("bus.conf");
        let text = "<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen>\
            <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
            <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>";
        std::fs::write(&config, text).unwrap();
        command.arg(format!("--config-file={}", config.display()));
    }
    command
        .args(["--", "bash", "-c", &script])
        .arg(std::env::current_exe().unwrap());
    finish(command, home, run.path(), step);
}

fn finish(mut command: Command, home: &Path, run: &Path, step: &str) {
    let output = command
        .args([INSIDE, "--exact", "--ignored", "--nocapture"])
        .env("HOME", home)
        .env("XDG_DATA_HOME", home.join("share"))
        .env("XDG_RUNTIME_DIR", run)
        .env(STEP, step)
        .env(NOTE, home.join("note"))
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .output()
        .expect("dbus-run-session and gnome-keyring are installed");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{step}: {said}\n{complained}");
    assert!(said.contains("1 passed"), "{step}: {said}");
}

#[test]
fn secrets_outlive_the_session_and_a_locked_keyring_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    session(home.path(), &Daemon::Unlocked, "write");
    session(home.path(), &Daemon::Unlocked, "read");
    session(home.path(), &Daemon::Locked, "locked");
    session(home.path(), &Daemon::Unlocked, "read");
    session(home.path(), &Daemon::Unlocked, "delete");
    session(home.path(), &Daemon::Unlocked, "empty");
}

#[test]
fn a_keyring_service_that_restarts_goes_unnoticed() {
    let home = tempfile::tempdir().unwrap();
    session(home.path(), &Daemon::Unlocked, "restart");
}

#[test]
fn a_person_without_any_keyring_is_told_that_it_is_locked_and_not_that_it_is_empty() {
    let home = tempfile::tempdir().unwrap();
    session(home.path(), &Daemon::Locked, "locked");
}

#[test]
fn a_bus_without_a_keyring_service_is_missing() {
    let home = tempfile::tempdir().unwrap();
    session(home.path(), &Daemon::None, "missing");
}

#[test]
fn a_computer_without_a_session_bus_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(
        "DBUS_SESSION_BUS_ADDRESS",
        format!("unix:path={}/none", home.path().display()),
    );
    finish(command, home.path(), home.path(), "missing");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env_remove("DBUS_SESSION_BUS_ADDRESS");
    finish(command, home.path(), home.path(), "missing");
}

/// Not a test by itself: the others run it inside a session.
#[tokio::test]
#[ignore = "run by the tests above inside a session of their own"]
async fn inside() {
    let application = "app.cordee.test";
    let large = Secret::new((0..=255).cycle().take(20_000).collect());
    let note = std::env::var_os(NOTE).unwrap();
    let opened = Vault::open(application).await;
    match std::env::var(STEP).unwrap().as_str() {
        "write" => {
            let vault = opened.unwrap();
            assert_eq!(vault.get("session").await, Ok(None));
            vault.set("session", Secret::from("first")).await.unwrap();
            vault
                .set("session", Secret::from("é\u{0}second"))
                .await
                .unwrap();
            vault.set("chat.large", large).await.unwrap();
            vault.set("chat.gone", Secret::from("x")).await.unwrap();
            vault.delete("chat.gone").await.unwrap();
            let key = vault.store_key("nathalie").await.unwrap();
            std::fs::write(note, key.as_slice()).unwrap();
        }
        "read" => {
            let vault = opened.unwrap();
            vault.unlock().await.unwrap();
            vault.unlocked().await;
            assert_eq!(
                vault.get("session").await,
                Ok(Some(Secret::from("é\u{0}second")))
            );
            assert_eq!(vault.get("chat.large").await, Ok(Some(large)));
            assert_eq!(vault.get("chat.gone").await, Ok(None));
            let key = vault.store_key("nathalie").await.unwrap();
            assert_eq!(std::fs::read(note).unwrap(), key.as_slice());
        }
        "locked" => {
            let vault = opened.unwrap();
            assert_eq!(vault.get("session").await, Err(VaultError::Locked));
            assert_eq!(vault.get("never set").await, Err(VaultError::Locked));
            assert_eq!(
                vault.existing_store_key("nathalie").await,
                Err(VaultError::Locked)
            );
            assert_eq!(vault.store_key("nathalie").await, Err(VaultError::Locked));
            assert_eq!(
                vault.set("session", Secret::from("x")).await,
                Err(VaultError::Locked)
            );
            assert_eq!(vault.delete("session").await, Err(VaultError::Locked));
            assert_eq!(vault.delete_all("").await, Err(VaultError::Locked));
            // There is no screen on which anybody could be asked.
            assert_eq!(vault.unlock().await, Err(VaultError::Locked));
        }
        "restart" => {
            let vault = opened.unwrap();
            vault.set("session", Secret::from("kept")).await.unwrap();
            assert!(bash(END_DAEMON).success());
            assert!(bash(UNLOCK_DAEMON).success());
            assert_eq!(vault.get("session").await, Ok(Some(Secret::from("kept"))));
            vault.set("session", Secret::from("changed")).await.unwrap();
        }
        "delete" => {
            let vault = opened.unwrap();
            vault.delete_all("chat.").await.unwrap();
            assert_eq!(vault.get("chat.large").await, Ok(None));
            assert!(vault.get("session").await.unwrap().is_some());
            vault.delete_all("").await.unwrap();
        }
        "empty" => {
            let vault = opened.unwrap();
            assert_eq!(vault.get("session").await, Ok(None));
            assert_eq!(vault.existing_store_key("nathalie").await, Ok(None));
        }
        "missing" => assert_eq!(opened.unwrap_err(), VaultError::Missing),
        step => panic!("no step {step}"),
    }
}
