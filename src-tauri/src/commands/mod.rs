//! What the window may ask for. One file for each place; each command parses, makes one call, answers.
//!
//! Adding a place: its file here, its line in [`all`], its events in [`events`].

pub mod chat;
pub mod connection;
pub mod session;
pub mod settings;

use tauri_specta::{Builder, ErrorHandlingMode, collect_commands, collect_events};

use crate::events;

/// Commands and events, from which the TypeScript bindings are generated.
#[rustfmt::skip]
pub fn all() -> Builder<tauri::Wry> {
    Builder::new()
        .error_handling(ErrorHandlingMode::Result)
        .disable_serde_phases()
        .commands(collect_commands![
            session::session_state, session::organisation_find, session::sign_in_begin, session::sign_in_cancel, session::sign_in_password, session::sign_out, session::keyring_retry,
            connection::connection_state, connection::connection_retry, connection::captive_portal_open,
            chat::chat_status, chat::chat_rooms_subscribe, chat::chat_rooms_unsubscribe, chat::chat_timeline_open, chat::chat_timeline_back, chat::chat_timeline_close, chat::chat_send, chat::chat_send_files, chat::chat_pick_files, chat::chat_send_bytes, chat::chat_retry, chat::chat_discard, chat::chat_typing, chat::chat_mark_read, chat::chat_favourite, chat::chat_join, chat::chat_leave, chat::chat_people_search, chat::chat_direct, chat::chat_members, chat::chat_media_save, chat::chat_media_open, chat::chat_recovery_create, chat::chat_recovery_confirm, chat::chat_recover, chat::chat_recovery_reset, chat::devices,
            settings::settings, settings::settings_change, settings::about, settings::diagnostics_copy, settings::link_open, settings::ui_ready, settings::ui_error,
        ])
        .events(collect_events![
            events::SessionChanged, events::ConnectionChanged, events::ChatStatusChanged, events::TypingChanged, events::SettingsChanged, events::Navigate,
        ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    /// `CORDEE_WRITE_BINDINGS=1 cargo test -p cordee bindings` writes them anew.
    #[test]
    fn the_bindings_that_the_window_was_built_with_are_current() {
        // Cargo runs tests in the package's folder; its name as compiled in may be that of another checkout.
        let file = std::path::Path::new("../ui/src/backend/bindings.ts");
        let folder = tempfile::tempdir().unwrap();
        let fresh = folder.path().join("bindings.ts");
        let header = "// Generated from src-tauri/src/commands by tauri-specta. Do not edit.\n/* eslint-disable */\n";
        super::all()
            .export(
                specta_typescript::Typescript::default().header(header),
                &fresh,
            )
            .unwrap();
        let fresh = std::fs::read_to_string(fresh).unwrap();
        if std::env::var_os("CORDEE_WRITE_BINDINGS").is_some() {
            std::fs::write(file, &fresh).unwrap();
        }
        let kept = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            kept == fresh,
            "ui/src/backend/bindings.ts is stale: run CORDEE_WRITE_BINDINGS=1 cargo test -p cordee bindings"
        );
    }
}
