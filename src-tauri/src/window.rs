//! The one window: made once, shown when asked, kept where it was left.

use tauri::{
    AppHandle, Manager as _, WebviewUrl, WebviewWindow, WebviewWindowBuilder, WindowEvent,
};

use crate::settings::{Preferences, Theme};

pub const MAIN: &str = "main";

/// Smallest size that the layout was made for: rail, list and a readable conversation.
const SMALLEST: (f64, f64) = (760.0, 520.0);

/// Opens the main window. Nothing but the app itself may be loaded in it.
pub fn open(app: &AppHandle) -> tauri::Result<WebviewWindow> {
    let dark = app
        .state::<std::sync::Arc<Preferences>>()
        .view()
        .values
        .theme
        == Theme::Dark;
    let window = WebviewWindowBuilder::new(app, MAIN, WebviewUrl::default())
        .title("Cordée")
        .inner_size(1360.0, 860.0)
        .min_inner_size(SMALLEST.0, SMALLEST.1)
        .theme(dark.then_some(tauri::Theme::Dark))
        .on_navigation(is_ours)
        .on_new_window(|_, _| tauri::webview::NewWindowResponse::Deny)
        .disable_drag_drop_handler()
        .build()?;
    let handle = app.clone();
    window.on_window_event(move |event| {
        if let WindowEvent::CloseRequested { api, .. } = event {
            let stays = handle
                .state::<std::sync::Arc<Preferences>>()
                .view()
                .values
                .close_to_tray
                && crate::tray::is_visible(&handle);
            if stays {
                api.prevent_close();
                if let Some(window) = handle.get_webview_window(MAIN) {
                    let _ = window.hide();
                }
            } else {
                handle.exit(0);
            }
        }
    });
    Ok(window)
}

/// Brings the window to the person: from the tray, from behind, from the task bar.
pub fn show(app: &AppHandle) {
    if let Some(window) = app.get_webview_window(MAIN) {
        let _ = window.unminimize();
        let _ = window.show();
        let _ = window.set_focus();
    }
}

/// Whether the person is looking at the window.
pub fn is_in_front(app: &AppHandle) -> bool {
    app.get_webview_window(MAIN).is_some_and(|window| {
        window.is_visible().unwrap_or(false) && window.is_focused().unwrap_or(false)
    })
}

/// Only the embedded UI, or Vite's server in a build made for it.
fn is_ours(url: &url::Url) -> bool {
    match (url.scheme(), url.host_str()) {
        ("tauri", Some("localhost")) | ("http" | "https", Some("tauri.localhost")) => true,
        ("http", Some("localhost")) => {
            cfg!(not(feature = "custom-protocol")) && url.port() == Some(5173)
        }
        _ => false,
    }
}
