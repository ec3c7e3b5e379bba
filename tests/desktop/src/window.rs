//! Cordée's window, worked by `WebDriver`: look, click, type, close; and what befalls its process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use fantoccini::actions::{InputSource as _, MouseActions, PointerAction};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, Locator};
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use workplace::{Gestures, Person, Workplace};

use crate::browser::Browser;
use crate::driver::{Driver, free_port, tauri_driver};
use crate::home::Home;
use crate::processes;
use crate::wait::{PATIENCE, until};

/// What the Enter and Escape keys send (`WebDriver` §17.4.2).
pub const ENTER: &str = "\u{E007}";
pub const ESCAPE: &str = "\u{E00C}";
pub const CONTROL: &str = "\u{E009}";
/// Releases all keys that are held down.
const RELEASE: &str = "\u{E000}";
/// Longest wait for the program to end by itself when its window is closed.
const GOODBYE: Duration = Duration::from_secs(10);

/// A message as the window shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Shown {
    pub text: String,
    pub mine: bool,
    /// `sent`, `sending`, `waiting` or `failed`
    pub sending: String,
    /// Empty until the server has it.
    pub event: String,
}

/// One open window. Places in it are named by their test id (`composer-input`) or by a CSS selector.
pub struct Window {
    client: Client,
    _driver: Driver,
    process: i32,
    display: String,
}

impl Window {
    /// Starts Cordée in this home and waits for its window.
    pub async fn open(home: &Home) -> Result<Self> {
        Self::open_with(home, &[]).await
    }

    /// The same with more environment variables.
    pub async fn open_with(home: &Home, more: &[(&str, &str)]) -> Result<Self> {
        let program = cordee_binary()?;
        let (port, native) = (free_port()?, free_port()?);
        let mut command = home.program(tauri_driver()?);
        command
            .args([
                "--port",
                &port.to_string(),
                "--native-port",
                &native.to_string(),
            ])
            .args(["--native-driver", "/usr/bin/WebKitWebDriver"])
            .envs(more.iter().copied());
        let driver = Driver::start(home, "tauri-driver", command, &[port, native]).await?;
        let capabilities =
            json!({ "browserName": "wry", "tauri:options": { "application": program } });
        let client = driver
            .session(capabilities.as_object().cloned().unwrap_or_default())
            .await?;
        let process = driver
            .pids()
            .into_iter()
            .find_map(|root| processes::running(root, &program))
            .context("the window has no process")?;
        let window = Self {
            client,
            _driver: driver,
            process,
            display: home.screen().display().to_owned(),
        };
        window.focus().await?;
        Ok(window)
    }

    /// The process of the program itself.
    pub fn process(&self) -> i32 {
        self.process
    }

    /// Brings the window to the front, as a click on it would.
    pub async fn focus(&self) -> Result<()> {
        until("the window has the focus", PATIENCE, || async {
            Ok((crate::focus::give(&self.display, self.process)?
                && self.run("return document.hasFocus();", vec![]).await? == json!(true))
            .then_some(()))
        })
        .await
    }

    // ---- looking

    /// Waits until this is on the screen.
    pub async fn see(&self, place: &str) -> Result<()> {
        self.see_within(place, PATIENCE).await
    }

    pub async fn see_within(&self, place: &str, patience: Duration) -> Result<()> {
        let what = format!("{place} is on the screen");
        let seen = until(&what, patience, || async {
            // Nothing comes after this any more.
            Ok(if self.shows("broken").await? {
                Some(false)
            } else {
                self.shows(place).await?.then_some(true)
            })
        });
        match seen.await {
            Ok(true) => Ok(()),
            Ok(false) if place == "broken" => Ok(()),
            Ok(false) => Err(self
                .seen_instead(anyhow!(
                    "the window says that it cannot go on, instead of {place}"
                ))
                .await),
            Err(why) => Err(self.seen_instead(why).await),
        }
    }

    /// Leaves a picture of what the window shows instead, in the folder `CORDEE_SHOTS` if that is set.
    async fn seen_instead(&self, why: anyhow::Error) -> anyhow::Error {
        let Some(folder) = std::env::var_os("CORDEE_SHOTS") else {
            return why;
        };
        let file = Path::new(&folder).join(format!("failed-{}.png", self.process));
        match self.picture(&file).await {
            Ok(()) => why.context(format!("see {}", file.display())),
            Err(_) => why,
        }
    }

    /// Waits until one of the things in this place shows the text.
    pub async fn see_text(&self, place: &str, text: &str) -> Result<()> {
        let what = format!("{place} shows {text:?}");
        let seen = until(&what, PATIENCE, || async {
            Ok(self
                .texts(place)
                .await?
                .iter()
                .any(|shown| shown.contains(text))
                .then_some(()))
        });
        match seen.await {
            Ok(()) => Ok(()),
            Err(why) => {
                let shown = self.texts(place).await.unwrap_or_default();
                Err(why.context(format!("it shows {shown:?}")))
            }
        }
    }

    /// Waits until nothing of this is on the screen.
    pub async fn gone(&self, place: &str) -> Result<()> {
        until(&format!("{place} is gone"), PATIENCE, || async {
            Ok((!self.shows(place).await?).then_some(()))
        })
        .await
    }

    pub async fn shows(&self, place: &str) -> Result<bool> {
        let look = "const all = document.querySelectorAll(arguments[0]);
            return [...all].some((one) => one.getClientRects().length > 0 && getComputedStyle(one).visibility !== 'hidden');";
        Ok(self.run(look, vec![json!(css(place))]).await? == json!(true))
    }

    /// The visible texts of everything in this place.
    pub async fn texts(&self, place: &str) -> Result<Vec<String>> {
        let look =
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText);";
        Ok(serde_json::from_value(
            self.run(look, vec![json!(css(place))]).await?,
        )?)
    }

    pub async fn count(&self, place: &str) -> Result<usize> {
        Ok(self.texts(place).await?.len())
    }

    /// An attribute of the first thing in this place.
    pub async fn attribute(&self, place: &str, name: &str) -> Result<Option<String>> {
        let look =
            "return document.querySelector(arguments[0])?.getAttribute(arguments[1]) ?? null;";
        let value = self.run(look, vec![json!(css(place)), json!(name)]).await?;
        Ok(value.as_str().map(str::to_owned))
    }

    /// Waits until the attribute has this value.
    pub async fn see_attribute(&self, place: &str, name: &str, value: &str) -> Result<()> {
        until(
            &format!("{name} of {place} is {value}"),
            PATIENCE,
            || async {
                Ok((self.attribute(place, name).await?.as_deref() == Some(value)).then_some(()))
            },
        )
        .await
    }

    /// The messages of the open conversation that are drawn, oldest first.
    pub async fn messages(&self) -> Result<Vec<Shown>> {
        let look = r#"return [...document.querySelectorAll('[data-testid="message"]')].map((one) => ({
            text: one.querySelector('[data-testid="message-text"]')?.innerText ?? '',
            mine: one.dataset.mine === 'true', sending: one.dataset.sending, event: one.dataset.eventId ?? '' }));"#;
        Ok(serde_json::from_value(self.run(look, vec![]).await?)?)
    }

    /// Waits for a message with exactly this text in this state.
    pub async fn see_message(&self, text: &str, sending: &str) -> Result<Shown> {
        self.see_message_within(text, sending, PATIENCE).await
    }

    pub async fn see_message_within(
        &self,
        text: &str,
        sending: &str,
        patience: Duration,
    ) -> Result<Shown> {
        let what = format!("the message {text:?} is shown as {sending}");
        let seen = until(&what, patience, || async {
            let messages = self.messages().await?;
            Ok(messages
                .into_iter()
                .find(|message| message.text.trim() == text && message.sending == sending))
        });
        match seen.await {
            Ok(message) => Ok(message),
            Err(why) => Err(self.seen_instead(why).await),
        }
    }

    // ---- doing

    /// Clicks what is there, as a person would: `WebDriver` brings it into view and refuses where something covers it.
    /// What changes between the look and the press is looked for again.
    pub async fn click(&self, place: &str) -> Result<()> {
        let what = format!("{place} can be clicked");
        let clicked = until(&what, PATIENCE, || async {
            self.element(place).await?.click().await.map_err(refusal)?;
            Ok(Some(()))
        });
        match clicked.await {
            Ok(()) => Ok(()),
            Err(why) => Err(self.seen_instead(why).await),
        }
    }

    /// Moves the pointer over a place.
    pub async fn point_at(&self, place: &str) -> Result<()> {
        let what = format!("{place} can be pointed at");
        let pointed = until(&what, PATIENCE, || async {
            let element = self.element(place).await?;
            let shown = vec![serde_json::to_value(&element)?];
            self.run("arguments[0].scrollIntoView({ block: 'nearest' });", shown)
                .await?;
            let aim = PointerAction::MoveToElement {
                element,
                duration: None,
                x: 0.0,
                y: 0.0,
            };
            let mouse = MouseActions::new("mouse".to_owned()).then(aim);
            self.client.perform_actions(mouse).await.map_err(refusal)?;
            Ok(Some(()))
        });
        match pointed.await {
            Ok(()) => Ok(()),
            Err(why) => Err(self.seen_instead(why).await),
        }
    }

    /// Types into a field after what is in it.
    pub async fn type_text(&self, place: &str, text: &str) -> Result<()> {
        let field = until(&format!("{place} can be typed into"), PATIENCE, || async {
            let field = self.element(place).await?;
            Ok((field.is_displayed().await? && field.is_enabled().await?).then_some(field))
        })
        .await?;
        Ok(field.send_keys(text).await?)
    }

    /// Empties a field and types.
    pub async fn replace_text(&self, place: &str, text: &str) -> Result<()> {
        self.see(place).await?;
        self.element(place).await?.clear().await?;
        self.type_text(place, text).await
    }

    /// Presses a key where the focus is.
    pub async fn press(&self, key: &str) -> Result<()> {
        Ok(self.client.active_element().await?.send_keys(key).await?)
    }

    /// Presses a key while another is held down, as in Ctrl K.
    pub async fn chord(&self, held: &str, key: &str) -> Result<()> {
        self.press(&format!("{held}{key}{RELEASE}")).await
    }

    /// Waits until what has just changed is painted and nothing moves any more.
    pub async fn settle(&self) -> Result<()> {
        until("the window is still", PATIENCE, || async {
            let moving =
                "return document.getAnimations().filter((one) => one.playState === 'running'
                && one.effect?.getComputedTiming().iterations !== Infinity).length
                + [...document.images].filter((one) => !one.complete).length;";
            Ok((self.run(moving, vec![]).await? == json!(0)).then_some(()))
        })
        .await?;
        let painted = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done(0)));";
        self.run_until_done(painted, vec![], PATIENCE)
            .await
            .map(drop)
    }

    /// Opens a conversation by its name, as a person does: in the list, or by the search above it.
    pub async fn open_room(&self, name: &str) -> Result<()> {
        if self.attribute("frame", "data-place").await?.as_deref() != Some("chat") {
            self.click("rail-chat").await?;
        }
        let row = format!(r#"[data-testid="room-row"][data-name="{name}"]"#);
        let there = until("the room list is drawn", PATIENCE, || async {
            if self.shows(&row).await? {
                return Ok(Some(true));
            }
            Ok((self.count("room-row").await? > 0).then_some(false))
        });
        if !there.await? {
            self.replace_text("room-search", name).await?;
        }
        // As a person does: first the pointer goes there, and the list stands still under it.
        self.point_at(&row).await?;
        self.click(&row).await?;
        self.see_text("room-name", name).await?;
        self.see("composer-input").await
    }

    /// Types a message and presses Enter.
    pub async fn write(&self, text: &str) -> Result<()> {
        self.type_text("composer-input", text).await?;
        self.type_text("composer-input", ENTER).await
    }

    /// Types the address and goes on to the browser; returns the address that the browser should open.
    pub async fn ask_to_sign_in(&self, home: &Home, address: &str) -> Result<String> {
        let seen = home.opened().len();
        self.replace_text("address-input", address).await?;
        self.see("organisation-name").await?;
        self.click("continue").await?;
        let opened = home.address_opened(seen).await?;
        self.see("browser-waiting").await?;
        Ok(opened)
    }

    /// Signs in through the system browser with password and code.
    pub async fn sign_in(&self, home: &Home, workplace: &Workplace, person: &Person) -> Result<()> {
        let address = self
            .ask_to_sign_in(home, &workplace.address_of(&person.uid))
            .await?;
        let browser = Browser::open(home).await?;
        browser.sign_in(workplace, person, &address).await?;
        browser.close().await?;
        self.see_within("frame", PATIENCE * 2).await
    }

    /// The same with HTTP alone instead of a browser's window: for tests of what comes afterwards.
    pub async fn sign_in_quickly(
        &self,
        home: &Home,
        workplace: &Workplace,
        person: &Person,
    ) -> Result<()> {
        self.ask_and_answer(home, workplace, person).await?;
        self.see_within("frame", PATIENCE * 2).await
    }

    /// [`Window::sign_in_quickly`] up to the browser's last page: the window is on its way in then.
    pub async fn ask_and_answer(
        &self,
        home: &Home,
        workplace: &Workplace,
        person: &Person,
    ) -> Result<()> {
        let address = self
            .ask_to_sign_in(home, &workplace.address_of(&person.uid))
            .await?;
        let gestures = Gestures {
            follow_loopback: true,
            ..Gestures::default()
        };
        workplace
            .sign_in_with(&address, &person.uid, &gestures)
            .await
            .map(drop)
    }

    /// Runs a script in the page: the body of a function with `arguments`.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        Ok(self.client.execute(script, arguments).await?)
    }

    /// Runs a script that calls its last argument when it is done.
    pub async fn run_until_done(
        &self,
        script: &str,
        arguments: Vec<Value>,
        patience: Duration,
    ) -> Result<Value> {
        self.client.update_timeouts(timeouts(patience)).await?;
        Ok(self.client.execute_async(script, arguments).await?)
    }

    /// A picture of what is in the window.
    pub async fn picture(&self, file: &Path) -> Result<()> {
        Ok(std::fs::write(file, self.client.screenshot().await?)?)
    }

    // ---- what happens to the program

    /// Ends the program as the system does at logout, and waits until it has ended. (`WebDriver`'s own end is a crash.)
    pub async fn close(self) -> Result<()> {
        processes::send(self.process, Signal::SIGTERM)?;
        until("the program has ended", GOODBYE, || async {
            Ok((!processes::alive(self.process)).then_some(()))
        })
        .await
    }

    /// `kill -9`: the program has no time for anything.
    pub async fn kill(self) -> Result<()> {
        processes::send(self.process, Signal::SIGKILL)?;
        until("the program has ended", GOODBYE, || async {
            Ok((!processes::alive(self.process)).then_some(()))
        })
        .await
    }

    /// The computer goes to sleep: the program and its helpers get no time at all.
    pub fn sleep(&self) -> Result<()> {
        self.signal_all(Signal::SIGSTOP)
    }

    pub fn wake(&self) -> Result<()> {
        self.signal_all(Signal::SIGCONT)
    }

    pub fn memory(&self) -> processes::Memory {
        processes::memory(self.process)
    }

    pub fn cpu_time(&self) -> Duration {
        processes::cpu_time(self.process)
    }

    fn signal_all(&self, signal: Signal) -> Result<()> {
        let all = processes::tree(self.process);
        ensure!(!all.is_empty(), "the program is not running");
        all.into_iter()
            .try_for_each(|pid| processes::send(pid, signal))
    }

    async fn element(&self, place: &str) -> Result<Element> {
        let found = self.client.find(Locator::Css(&css(place))).await;
        found.map_err(refusal)
    }
}

/// `WebKitWebDriver` gives its reason as a code, mostly without words.
fn refusal(error: CmdError) -> anyhow::Error {
    match &error {
        CmdError::Standard(reason) => anyhow!("{:?} {}", reason.error, reason.message),
        _ => error.into(),
    }
}

/// The program under test: `CORDEE_BIN`, or what Cargo built beside us.
pub fn cordee_binary() -> Result<PathBuf> {
    if let Some(set) = std::env::var_os("CORDEE_BIN") {
        return std::fs::canonicalize(&set)
            .with_context(|| format!("CORDEE_BIN: {}", set.display()));
    }
    let me = std::env::current_exe()?;
    for folder in me.ancestors().skip(1).take(2) {
        let program = folder.join("cordee");
        if program.is_file() {
            return Ok(std::fs::canonicalize(program)?);
        }
    }
    bail!(
        "there is no program `cordee` beside {}: build it with `cargo build -p cordee`",
        me.display()
    )
}

fn css(place: &str) -> String {
    let is_id = place
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if is_id {
        format!(r#"[data-testid="{place}"]"#)
    } else {
        place.to_owned()
    }
}

fn timeouts(script: Duration) -> fantoccini::wd::TimeoutConfiguration {
    let mut timeouts = fantoccini::wd::TimeoutConfiguration::default();
    timeouts.set_script(Some(script));
    timeouts
}
