//! The tray icon: unread messages at a glance, quiet for an hour, quit.

use std::{sync::Arc, time::Duration};

use tauri::{
    AppHandle, Manager as _,
    image::Image,
    menu::{Menu, MenuItem, PredefinedMenuItem},
    tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent},
};

use crate::{
    session::Office,
    settings::{self, Preferences, Settings},
    window, words,
};

const ID: &str = "cordee";
const CALM: Image<'_> = tauri::include_image!("../icons/tray.png");
const UNREAD: Image<'_> = tauri::include_image!("../icons/tray-unread.png");
const QUIET: Duration = Duration::from_hours(1);

/// Puts the icon in the tray. A desktop without a tray is no error: the window just closes then.
pub fn start(app: &AppHandle) {
    if let Err(error) = build(app) {
        tracing::warn!(%error, "no tray");
        return;
    }
    let office = app.state::<Arc<Office>>();
    if let Ok(chat) = office.chat() {
        let status = chat.status().borrow().clone();
        set_unread(app, status.unread, status.mentions);
    }
}

fn build(app: &AppHandle) -> tauri::Result<TrayIcon> {
    TrayIconBuilder::with_id(ID)
        .icon(CALM)
        .tooltip("Cordée")
        .menu(&menu(app)?)
        .show_menu_on_left_click(false)
        .on_menu_event(|app, event| match event.id().as_ref() {
            "open" => window::show(app),
            "quiet" => toggle_quiet(app),
            "quit" => app.exit(0),
            _ => {}
        })
        .on_tray_icon_event(|tray, event| {
            if let TrayIconEvent::Click {
                button: MouseButton::Left,
                button_state: MouseButtonState::Up,
                ..
            } = event
            {
                window::show(tray.app_handle());
            }
        })
        .build(app)
}

/// Whether closing the window leaves something to open it with.
pub fn is_visible(app: &AppHandle) -> bool {
    app.tray_by_id(ID).is_some() && has_host()
}

/// Shows the number of unread messages. On Linux the count also stands beside the icon.
pub fn set_unread(app: &AppHandle, unread: u32, mentions: u32) {
    let Some(tray) = app.tray_by_id(ID) else {
        return;
    };
    let _ = tray.set_icon(Some(if mentions > 0 || unread > 0 {
        UNREAD
    } else {
        CALM
    }));
    let _ = tray.set_tooltip(Some(if unread == 0 {
        "Cordée".to_owned()
    } else {
        format!("Cordée ({unread})")
    }));
    let _ = tray.set_title((unread > 0).then(|| unread.to_string()));
    if let Some(window) = app.get_webview_window(window::MAIN) {
        let _ = window.set_badge_count((unread > 0).then_some(i64::from(unread)));
    }
}

/// The menu again, after a change of language or of quiet.
pub fn refresh(app: &AppHandle) {
    if let (Some(tray), Ok(menu)) = (app.tray_by_id(ID), menu(app)) {
        let _ = tray.set_menu(Some(menu));
    }
}

fn menu(app: &AppHandle) -> tauri::Result<Menu<tauri::Wry>> {
    let view = app.state::<Arc<Preferences>>().view();
    let words = words::words(&view);
    let quiet = view
        .values
        .do_not_disturb_until
        .is_some_and(|until| until > settings::now());
    Menu::with_items(
        app,
        &[
            &MenuItem::with_id(app, "open", words.open, true, None::<&str>)?,
            &MenuItem::with_id(
                app,
                "quiet",
                if quiet {
                    words.loud_again
                } else {
                    words.quiet_one_hour
                },
                true,
                None::<&str>,
            )?,
            &PredefinedMenuItem::separator(app)?,
            &MenuItem::with_id(app, "quit", words.quit, true, None::<&str>)?,
        ],
    )
}

fn toggle_quiet(app: &AppHandle) {
    let preferences = app.state::<Arc<Preferences>>();
    let values = preferences.view().values;
    let quiet = values
        .do_not_disturb_until
        .is_some_and(|until| until > settings::now());
    let until = (!quiet).then(|| settings::now() + QUIET.as_secs_f64() * 1000.0);
    if let Err(problem) = preferences.change(&Settings {
        do_not_disturb_until: until,
        ..values
    }) {
        tracing::warn!(code = problem.code, "do not disturb was not kept");
    }
}

/// A Linux desktop shows tray icons only when some program draws them; hiding the window there
/// without one would lose it.
#[cfg(target_os = "linux")]
fn has_host() -> bool {
    use std::sync::atomic::{AtomicU8, Ordering};
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        1 => return true,
        2 => return false,
        _ => {}
    }
    let owner = std::process::Command::new("dbus-send")
        .args([
            "--session",
            "--print-reply=literal",
            "--dest=org.freedesktop.DBus",
            "/org/freedesktop/DBus",
        ])
        .args([
            "org.freedesktop.DBus.NameHasOwner",
            "string:org.kde.StatusNotifierWatcher",
        ])
        .output();
    let has = owner.is_ok_and(|out| {
        out.status.success() && String::from_utf8_lossy(&out.stdout).contains("true")
    });
    KNOWN.store(if has { 1 } else { 2 }, Ordering::Relaxed);
    has
}

#[cfg(not(target_os = "linux"))]
fn has_host() -> bool {
    true
}
