//! Preferences, diagnostics, and the window's own affairs.

use std::sync::Arc;

use problem::{Problem, Retry};
use serde::{Deserialize, Serialize};
use specta::Type;
use tauri::{AppHandle, State};
use tauri_plugin_autostart::ManagerExt as _;
use tauri_plugin_clipboard_manager::ClipboardExt as _;
use tauri_plugin_opener::OpenerExt as _;

use crate::{
    diagnostics,
    folders::Folders,
    links,
    session::Office,
    settings::{Preferences, Settings, SettingsView},
    startup::Startup,
    words,
};

type Answer<T> = Result<T, Problem>;

#[tauri::command]
#[specta::specta]
pub async fn settings(preferences: State<'_, Arc<Preferences>>) -> Answer<SettingsView> {
    Ok(preferences.view())
}

#[tauri::command]
#[specta::specta]
pub async fn settings_change(
    app: AppHandle,
    preferences: State<'_, Arc<Preferences>>,
    values: Settings,
) -> Answer<SettingsView> {
    let before = preferences.view().values.start_at_login;
    let view = preferences.change(&values)?;
    if before != view.values.start_at_login {
        let launcher = app.autolaunch();
        let changed = if view.values.start_at_login {
            launcher.enable()
        } else {
            launcher.disable()
        };
        if let Err(error) = changed {
            tracing::warn!(%error, "start at login was not changed");
            return Err(Problem::new("internal", Retry::NeedsUser));
        }
    }
    Ok(view)
}

/// What "about" shows.
#[derive(Clone, Debug, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct About {
    pub version: String,
    pub commit: String,
    pub os: String,
    pub webview: String,
    pub data_folder: String,
    pub log_folder: String,
}

#[tauri::command]
#[specta::specta]
pub async fn about(folders: State<'_, Folders>) -> Answer<About> {
    Ok(About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("CORDEE_COMMIT").to_owned(),
        os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        webview: webview(),
        data_folder: folders.data().display().to_string(),
        log_folder: folders.logs().display().to_string(),
    })
}

/// Puts the diagnostics on the clipboard and returns them, so that the person sees what is sent.
#[tauri::command]
#[specta::specta]
pub async fn diagnostics_copy(
    app: AppHandle,
    office: State<'_, Arc<Office>>,
    preferences: State<'_, Arc<Preferences>>,
    folders: State<'_, Folders>,
) -> Answer<String> {
    let chat = office
        .chat()
        .ok()
        .map(|chat| chat.status().borrow().clone());
    let text = diagnostics::text(&diagnostics::Facts {
        connection: &office.connection().borrow().clone(),
        chat: chat.as_ref(),
        language: words::code(&preferences.view()),
        webview: &webview(),
        logs: folders.logs(),
    });
    if let Err(error) = app.clipboard().write_text(text.clone()) {
        tracing::warn!(%error, "clipboard refused the diagnostics");
    }
    Ok(text)
}

/// Hands a link of a message to the system browser or mail program.
#[tauri::command]
#[specta::specta]
pub async fn link_open(app: AppHandle, url: String) -> Answer<()> {
    let refused = || Problem::new("link.refused", Retry::Permanent);
    let url = links::outward(&url).ok_or_else(refused)?;
    app.opener()
        .open_url(url.as_str(), None::<&str>)
        .map_err(|_| refused())
}

/// The first real content is painted.
#[tauri::command]
#[specta::specta]
pub async fn ui_ready(startup: State<'_, Startup>) -> Answer<()> {
    startup.ready();
    Ok(())
}

/// The window met an error of its own: only a code and a place in our source are kept.
#[tauri::command]
#[specta::specta]
pub async fn ui_error(code: String, place: String) -> Answer<()> {
    let short = |text: String| {
        text.chars()
            .filter(|c| !c.is_control())
            .take(120)
            .collect::<String>()
    };
    tracing::error!(code = short(code), place = short(place), "window error");
    Ok(())
}

fn webview() -> String {
    tauri::webview_version().unwrap_or_else(|_| "unknown".to_owned())
}
