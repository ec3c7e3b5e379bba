//! The person at this screen, as the others see them.

use std::time::Duration;

use matrix_sdk::ruma::OwnedMxcUri;
use matrix_sdk::ruma::api::client::profile::{AvatarUrl, DisplayName};
use serde::{Deserialize, Serialize};

use crate::chat::Shared;
use crate::error::ChatError;
use crate::view::Person;

/// Longest wait for the server's answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Where the last answer is kept, in the encrypted store.
const KEPT: &[u8] = b"cordee.own_profile";

#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: Option<String>,
    avatar: Option<OwnedMxcUri>,
}

impl Shared {
    /// As of last time, without asking anybody; the server's word when there is no last time.
    pub(crate) async fn own_profile(&self) -> Result<Person, ChatError> {
        match self.kept_profile().await {
            Some(kept) => Ok(self.own(&kept)),
            None => self.fresh_profile().await,
        }
    }

    /// As the server has it now, or as of last time when it does not answer.
    pub(crate) async fn fresh_profile(&self) -> Result<Person, ChatError> {
        self.live()?;
        let account = self.client.account();
        let answer = tokio::time::timeout(ANSWER, account.fetch_user_profile()).await;
        let Ok(Ok(answer)) = answer else {
            return Ok(self.own(&self.kept_profile().await.unwrap_or_default()));
        };
        let profile = Profile {
            name: answer.get_static::<DisplayName>().ok().flatten(),
            avatar: answer.get_static::<AvatarUrl>().ok().flatten(),
        };
        self.keep(&profile).await;
        Ok(self.own(&profile))
    }

    async fn kept_profile(&self) -> Option<Profile> {
        let kept = self.client.state_store().get_custom_value(KEPT).await;
        serde_json::from_slice(&kept.ok()??).ok()
    }

    async fn keep(&self, profile: &Profile) {
        if self.kept_profile().await.as_ref() == Some(profile) {
            return;
        }
        let Ok(json) = serde_json::to_vec(profile) else {
            return;
        };
        let store = self.client.state_store();
        if store.set_custom_value_no_read(KEPT, json).await.is_err() {
            // The next start waits for the server then, no more.
            tracing::debug!("The profile was not kept");
        }
    }

    fn own(&self, Profile { name, avatar }: &Profile) -> Person {
        self.person(&self.own, name.as_deref(), avatar.as_deref())
    }
}
