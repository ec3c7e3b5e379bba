//! The only opener of the operating system's keyring.
//!
//! All calls go one after another through a bounded queue to one thread of their own, because the platforms' keyring
//! calls block (a locked keyring may even wait for a person) and mix badly when they interleave.
//!
//! ```text
//!            open ─► no keyring service ─► Missing        (asked again at each call)
//!              │
//!              ▼
//!   ┌──── Locked ◄──────── the person locks it, logs out of it, never unlocked it
//!   │        ▲
//! unlock()   │   Every read first makes sure that the keyring is open. "No such entry" from a locked keyring
//!   │        │   means nothing, and is never reported as "there is no secret".
//!   ▼        │
//!   └────► Open: get / set / delete
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::random;
use crate::secret::Secret;

mod keyring;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(target_os = "windows", path = "windows.rs")]
mod platform;

use keyring::{Connect, Keyring};

/// Longest wait for one read or write. A healthy keyring answers in milliseconds.
const DEADLINE: Duration = Duration::from_secs(15);
/// Longest wait for a person who is asked for the keyring's password.
const UNLOCK_DEADLINE: Duration = Duration::from_mins(5);
/// Pause between two looks at a locked keyring, see [`Vault::unlocked`].
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const QUEUE: usize = 32;

/// Why the keyring did not do what was asked. In every case what it holds is untouched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("the keyring is locked")]
    Locked,
    #[error("this computer offers no keyring")]
    Missing,
    #[error("the keyring failed: {0}")]
    Failed(&'static str),
}

type Job = Box<dyn FnOnce(&mut Keyring) + Send>;

/// Handle on the keyring thread; the thread ends with its last handle.
#[derive(Clone)]
pub struct Vault {
    jobs: mpsc::Sender<Job>,
    prompting: Arc<AtomicBool>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// Connects to the person's keyring. `application` is the name under which secrets are filed, for example
    /// `app.cordee`. A locked keyring opens; its reads and writes answer [`VaultError::Locked`] until it is unlocked.
    pub async fn open(application: &str) -> Result<Self, VaultError> {
        let vault = Self::start(application, Box::new(platform::connect))?;
        vault.run(DEADLINE, Keyring::reach).await?;
        Ok(vault)
    }

    /// The secret kept under `key`, `None` when the open keyring has none.
    pub async fn get(&self, key: &str) -> Result<Option<Secret>, VaultError> {
        let key = key.to_owned();
        self.run(DEADLINE, move |keyring| keyring.get(&key)).await
    }

    /// Keeps `secret` under `key`. When this returns it will survive the program.
    pub async fn set(&self, key: &str, secret: Secret) -> Result<(), VaultError> {
        let key = key.to_owned();
        self.run(DEADLINE, move |keyring| keyring.set(&key, &secret))
            .await
    }

    /// Forgets `key`; no error when it was not there.
    pub async fn delete(&self, key: &str) -> Result<(), VaultError> {
        let key = key.to_owned();
        self.run(DEADLINE, move |keyring| keyring.delete(&key))
            .await
    }

    /// Forgets every key that begins with `prefix` (all of them for `""`).
    pub async fn delete_all(&self, prefix: &str) -> Result<(), VaultError> {
        let prefix = prefix.to_owned();
        self.run(DEADLINE, move |keyring| keyring.delete_all(&prefix))
            .await
    }

    /// The key that encrypts `account`'s local stores: 32 random bytes, made at the first call and kept here only.
    pub async fn store_key(&self, account: &str) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        let key = store_key_name(account);
        self.run(DEADLINE, move |keyring| {
            if let Some(known) = read_store_key(keyring, &key)? {
                return Ok(known);
            }
            let fresh = random::bytes::<32>().map_err(|_| VaultError::Failed("no randomness"))?;
            keyring.set(&key, &Secret::new(fresh.to_vec()))?;
            // A keyring that forgets at once would make the data written with this key unreadable tomorrow.
            match read_store_key(keyring, &key)? {
                Some(kept) if kept == fresh => Ok(fresh),
                _ => Err(VaultError::Failed("the store key was not kept")),
            }
        })
        .await
    }

    /// Like [`Vault::store_key`], but never makes one: `None` tells that data encrypted before cannot be read any more.
    pub async fn existing_store_key(
        &self,
        account: &str,
    ) -> Result<Option<Zeroizing<[u8; 32]>>, VaultError> {
        let key = store_key_name(account);
        self.run(DEADLINE, move |keyring| read_store_key(keyring, &key))
            .await
    }

    /// Forgets `account`'s store key; what it encrypted is unreadable from then on.
    pub async fn delete_store_key(&self, account: &str) -> Result<(), VaultError> {
        self.delete(&store_key_name(account)).await
    }

    /// Lets the system ask the person for the keyring's password (or for a new one where there is no keyring yet).
    /// `Locked` when they decline or nobody can be asked.
    pub async fn unlock(&self) -> Result<(), VaultError> {
        let prompting = Arc::clone(&self.prompting);
        self.run(UNLOCK_DEADLINE, move |keyring| {
            prompting.store(true, Ordering::Release);
            let unlocked = keyring.unlock();
            prompting.store(false, Ordering::Release);
            unlocked
        })
        .await
    }

    /// Waits, without ever asking the person, until the keyring can be read. Drop the future to stop waiting.
    pub async fn unlocked(&self) {
        while self.run(DEADLINE, Keyring::reach_open).await.is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn start(application: &str, connect: Connect) -> Result<Self, VaultError> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        let mut keyring = Keyring::new(application, connect);
        std::thread::Builder::new()
            .name("keyring".into())
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    job(&mut keyring);
                }
            })
            .map_err(|_| VaultError::Failed("no thread for the keyring"))?;
        Ok(Self {
            jobs,
            prompting: Arc::new(AtomicBool::new(false)),
        })
    }

    async fn run<T, F>(&self, deadline: Duration, job: F) -> Result<T, VaultError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Keyring) -> Result<T, VaultError> + Send + 'static,
    {
        if self.prompting.load(Ordering::Acquire) && deadline < UNLOCK_DEADLINE {
            // The thread waits for the person; so would everybody else.
            return Err(VaultError::Locked);
        }
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |keyring| {
            // Nobody waits any more: a write that its caller already reported as failed must not happen later.
            if !reply.is_closed() {
                let _ = reply.send(job(keyring));
            }
        });
        let work = async {
            self.jobs
                .send(job)
                .await
                .map_err(|_| VaultError::Failed("the keyring thread ended"))?;
            answer
                .await
                .map_err(|_| VaultError::Failed("the keyring thread ended"))?
        };
        match tokio::time::timeout(deadline, work).await {
            Ok(result) => result,
            Err(_) if self.prompting.load(Ordering::Acquire) => Err(VaultError::Locked),
            Err(_) => Err(VaultError::Failed("the keyring did not answer in time")),
        }
    }
}

fn read_store_key(
    keyring: &mut Keyring,
    key: &str,
) -> Result<Option<Zeroizing<[u8; 32]>>, VaultError> {
    let Some(secret) = keyring.get(key)? else {
        return Ok(None);
    };
    let bytes: [u8; 32] = secret
        .expose()
        .try_into()
        .map_err(|_| VaultError::Failed("the store key is damaged"))?;
    Ok(Some(Zeroizing::new(bytes)))
}

/// Names of entries are visible in the system's keyring program, so they carry no account name.
fn store_key_name(account: &str) -> String {
    let digest = Sha256::digest(account.as_bytes());
    let short = URL_SAFE_NO_PAD.encode(&digest[..9]);
    format!("store.{short}")
}

#[cfg(test)]
impl Vault {
    /// A keyring that lives in memory, for the tests of this crate.
    pub(crate) fn in_memory() -> Self {
        keyring::double::vault(usize::MAX).0
    }
}

#[cfg(test)]
pub(crate) use keyring::double::vault as double;

#[cfg(test)]
mod tests;

#[cfg(all(test, target_os = "linux"))]
mod gnome_keyring_tests;
