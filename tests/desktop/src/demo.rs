//! The demo: the main job from an address to an answered message, done as a person does it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use futures_util::FutureExt as _;
use workplace::{Person, Workplace};

use crate::gallery::Gallery;
use crate::window::{CONTROL, ENTER, ESCAPE};
use crate::{Browser, Colleague, Home, PATIENCE, Screen, Window, cordee_binary, until};

/// Who sits at the window, and who answers.
const PERSON: &str = "camille.martin";
const COLLEAGUE: &str = "amelie.durand";
const QUESTION: &str =
    "Bonjour Amélie, la consultation de 14 h est déplacée à 15 h. Cela te convient ?";
const ANSWER: &str = "Oui, c’est parfait. Merci de m’avoir prévenue !";

/// How the demo is given.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// On a screen that nobody sees, and without staying. Otherwise Cordée's window opens on the person's own screen.
    pub headless: bool,
    /// Where the numbered pictures go.
    pub shots: Option<PathBuf>,
    pub workplace: workplace::Options,
}

/// Gives the demo. `Ok` means that every step was seen on the screen. Ctrl C ends it, and everything that it started.
pub async fn run(options: Options) -> Result<()> {
    tokio::select! {
        done = give(options).boxed() => done,
        stopped = tokio::signal::ctrl_c() => Ok(stopped?),
    }
}

async fn give(options: Options) -> Result<()> {
    // Missing things are told before anything takes time.
    let program = cordee_binary()?;
    ensure!(
        options.headless
            || std::env::var_os("DISPLAY").is_some()
            || std::env::var_os("WAYLAND_DISPLAY").is_some(),
        "There is no screen to open the window on. `--headless --shots DIR` does without."
    );
    tracing::info!("starting the workplace");
    let workplace = Workplace::up(options.workplace.clone()).await?;
    let gallery = Gallery::new(options.shots.clone())?;
    let screen = Screen::start().await?;
    let home = Home::new(&workplace, &screen).await?;
    let person = workplace.person(PERSON)?;
    tracing::info!("a colleague signs in");
    let colleague = Colleague::arrive(&workplace, workplace.person(COLLEAGUE)?).await?;
    let window = sign_in(&workplace, &home, person, &gallery).await?;
    if options.headless {
        let seen = async {
            converse(&window, &colleague, person, &gallery).await?;
            look_around(&window, &gallery).await
        };
        if let Err(why) = seen.await {
            gallery.failure(&screen).await;
            return Err(why);
        }
        window.close().await?;
    } else {
        window.close().await?;
        stay(&program, &home, &colleague, person).await?;
    }
    colleague.leave().await;
    drop(home);
    workplace.down().await;
    Ok(())
}

/// From an address to the signed-in window, through the system browser.
async fn sign_in(
    workplace: &Workplace,
    home: &Home,
    person: &Person,
    gallery: &Gallery,
) -> Result<Window> {
    let screen = home.screen();
    let window = Window::open(home).await?;
    let seen = home.opened().len();
    window.see("sign-in").await?;
    window
        .replace_text("address-input", &workplace.address_of(&person.uid))
        .await?;
    window
        .see_text("organisation-name", "Cliniques Saint-Elme")
        .await?;
    gallery.window(&window, "organisation-found").await?;

    window.click("continue").await?;
    window.see("browser-waiting").await?;
    let address = home.address_opened(seen).await?;
    let browser = Browser::open(home).await?;
    let phone = workplace.sms_mark()?;
    browser.visit(&address).await?;
    browser.type_password(person, &person.password).await?;
    gallery.screen(screen, "browser-password").await?;

    browser.submit().await?;
    browser.asks_for_code().await?;
    let code = workplace.sms_code_for(&person.phone, phone).await?;
    browser.type_code(&code).await?;
    gallery.screen(screen, "browser-sms-code").await?;

    browser.submit().await?;
    browser.last_page().await?;
    gallery.screen(screen, "browser-back-to-cordee").await?;
    browser.close().await?;
    window.focus().await?;

    window.see_within("frame", PATIENCE * 2).await?;
    window.see("today").await?;
    // She was mentioned there: Today says so when it knows.
    window.see_text("for-you", "Secrétariat central").await?;
    window
        .see_attribute("connection-badge", "data-overall", "connected")
        .await?;
    gallery.window(&window, "today").await?;
    Ok(window)
}

/// An encrypted conversation with somebody who answers from a client of their own.
async fn converse(
    window: &Window,
    colleague: &Colleague,
    person: &Person,
    gallery: &Gallery,
) -> Result<()> {
    let room = colleague.direct(person).await?;
    window.click("rail-chat").await?;
    window.see("room-row").await?;
    let name = colleague.chat().own_profile().boxed().await?.name;
    window.open_room(&name).await?;
    window
        .see_attribute("room-encryption", "data-encrypted", "true")
        .await?;
    gallery.window(window, "conversation").await?;

    let answering = colleague.will_answer(&room, QUESTION, ANSWER).await?;
    window.type_text("composer-input", QUESTION).await?;
    gallery.window(window, "message-typed").await?;

    window.press(ENTER).await?;
    let mine = window.see_message(QUESTION, "sent").await?;
    answering.await??;
    let theirs = window.see_message(ANSWER, "sent").await?;
    ensure!(
        mine.mine && !theirs.mine,
        "the two messages are shown as written by the wrong people"
    );
    gallery.window(window, "sent-and-answered").await?;
    Ok(())
}

/// The other places, languages and looks.
async fn look_around(window: &Window, gallery: &Gallery) -> Result<()> {
    choose(window, "settings-language", "nl").await?;
    window.see_attribute(":root", "lang", "nl").await?;
    window.click("rail-chat").await?;
    window.see_message(ANSWER, "sent").await?;
    gallery.window(window, "conversation-in-dutch").await?;

    choose(window, "settings-language", "fr").await?;
    window.see_attribute(":root", "lang", "fr").await?;
    choose(window, "settings-theme", "dark").await?;
    window.see_attribute(":root", "data-theme", "dark").await?;
    window.click("rail-chat").await?;
    window.see_message(ANSWER, "sent").await?;
    gallery.window(window, "conversation-in-dark").await?;

    window.click("rail-today").await?;
    window.see("today").await?;
    gallery.window(window, "today-in-dark").await?;
    choose(window, "settings-theme", "light").await?;
    window.see_attribute(":root", "data-theme", "light").await?;
    gallery.window(window, "settings").await?;

    window.chord(CONTROL, "k").await?;
    window.see("palette").await?;
    window.type_text("palette-input", "card").await?;
    window.see("palette-option").await?;
    gallery.window(window, "palette").await?;
    window.press(ESCAPE).await?;
    window.gone("palette").await?;

    window.click("connection-badge").await?;
    window.see("service-row").await?;
    gallery.window(window, "connection").await?;

    window.click("rail-today").await?;
    window.click("recovery-open").await?;
    window.see("recovery-key").await?;
    gallery.window(window, "recovery-key").await?;
    window.press(ESCAPE).await?;

    // A channel with pictures and files.
    window.open_room("Cardiologie").await?;
    until("the channel's history is drawn", PATIENCE, || async {
        Ok((window.count("message").await? > 5).then_some(()))
    })
    .await?;
    gallery.window(window, "channel").await
}

/// Opens the settings and chooses one option there.
async fn choose(window: &Window, setting: &str, value: &str) -> Result<()> {
    if !window.shows("settings").await? {
        window.click("own-menu").await?;
        window.click("open-settings").await?;
        window.see("settings").await?;
    }
    // The radio button itself is only there for screen readers: a person clicks its label.
    window
        .click(&format!(
            r#"[data-testid="{setting}"] label:has([data-value="{value}"])"#
        ))
        .await
}

/// Opens the window of the signed-in home on the person's own screen and stays until it is closed.
async fn stay(
    program: &std::path::Path,
    home: &Home,
    colleague: &Colleague,
    person: &Person,
) -> Result<()> {
    let room = colleague.direct(person).await?;
    let conversation = Arc::new(colleague.open(&room).await?);
    let answering = tokio::spawn(colleague.keep_answering(&room, conversation));
    let mut command = tokio::process::Command::new(program);
    command
        .env_clear()
        .envs(home.environment_of_session())
        .envs(own_screen())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    tracing::info!(
        "Cordée opens, signed in as {}. Close its window to end the demo.",
        person.name
    );
    let status = command.status().await.context("Cordée does not start")?;
    answering.abort();
    if !status.success() {
        bail!("Cordée ended with {status}");
    }
    Ok(())
}

/// How programs find the screen of whoever runs the demo.
fn own_screen() -> Vec<(&'static str, std::ffi::OsString)> {
    let mut found: Vec<(&'static str, std::ffi::OsString)> = ["DISPLAY", "XAUTHORITY", "PATH"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .collect();
    // The home has its own run folder, so a Wayland socket is named by its whole path.
    if let (Some(folder), Some(name)) = (
        std::env::var_os("XDG_RUNTIME_DIR"),
        std::env::var_os("WAYLAND_DISPLAY"),
    ) {
        found.push((
            "WAYLAND_DISPLAY",
            PathBuf::from(folder).join(name).into_os_string(),
        ));
        found.push(("GDK_BACKEND", "wayland,x11".into()));
    }
    // Without its own authority file a program looks for the one of the home that it was given.
    if std::env::var_os("XAUTHORITY").is_none()
        && let Some(home) = std::env::home_dir()
    {
        found.push(("XAUTHORITY", home.join(".Xauthority").into_os_string()));
    }
    found
}
