//! What the shell tells the window without being asked.

use serde::{Deserialize, Serialize};
use specta::Type;
use tauri_specta::Event;

/// Places that something outside of the window can open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    Today,
    Chat,
    Settings,
}

/// A notification or a link was followed.
#[derive(Clone, Debug, Serialize, Deserialize, Type, Event)]
#[serde(rename_all = "camelCase")]
pub struct Navigate {
    pub place: Place,
    pub room: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, Type, Event)]
pub struct SessionChanged(pub crate::session::Session);

#[derive(Clone, Debug, Serialize, Deserialize, Type, Event)]
pub struct ConnectionChanged(pub network::Connection);

#[derive(Clone, Debug, Serialize, Type, Event)]
pub struct ChatStatusChanged(pub chat::ChatStatus);

/// Who is writing in a room, by name.
#[derive(Clone, Debug, Serialize, Deserialize, Type, Event)]
#[serde(rename_all = "camelCase")]
pub struct TypingChanged {
    pub room: String,
    pub people: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, Type, Event)]
pub struct SettingsChanged(pub crate::settings::SettingsView);
