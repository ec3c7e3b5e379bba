//! What every desktop test needs: the workplace that the tests of one program share, and a home of one's own.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::sync::Arc;

use anyhow::Result;
use desktop::{Colleague, Home, Screen, Window};
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use workplace::{Options, Person, Workplace};

static WORKPLACE: OnceCell<Workplace> = OnceCell::const_new();
/// One at a time: tests stop servers, and two windows at once would make each other slow.
static TURN: Mutex<()> = Mutex::const_new(());

/// One person before a computer.
pub struct Stage {
    pub home: Home,
    pub screen: Arc<Screen>,
    pub workplace: &'static Workplace,
    pub person: &'static Person,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// Each test takes people of its own, so that none sees another's devices and keys.
    pub async fn of(uid: &str) -> Result<Self> {
        let turn = TURN.lock().await;
        let workplace = WORKPLACE
            .get_or_try_init(|| Workplace::up(Options::default()))
            .await?;
        // A test that failed may have left a server stopped.
        for service in ["front", "synapse"] {
            if workplace.pids(service)?.is_empty() {
                workplace.start(service).await?;
            }
        }
        let screen = Screen::start().await?;
        let home = Home::new(workplace, &screen).await?;
        Ok(Self {
            home,
            screen,
            workplace,
            person: workplace.person(uid)?,
            _turn: turn,
        })
    }

    /// A window in which the person is signed in.
    pub async fn signed_in(&self) -> Result<Window> {
        let window = Window::open(&self.home).await?;
        window
            .sign_in_quickly(&self.home, self.workplace, self.person)
            .await?;
        Ok(window)
    }

    /// A colleague and a new encrypted room of this name with the person, who accepts the invitation in the window.
    pub async fn talk_with(
        &self,
        window: &Window,
        uid: &str,
        name: &str,
    ) -> Result<(Colleague, String)> {
        let colleague = Colleague::arrive(self.workplace, self.workplace.person(uid)?).await?;
        let room = colleague
            .chat()
            .create_room(name, std::slice::from_ref(&self.person.mxid))
            .await?;
        window.click("rail-chat").await?;
        window
            .click(&format!(r#"[data-testid="room-row"][data-name="{name}"]"#))
            .await?;
        window.click("accept").await?;
        window.see("composer-input").await?;
        window
            .see_attribute("room-encryption", "data-encrypted", "true")
            .await?;
        Ok((colleague, room))
    }

    /// What the homeserver holds of this event: its type, `m.room.encrypted` when the server cannot read it.
    pub async fn kept_as(&self, room: &str, event: &str) -> Result<String> {
        let path = ["rooms", room, "event", event];
        let none = serde_json::Value::Null;
        let get = reqwest::Method::GET;
        let kept = self
            .workplace
            .everybody()?
            .send(get, &self.person.mxid, &path, None, &none)
            .await?;
        Ok(kept["type"].as_str().unwrap_or_default().to_owned())
    }
}
