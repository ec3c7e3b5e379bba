//! Ways in: a token from the browser trip, a password, or the session of last time.

use std::time::Duration;

use matrix_sdk::Client;
use matrix_sdk::authentication::matrix::MatrixSession;
use matrix_sdk::config::RequestConfig;
use matrix_sdk::cross_process_lock::CrossProcessLockConfig;
use matrix_sdk::encryption::{BackupDownloadStrategy, EncryptionSettings};
use matrix_sdk::store::RoomLoadSettings;
use network::Failure;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::chat::Chat;
use crate::error::ChatError;
use crate::store::{Found, Held, OpenStore, Store};

/// Longest wait for the first answer of a server before the store is touched.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// What every way in needs.
#[derive(Clone, Debug)]
pub struct Setup {
    pub store: Store,
    /// From `network::Clients::matrix`.
    pub http: network::reqwest::Client,
    /// Start of the addresses of pictures: `media://localhost`, on Windows `http://media.localhost`.
    pub media_base: String,
    /// What other devices show for this one.
    pub device_name: String,
    /// The exchange with the server begins when this turns true: until then the machine is busy with the window.
    pub begin: tokio::sync::watch::Receiver<bool>,
}

/// What has to be kept to come back without a sign-in. It belongs into the keyring.
#[derive(Clone, PartialEq, Eq)]
pub struct SavedSession {
    pub json: String,
    /// The server no longer knows this device: the person has to sign in again. Nothing was deleted.
    pub revoked: bool,
}

impl std::fmt::Debug for SavedSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SavedSession")
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Saved {
    homeserver: Url,
    #[serde(flatten)]
    session: MatrixSession,
}

/// Where to send the browser so that it comes back to `redirect` with a `loginToken`
/// (Client-Server API, `GET /login/sso/redirect`). `provider` skips the server's own choice page.
pub fn sso_url(homeserver: &Url, provider: Option<&str>, redirect: &Url) -> Url {
    let mut url = homeserver.clone();
    let mut path = "/_matrix/client/v3/login/sso/redirect".to_owned();
    if let Some(provider) = provider {
        path.push('/');
        path.push_str(provider);
    }
    url.set_path(&path);
    url.set_query(None);
    url.query_pairs_mut()
        .append_pair("redirectUrl", redirect.as_str());
    url
}

/// Opens what is on this device. No request is made before it returns.
pub(crate) async fn restore(session_json: &str, setup: Setup) -> Result<Chat, ChatError> {
    let saved: Saved = serde_json::from_str(session_json).map_err(|_| ChatError::NotSignedIn)?;
    if !setup.store.exists() {
        // The keys of the device are gone. Going on with new ones under the same device would make it
        // unreadable for everybody else.
        return Err(ChatError::StoreCorrupt);
    }
    let mut found = Found::Whole;
    loop {
        let opened = setup.store.open().await?;
        found = found.max(opened.found);
        let (client, held) = client_on(&saved.homeserver, &setup, opened).await?;
        match client
            .matrix_auth()
            .restore_session(saved.session.clone(), RoomLoadSettings::default())
            .await
        {
            Ok(()) => return Chat::assemble(client, held, setup, found).await,
            Err(error) => {
                let keys = is_about_keys(&error);
                let cause = ChatError::of(&error, ChatError::StoreCorrupt);
                tracing::warn!(keys, "The stored session cannot be read");
                let _ = client.pause().await;
                drop(client);
                held.release(false);
                if !matches!(cause, ChatError::StoreCorrupt) {
                    return Err(cause);
                }
                if keys || found == Found::Damaged {
                    setup.store.set_aside_whole();
                    return Err(ChatError::StoreCorrupt);
                }
                setup.store.forget_rooms()?;
                found = Found::Damaged;
            }
        }
    }
}

pub(crate) async fn sign_in(homeserver: &Url, setup: Setup, way: Way) -> Result<Chat, ChatError> {
    first_answer(&setup.http, homeserver).await?;
    // A new sign-in is a new device, the keys of an old one cannot be used for it.
    let previous = Previous::put_away(&setup.store)?;
    match sign_in_fresh(homeserver, setup, way).await {
        Ok(chat) => {
            previous.delete();
            Ok(chat)
        }
        Err(error) => {
            previous.put_back();
            Err(error)
        }
    }
}

async fn sign_in_fresh(homeserver: &Url, setup: Setup, way: Way) -> Result<Chat, ChatError> {
    let opened = setup.store.open().await?;
    let (client, held) = client_on(homeserver, &setup, opened).await?;
    let auth = client.matrix_auth();
    let login = match &way {
        Way::Token(token) => auth.login_token(token),
        Way::Password(user, password) => auth.login_username(user, password),
    };
    let outcome = login
        .initial_device_display_name(&setup.device_name)
        .send()
        .await;
    if let Err(error) = outcome {
        let _ = client.pause().await;
        drop(client);
        held.wipe();
        return Err(match (ChatError::from(error), way) {
            (ChatError::Forbidden | ChatError::Revoked, Way::Password(..)) => {
                ChatError::WrongPassword
            }
            (ChatError::Forbidden | ChatError::Revoked, Way::Token(_)) => ChatError::TokenRefused,
            (error, _) => error,
        });
    }
    Chat::assemble(client, held, setup, Found::Whole).await
}

/// The session as it is kept.
pub(crate) fn saved(client: &Client) -> Option<String> {
    let session = client.matrix_auth().session()?;
    serde_json::to_string(&Saved {
        homeserver: client.homeserver(),
        session,
    })
    .ok()
}

/// What a person signs in with.
pub(crate) enum Way {
    Token(String),
    Password(String, String),
}

/// Asks the server before anything is written: a wrong certificate or no network is said at once.
async fn first_answer(http: &network::reqwest::Client, homeserver: &Url) -> Result<(), ChatError> {
    let mut url = homeserver.clone();
    url.set_path("/_matrix/client/versions");
    let answer = tokio::time::timeout(FIRST_ANSWER, http.get(url).send())
        .await
        .map_err(|_| ChatError::Network(Failure::Timeout))?
        .map_err(|error| ChatError::Network(Failure::of(&error)))?;
    match Failure::of_status(answer.status()) {
        Some(failure) => Err(ChatError::Network(failure)),
        None if answer.status().is_success() => Ok(()),
        None => Err(ChatError::Network(Failure::Protocol)),
    }
}

async fn client_on(
    homeserver: &Url,
    setup: &Setup,
    opened: OpenStore,
) -> Result<(Client, Held), ChatError> {
    let built = Client::builder()
        .homeserver_url(homeserver)
        // The organisation's document says where the server is, nobody else.
        .respect_login_well_known(false)
        .http_client(setup.http.clone())
        .request_config(RequestConfig::new().timeout(Duration::from_secs(30)))
        .store_config(opened.config)
        .cross_process_store_config(CrossProcessLockConfig::SingleProcess)
        .handle_refresh_tokens()
        .with_encryption_settings(EncryptionSettings {
            auto_enable_cross_signing: true,
            auto_enable_backups: true,
            backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
        })
        .build()
        .await;
    match built {
        Ok(client) => Ok((client, opened.held)),
        Err(error) => {
            opened.held.release(false);
            Err(ChatError::of(
                &error,
                ChatError::Other("the chat library cannot be started"),
            ))
        }
    }
}

fn is_about_keys(error: &matrix_sdk::Error) -> bool {
    matches!(
        error,
        matrix_sdk::Error::CryptoStoreError(_)
            | matrix_sdk::Error::BadCryptoStoreState
            | matrix_sdk::Error::OlmError(_)
    ) || format!("{error:?}").contains("CryptoStore")
}

/// The store of an earlier sign-in while a new one is tried.
struct Previous {
    folder: std::path::PathBuf,
    away: Option<std::path::PathBuf>,
}

impl Previous {
    fn put_away(store: &Store) -> Result<Self, ChatError> {
        let folder = store.folder.clone();
        if !store.exists() {
            return Ok(Self { folder, away: None });
        }
        let mut away = folder.clone().into_os_string();
        away.push(".previous");
        let away = std::path::PathBuf::from(away);
        let _ = std::fs::remove_dir_all(&away);
        std::fs::rename(&folder, &away).map_err(|error| crate::store::io_failure(&error))?;
        Ok(Self {
            folder,
            away: Some(away),
        })
    }

    fn delete(self) {
        if let Some(away) = self.away {
            let _ = std::fs::remove_dir_all(away);
        }
    }

    fn put_back(self) {
        if let Some(away) = self.away {
            let _ = std::fs::remove_dir_all(&self.folder);
            let _ = std::fs::rename(away, self.folder);
        }
    }
}
