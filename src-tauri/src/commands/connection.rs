//! The truth about the connection.

use std::sync::Arc;

use network::Connection;
use problem::{Problem, Retry};
use tauri::{AppHandle, State};
use tauri_plugin_opener::OpenerExt as _;

use crate::session::Office;

type Answer<T> = Result<T, Problem>;

#[tauri::command]
#[specta::specta]
pub async fn connection_state(office: State<'_, Arc<Office>>) -> Answer<Connection> {
    Ok(office.connection().borrow().clone())
}

/// Probes one service, or all, now.
#[tauri::command]
#[specta::specta]
pub async fn connection_retry(
    office: State<'_, Arc<Office>>,
    service: Option<String>,
) -> Answer<()> {
    office.retry_connection(service.as_deref());
    Ok(())
}

/// Opens the portal's page in the system browser: any plain address leads there.
#[tauri::command]
#[specta::specta]
pub async fn captive_portal_open(app: AppHandle, office: State<'_, Arc<Office>>) -> Answer<()> {
    let Some(url) = office.portal_address() else {
        return Ok(());
    };
    app.opener()
        .open_url(url.as_str(), None::<&str>)
        .map_err(|_| Problem::new("link.refused", Retry::NeedsUser))
}
