//! Cordée's desktop program: the thin shell around the crates.
//!
//! It wires the parts together, owns the window, the tray and the notifications, and answers the
//! commands of the UI. It holds no logic of chat, identity or network: those crates do, and know
//! nothing of Tauri. The UI renders what it is told and sends intents.
//!
//! Start: the account is restored on the runtime's threads while the webview starts, because both
//! take a few hundred milliseconds and neither needs the other.
// The futures of the chat SDK nest deeply.
#![recursion_limit = "256"]
#![allow(
    clippy::needless_pass_by_value,
    reason = "Tauri hands commands their arguments by value"
)]
#![allow(
    clippy::unused_async,
    reason = "commands are async so that none runs on the window's thread"
)]

pub mod arguments;
pub mod commands;
pub mod diagnostics;
pub mod events;
pub mod folders;
pub mod links;
mod logging;
mod media;
mod notifications;
#[cfg(target_os = "linux")]
pub mod painting;
pub mod session;
pub mod settings;
mod startup;
mod tray;
mod window;
mod words;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tauri::{AppHandle, Manager as _, RunEvent};
use tauri_plugin_deep_link::DeepLinkExt as _;
use tauri_plugin_window_state::StateFlags;
use tauri_specta::Event as _;

use events::{
    ChatStatusChanged, ConnectionChanged, Navigate, Place, SessionChanged, SettingsChanged,
    TypingChanged,
};
use session::{Desk, Office};
use settings::Preferences;

/// Longest wait for the last writes when the program ends.
const GOODBYE: Duration = Duration::from_secs(3);

/// Opens the window and stays until it is closed.
pub fn run(link: Option<String>) -> ExitCode {
    let startup = startup::Startup::begin();
    network::install_crypto_provider();
    let Ok(folders) = folders::Folders::of_this_person() else {
        return ExitCode::FAILURE;
    };
    let _logging = logging::start(folders.logs());
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    else {
        return ExitCode::FAILURE;
    };
    tauri::async_runtime::set(runtime.handle().clone());
    let _inside = runtime.enter();

    let policy = organisation::Policy::load(&organisation::PolicyPlaces::of_this_system())
        .map_err(|error| session::unreadable(&error));
    let fixed = policy.as_ref().map(|policy| policy.settings.clone());
    let preferences = Arc::new(Preferences::open(
        &folders.settings(),
        fixed.unwrap_or_default(),
    ));
    let office = Office::new(
        folders.clone(),
        policy,
        Arc::clone(&preferences),
        Box::new(open_in_browser),
        startup.over(),
    );
    let office = match office {
        Ok(office) => office,
        Err(problem) => {
            tracing::error!(code = problem.code, "cannot start");
            return ExitCode::FAILURE;
        }
    };
    let restoring = Arc::clone(&office);
    runtime.spawn(async move { Office::restore(&restoring).await });
    runtime.spawn(Office::keep_chat_alive(Arc::clone(&office)));

    let app = build(startup, folders, preferences, Arc::clone(&office), link);
    let app = match app {
        Ok(app) => app,
        Err(error) => {
            tracing::error!(%error, "the window cannot open");
            return ExitCode::FAILURE;
        }
    };
    let (mut closing, closed) = (false, Arc::new(AtomicBool::new(false)));
    app.run(move |app, event| match event {
        // The loop goes on while the last writes are made: whoever waits for this thread (for the tray, for a window)
        // would wait for ever otherwise, and with as many of them as there are cores nothing else would move either.
        RunEvent::ExitRequested { api, code, .. } if !closed.load(Ordering::Acquire) => {
            api.prevent_exit();
            if !std::mem::replace(&mut closing, true) {
                let (app, closed) = (app.clone(), Arc::clone(&closed));
                tauri::async_runtime::spawn(async move {
                    let office = Arc::clone(&app.state::<Arc<Office>>());
                    let _ = tokio::time::timeout(GOODBYE, office.close()).await;
                    closed.store(true, Ordering::Release);
                    app.exit(code.unwrap_or_default());
                });
            }
        }
        // Some systems end without asking first.
        RunEvent::Exit if !closed.load(Ordering::Acquire) => {
            let office = Arc::clone(&app.state::<Arc<Office>>());
            let (done, ended) = std::sync::mpsc::channel();
            tauri::async_runtime::spawn(async move {
                office.close().await;
                let _ = done.send(());
            });
            // Not by the runtime's clock: all its threads may wait for this one.
            let _ = ended.recv_timeout(GOODBYE);
        }
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => window::show(app),
        _ => {}
    });
    ExitCode::SUCCESS
}

fn build(
    startup: startup::Startup,
    folders: folders::Folders,
    preferences: Arc<Preferences>,
    office: Arc<Office>,
    link: Option<String>,
) -> tauri::Result<tauri::App> {
    let commands = commands::all();
    tauri::Builder::default()
        // First, so that a second start ends before anything else is opened.
        .plugin(tauri_plugin_single_instance::init(
            |app, arguments, _folder| {
                window::show(app);
                if let Some(link) = arguments.iter().find(|text| text.starts_with("cordee:")) {
                    follow(app, link);
                }
            },
        ))
        .plugin(tauri_plugin_deep_link::init())
        .plugin(
            tauri_plugin_window_state::Builder::new()
                .with_state_flags(StateFlags::SIZE | StateFlags::POSITION | StateFlags::MAXIMIZED)
                .build(),
        )
        .plugin(tauri_plugin_notification::init())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_opener::init())
        .plugin(tauri_plugin_clipboard_manager::init())
        .plugin(tauri_plugin_autostart::Builder::new().build())
        .register_asynchronous_uri_scheme_protocol(media::SCHEME, media::answer)
        .invoke_handler(commands.invoke_handler())
        .manage(startup)
        .manage(folders)
        .manage(preferences)
        .manage(office)
        .manage(notifications::OpenRoom::default())
        .manage(commands::chat::RoomLists::default())
        .manage(commands::chat::Timelines::default())
        .setup(move |app| {
            commands.mount_events(app);
            let handle = app.handle();
            window::open(handle)?;
            notifications::start(handle);
            start_tray(handle.clone());
            #[cfg(unix)]
            end_when_asked(handle.clone());
            tell_the_window(handle);
            let following = handle.clone();
            app.deep_link().on_open_url(move |event| {
                for url in event.urls() {
                    follow(&following, url.as_str());
                }
            });
            if let Some(link) = link {
                follow(handle, &link);
            }
            Ok(())
        })
        .build(tauri::generate_context!())
}

/// The tray's icon comes when the window is there: making it holds up the thread that draws.
fn start_tray(app: AppHandle) {
    let mut over = app.state::<startup::Startup>().over();
    tauri::async_runtime::spawn(async move {
        let _ = over.wait_for(|over| *over).await;
        let handle = app.clone();
        let _ = app.run_on_main_thread(move || tray::start(&handle));
    });
}

/// Ends in order when the system asks for it (at logout and shutdown; Ctrl C in a terminal): a program that does not is
/// taken for one that crashed at its next start. Whoever asks twice, or waits too long, gets the end at once.
#[cfg(unix)]
fn end_when_asked(app: AppHandle) {
    use tokio::signal::unix::{SignalKind, signal};
    tauri::async_runtime::spawn(async move {
        let listening = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
        ]
        .map(signal);
        let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = listening else {
            return;
        };
        let mut asked = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
        };
        asked().await;
        app.exit(0);
        let _ = tokio::time::timeout(GOODBYE * 2, asked()).await;
        std::process::exit(1);
    });
}

/// Goes where a `cordee:` link points.
fn follow(app: &AppHandle, link: &str) {
    let office = app.state::<Arc<Office>>();
    let (place, room) = match links::parse(link) {
        Some(links::Target::Today) => (Place::Today, None),
        Some(links::Target::Room(room)) => (Place::Chat, Some(room)),
        Some(links::Target::SignIn(address)) => return office.suggest_address(address),
        Some(links::Target::Callback(url)) => {
            office.deliver_redirect(&url);
            return;
        }
        None => return,
    };
    window::show(app);
    let _ = Navigate { place, room }.emit(app);
}

/// Forwards every change of state to the window, for as long as the program runs.
fn tell_the_window(app: &AppHandle) {
    let office = Arc::clone(&app.state::<Arc<Office>>());
    let preferences = Arc::clone(&app.state::<Arc<Preferences>>());

    let handle = app.clone();
    let mut sessions = office.session_changes();
    tauri::async_runtime::spawn(async move {
        while sessions.changed().await.is_ok() {
            let session = sessions.borrow_and_update().clone();
            let _ = SessionChanged(session).emit(&handle);
        }
    });

    let handle = app.clone();
    let mut connections = office.connection();
    tauri::async_runtime::spawn(async move {
        while connections.changed().await.is_ok() {
            let connection = connections.borrow_and_update().clone();
            let _ = ConnectionChanged(connection).emit(&handle);
        }
    });

    let handle = app.clone();
    let mut settings = preferences.watch();
    tauri::async_runtime::spawn(async move {
        while settings.changed().await.is_ok() {
            let view = settings.borrow_and_update().clone();
            tray::refresh(&handle);
            let _ = SettingsChanged(view).emit(&handle);
        }
    });

    let handle = app.clone();
    let mut desks = office.desks();
    tauri::async_runtime::spawn(async move {
        loop {
            let desk = desks.borrow_and_update().clone();
            if let Some(desk) = desk {
                tell_of_chat(&handle, &desk);
            } else {
                handle.state::<commands::chat::RoomLists>().clear();
                handle.state::<commands::chat::Timelines>().clear();
                tray::set_unread(&handle, 0, 0);
            }
            if desks.changed().await.is_err() {
                return;
            }
        }
    });
}

fn tell_of_chat(app: &AppHandle, desk: &Arc<Desk>) {
    let handle = app.clone();
    let mut statuses = desk.chat().status();
    desk.spawn(async move {
        loop {
            let status = statuses.borrow_and_update().clone();
            tray::set_unread(&handle, status.unread, status.mentions);
            let _ = ChatStatusChanged(status).emit(&handle);
            if statuses.changed().await.is_err() {
                return;
            }
        }
    });

    let handle = app.clone();
    let mut typing = desk.chat().typing_people();
    desk.spawn(async move {
        while typing.changed().await.is_ok() {
            let typing = typing.borrow_and_update().clone();
            let _ = TypingChanged {
                room: typing.room,
                people: typing.people,
            }
            .emit(&handle);
        }
    });

    let handle = app.clone();
    let mut notices = desk.chat().notices();
    desk.spawn(async move {
        loop {
            match notices.recv().await {
                Ok(notice) => notifications::show(&handle, &notice),
                // Too many at once: the badge counts them, nobody reads forty bubbles.
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            }
        }
    });
}

fn open_in_browser(url: &url::Url) -> bool {
    tauri_plugin_opener::open_url(url.as_str(), None::<&str>).is_ok()
}
