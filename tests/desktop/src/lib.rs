//! Cordée as a person meets it: the real program in a real window, the real browser, the real keyring.
//!
//! For the demo (`./x demo`), the desktop tests and the measurements. It must not know the inside of the client: it
//! starts the program, looks at its window and types. Only [`Colleague`], the other person in a conversation, is built
//! from a crate of the client.
//!
//! ```text
//!   Workplace ──┬── Home ── Screen (Xvfb)
//!   (servers)   │     ├── session bus, keyring, policy, trust of the browser
//!               │     ├── Window   (tauri-driver ─ WebKitWebDriver ─ cordee)
//!               │     └── Browser  (chromedriver ─ Chromium)   ◀── xdg-open of this home
//!               └── Colleague (a second Matrix client, no window)
//! ```
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use desktop::{Home, Screen, Window};
//! let workplace = workplace::Workplace::up(workplace::Options::default()).await?;
//! let screen = Screen::start().await?;
//! let home = Home::new(&workplace, &screen).await?;
//! let window = Window::open(&home).await?;
//! window.sign_in(&home, &workplace, workplace.person("camille.martin")?).await?;
//! window.see("today").await?;
//! # Ok(()) }
//! ```
//!
//! Invariants:
//! - What a step claims was read from the window, not from the program's state.
//! - Every wait has a deadline and says what it waited for.
//! - Nothing outlives the program that uses this, and nothing is written outside the temporary homes and the folder
//!   for pictures.

#![cfg(unix)]
#![recursion_limit = "512"]

mod browser;
mod colleague;
pub mod demo;
mod driver;
pub mod focus;
pub mod gallery;
mod home;
mod keyring;
pub mod processes;
mod screen;
mod wait;
mod window;

pub use browser::Browser;
pub use colleague::{Colleague, Conversation};
pub use home::Home;
pub use keyring::Keyring;
pub use screen::Screen;
pub use wait::{PATIENCE, until};
pub use window::{CONTROL, ENTER, ESCAPE, Shown, Window, cordee_binary};
