//! The way out, and what could not be undone on the servers.

use std::sync::Arc;

use problem::{Problem, Retry};

use super::account::{self, Account};
use super::{LeftBehind, Office, SignOutReport};

impl Office {
    /// Ends the session here and on the servers, then removes this account's data from the device.
    pub async fn sign_out(office: &Arc<Self>) -> Result<SignOutReport, Problem> {
        let vault = office.vault().await?;
        let Some(desk) = office.desk.send_replace(None) else {
            return Err(Problem::new("chat.notSignedIn", Retry::NeedsUser));
        };
        desk.end_tasks().await;
        let chat = desk.chat().clone().sign_out().await;
        let mut left = Vec::new();
        if !chat.device_revoked {
            left.push(LeftBehind::ChatDevice);
        }
        let mut revoked = true;
        if let Some(identity) = desk.identity() {
            let out = identity.sign_out().await;
            revoked = out.revoked;
            if !out.revoked {
                left.push(LeftBehind::Tokens);
            }
            if let Some(url) = out.end_session {
                // The browser's own session would sign the next person in.
                (office.open_browser)(&url);
            }
        }
        let forgotten = vault.delete(account::CHAT_SESSION).await.is_ok()
            && vault.delete_store_key(account::STORE).await.is_ok()
            && Account::forget(&office.folders.current_account());
        if let Err(error) = office.shelf().forget(desk.address()) {
            tracing::warn!(%error, "the organisation's document stays on disk");
        }
        office.leave_signed_out(Some(format!("@{}", desk.address().domain())), None);
        Ok(SignOutReport {
            revoked: revoked && chat.device_revoked,
            not_revoked: left,
            wiped: chat.wiped && forgotten,
        })
    }
}
