//! Desktop notifications: a click opens the room; quiet when asked; nothing while the person reads.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
};

use tauri::{AppHandle, Manager as _};
use tauri_plugin_notification::NotificationExt as _;
use tauri_specta::Event as _;

use crate::{
    events::{Navigate, Place},
    settings::{self, Preferences},
    window, words,
};

/// How many shown notifications still open their room when clicked.
const REMEMBERED: usize = 64;

/// Which room each shown notification belongs to.
#[derive(Default)]
pub struct Shown {
    rooms: Mutex<(HashMap<i32, String>, VecDeque<i32>)>,
    last: AtomicI32,
}

impl Shown {
    fn remember(&self, room: &str) -> i32 {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut guard = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let (rooms, order) = &mut *guard;
        rooms.insert(id, room.to_owned());
        order.push_back(id);
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            rooms.remove(&oldest);
        }
        id
    }

    fn room(&self, id: i32) -> Option<String> {
        self.rooms
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .get(&id)
            .cloned()
    }
}

/// Listens for clicks. Called once, when the window is made.
pub fn start(app: &AppHandle) {
    app.manage(Shown::default());
    let handle = app.clone();
    let listening = app.notification().on_action(move |performed| {
        window::show(&handle);
        let shown = performed.notification();
        if let Some(room) = shown.and_then(|shown| handle.state::<Shown>().room(shown.id())) {
            let _ = Navigate {
                place: Place::Chat,
                room: Some(room),
            }
            .emit(&handle);
        }
    });
    if let Err(error) = listening {
        tracing::warn!(%error, "clicks on notifications lead nowhere");
    }
}

/// Shows `notice`, unless the person asked for quiet or already looks at that room.
pub fn show(app: &AppHandle, notice: &chat::Notice) {
    let view = app.state::<Arc<Preferences>>().view();
    if !view.values.may_notify(settings::now()) {
        return;
    }
    if window::is_in_front(app) && app.state::<OpenRoom>().is(&notice.room_id) {
        return;
    }
    let title = if notice.direct {
        notice.sender.clone()
    } else {
        format!("{} · {}", notice.sender, notice.room_name)
    };
    let body = if view.values.notification_content {
        notice.text.clone()
    } else {
        words::words(&view).new_message.to_owned()
    };
    let id = app.state::<Shown>().remember(&notice.room_id);
    let shown = app
        .notification()
        .builder()
        .id(id)
        .title(title)
        .body(plain(&body))
        .show();
    if let Err(error) = shown {
        tracing::debug!(%error, "notification was not shown");
    }
}

/// Notification servers read some markup (Desktop Notifications Specification, "Markup"):
/// a message must not draw with it.
fn plain(text: &str) -> String {
    text.chars()
        .take(240)
        .collect::<String>()
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The room that the window shows now.
#[derive(Default)]
pub struct OpenRoom(Mutex<Option<String>>);

impl OpenRoom {
    pub fn set(&self, room: Option<&str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = room.map(ToOwned::to_owned);
    }

    fn is(&self, room: &str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_deref()
            == Some(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_notifications_are_remembered() {
        let shown = Shown::default();
        let first = shown.remember("!a:x");
        for _ in 0..REMEMBERED {
            shown.remember("!b:x");
        }
        assert_eq!(shown.room(first), None);
        assert_eq!(shown.room(first + 1).as_deref(), Some("!b:x"));
    }

    #[test]
    fn a_message_cannot_draw_in_its_notification() {
        assert_eq!(plain("<b>1 & 2</b>"), "&lt;b&gt;1 &amp; 2&lt;/b&gt;");
        assert!(plain(&"x".repeat(10_000)).len() <= 240);
    }
}
