//! Signing in and out.

use std::sync::Arc;

use problem::Problem;
use tauri::State;

use crate::session::{Office, OrganisationSummary, Session, SignOutReport};

type Answer<T> = Result<T, Problem>;

#[tauri::command]
#[specta::specta]
pub async fn session_state(office: State<'_, Arc<Office>>) -> Answer<Session> {
    Ok(office.session())
}

#[tauri::command]
#[specta::specta]
pub async fn organisation_find(
    office: State<'_, Arc<Office>>,
    address: String,
) -> Answer<OrganisationSummary> {
    office.find_organisation(&address).await
}

#[tauri::command]
#[specta::specta]
pub async fn sign_in_begin(office: State<'_, Arc<Office>>, address: String) -> Answer<()> {
    Office::sign_in(&office, &address).await
}

#[tauri::command]
#[specta::specta]
pub async fn sign_in_cancel(office: State<'_, Arc<Office>>) -> Answer<()> {
    office.cancel_sign_in();
    Ok(())
}

#[tauri::command]
#[specta::specta]
pub async fn sign_in_password(
    office: State<'_, Arc<Office>>,
    address: String,
    user: String,
    password: String,
) -> Answer<()> {
    Office::sign_in_with_password(&office, &address, &user, &password).await
}

#[tauri::command]
#[specta::specta]
pub async fn sign_out(office: State<'_, Arc<Office>>) -> Answer<SignOutReport> {
    Office::sign_out(&office).await
}

#[tauri::command]
#[specta::specta]
pub async fn keyring_retry(office: State<'_, Arc<Office>>) -> Answer<()> {
    Office::unlock(&office).await
}
