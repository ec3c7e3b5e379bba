//! The local copy of chat: four encrypted databases in one folder.
//!
//! ```text
//! folder.lock            held while open; a second program gets `StoreLocked`
//! folder/
//!   matrix-sdk-state     rooms, members, the queue of messages to send     can be fetched again
//!   matrix-sdk-event-cache, -media   messages, pictures                    can be fetched again
//!   matrix-sdk-crypto    the keys of this device                           cannot: a new device is needed
//!   open                 there while open; still there at the next start = the last end was not orderly
//!   incomplete           instead of `open` while messages may be missing in the copy: they are fetched again
//!   damaged-…/           databases that were set aside
//! ```
//!
//! A damaged database is moved aside and kept, never deleted, and never reported as something else. Values are
//! encrypted by the SDK with the key given; there is no key derivation, the key comes from the keyring.

use std::error::Error as StdError;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use matrix_sdk::cross_process_lock::CrossProcessLockConfig;
use matrix_sdk::store::StoreConfig;
use matrix_sdk::{
    SqliteCryptoStore, SqliteEventCacheStore, SqliteMediaStore, SqliteStateStore, SqliteStoreConfig,
};

use crate::error::{ChatError, chain};

const STATE: &str = "matrix-sdk-state.sqlite3";
const EVENTS: &str = "matrix-sdk-event-cache.sqlite3";
const MEDIA: &str = "matrix-sdk-media.sqlite3";
const CRYPTO: &str = "matrix-sdk-crypto.sqlite3";
const OPEN_MARK: &str = "open";
const INCOMPLETE_MARK: &str = "incomplete";
/// Sets of damaged databases kept beside each other; the oldest goes first.
const KEPT: usize = 3;

/// Where the local copy is and the key that opens it.
#[derive(Clone)]
pub struct Store {
    pub folder: PathBuf,
    pub key: [u8; 32],
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// What a failure of a database means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    DiskFull,
    Corrupt,
}

impl Damage {
    /// Reads the database's own words for its result codes (<https://www.sqlite.org/rescode.html>): the SDK's error
    /// that holds the code is private to its crate.
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let text = error.to_string();
        if text.contains("database or disk is full") {
            Some(Self::DiskFull)
        } else if text.contains("database disk image is malformed")
            || text.contains("file is not a database")
        {
            Some(Self::Corrupt)
        } else {
            None
        }
    }
}

/// An open store. The lock ends with it.
#[derive(Debug)]
pub(crate) struct OpenStore {
    pub config: StoreConfig,
    pub held: Held,
    pub found: Found,
}

/// In which state the copy was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Found {
    Whole,
    /// The program ended disorderly: what came last may not have been written, and the server does not send it again
    /// by itself.
    Unsure,
    /// Messages may have been missing; they start empty and are fetched again.
    Incomplete,
    /// Rooms or messages were damaged, were set aside, and start empty.
    Damaged,
}

/// Notes in the folder that messages may be missing: they are fetched again at the next start. To rename a file takes no
/// room, so it also works on a full disk.
pub(crate) fn mark_incomplete(folder: &Path) {
    match fs::rename(folder.join(OPEN_MARK), folder.join(INCOMPLETE_MARK)) {
        Err(error) if !folder.join(INCOMPLETE_MARK).exists() => {
            tracing::warn!(kind = ?error.kind(), "The store cannot be marked as incomplete");
        }
        _ => {}
    }
}

/// The right to use the folder.
#[derive(Debug)]
pub(crate) struct Held {
    folder: PathBuf,
    lock: File,
}

impl Store {
    /// Opens the four databases, sets aside what is damaged.
    pub(crate) async fn open(&self) -> Result<OpenStore, ChatError> {
        let held = Held::take(&self.folder)?;
        let mut found = Found::Whole;
        let incomplete = self.folder.join(INCOMPLETE_MARK).exists();
        if incomplete || self.folder.join(OPEN_MARK).exists() {
            found = self.check().await?.max(Found::Unsure);
        }
        if incomplete {
            self.forget_messages()?;
            found = found.max(Found::Incomplete);
        }
        fs::write(self.folder.join(OPEN_MARK), []).map_err(|error| io_failure(&error))?;

        let config = SqliteStoreConfig::new(&self.folder).key(Some(&self.key));
        let (state, events, media, crypto) = tokio::join!(
            SqliteStateStore::open_with_config(&config),
            SqliteEventCacheStore::open_with_config(&config),
            SqliteMediaStore::open_with_config(&config),
            SqliteCryptoStore::open_with_config(&config),
        );
        let crypto = match crypto {
            Ok(crypto) => crypto,
            Err(error) => {
                opening_failed(&error)?;
                drop((state, events, media));
                self.set_aside_whole();
                return Err(ChatError::StoreCorrupt);
            }
        };
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                self.start_again(STATE, &error)?;
                found = Found::Damaged;
                SqliteStateStore::open_with_config(&config)
                    .await
                    .map_err(|error| final_failure(&error))?
            }
        };
        let events = match events {
            Ok(events) => events,
            Err(error) => {
                self.start_again(EVENTS, &error)?;
                found = Found::Damaged;
                SqliteEventCacheStore::open_with_config(&config)
                    .await
                    .map_err(|error| final_failure(&error))?
            }
        };
        let media = match media {
            Ok(media) => media,
            Err(error) => {
                self.start_again(MEDIA, &error)?;
                SqliteMediaStore::open_with_config(&config)
                    .await
                    .map_err(|error| final_failure(&error))?
            }
        };
        // One program at a time holds the folder, so the SDK needs no leases of its own.
        let config = StoreConfig::new(CrossProcessLockConfig::SingleProcess)
            .state_store(state)
            .event_cache_store(events)
            .media_store(media)
            .crypto_store(crypto);
        Ok(OpenStore {
            config,
            held,
            found,
        })
    }

    /// Whether there is something in the folder from an earlier sign-in.
    pub(crate) fn exists(&self) -> bool {
        self.folder.join(CRYPTO).exists() || self.folder.join(STATE).exists()
    }

    /// Reads every page of the databases after a disorderly end.
    async fn check(&self) -> Result<Found, ChatError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut found = Found::Whole;
            for name in [STATE, EVENTS, MEDIA, CRYPTO] {
                let path = store.folder.join(name);
                if !path.exists() {
                    continue;
                }
                match sound(&path) {
                    Ok(true) => {}
                    Ok(false) if name == CRYPTO => {
                        store.set_aside_whole();
                        return Err(ChatError::StoreCorrupt);
                    }
                    Ok(false) => {
                        store.set_aside(name)?;
                        if name != MEDIA {
                            found = Found::Damaged;
                        }
                    }
                    Err(error) => {
                        return Err(ChatError::of(
                            &error,
                            ChatError::Other("a database cannot be checked"),
                        ));
                    }
                }
            }
            Ok(found)
        })
        .await
        .unwrap_or(Err(ChatError::Other(
            "the check of the databases ended early",
        )))
    }

    /// The rooms read from the store make no sense: starts them again, keeps the keys.
    pub(crate) fn forget_rooms(&self) -> Result<(), ChatError> {
        for name in [STATE, EVENTS] {
            self.set_aside(name)?;
        }
        Ok(())
    }

    /// Messages that were not kept whole: nothing of them is worth setting aside.
    fn forget_messages(&self) -> Result<(), ChatError> {
        for ending in ["", "-wal", "-shm"] {
            remove(&self.folder.join(format!("{EVENTS}{ending}")))?;
        }
        remove(&self.folder.join(INCOMPLETE_MARK))
    }

    fn start_again(&self, name: &str, error: &(dyn StdError + 'static)) -> Result<(), ChatError> {
        opening_failed(error)?;
        self.set_aside(name)
    }

    /// Moves one database into `damaged-…`.
    fn set_aside(&self, name: &str) -> Result<(), ChatError> {
        let aside = self
            .folder
            .join(format!("damaged-{:.0}", crate::view::now()));
        fs::create_dir_all(&aside).map_err(|error| io_failure(&error))?;
        for ending in ["", "-wal", "-shm"] {
            let file = format!("{name}{ending}");
            match fs::rename(self.folder.join(&file), aside.join(&file)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_failure(&error)),
            }
        }
        tracing::warn!(database = name, "A damaged database was set aside");
        keep_newest(&self.folder, "damaged-");
        Ok(())
    }

    /// Moves the whole folder: without the keys of the device nothing in it can be used.
    pub(crate) fn set_aside_whole(&self) {
        let mut aside = self.folder.clone().into_os_string();
        aside.push(format!(".damaged-{:.0}", crate::view::now()));
        let _ = fs::remove_file(self.folder.join(OPEN_MARK));
        if let Err(error) = fs::rename(&self.folder, &aside) {
            tracing::error!(kind = ?error.kind(), "The damaged store could not be set aside");
            return;
        }
        tracing::warn!("The damaged store was set aside");
        if let (Some(parent), Some(name)) = (self.folder.parent(), self.folder.file_name()) {
            keep_newest(parent, &format!("{}.damaged-", name.to_string_lossy()));
        }
    }
}

impl Held {
    fn take(folder: &Path) -> Result<Self, ChatError> {
        fs::create_dir_all(folder).map_err(|error| io_failure(&error))?;
        private(folder);
        let mut path = folder.to_path_buf().into_os_string();
        path.push(".lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|error| io_failure(&error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                folder: folder.to_path_buf(),
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(ChatError::StoreLocked),
            Err(TryLockError::Error(error)) => Err(io_failure(&error)),
        }
    }

    /// Ends orderly: the next start needs no check.
    pub(crate) fn release(self, orderly: bool) {
        if orderly {
            let _ = fs::remove_file(self.folder.join(OPEN_MARK));
        }
        let _ = self.lock.unlock();
    }

    /// Deletes everything. True when nothing is left.
    pub(crate) fn wipe(self) -> bool {
        let gone = match fs::remove_dir_all(&self.folder) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        let _ = self.lock.unlock();
        let mut lock = self.folder.into_os_string();
        lock.push(".lock");
        let _ = fs::remove_file(lock);
        gone
    }
}

fn remove(file: &Path) -> Result<(), ChatError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_failure(&error)),
        _ => Ok(()),
    }
}

/// Whether the database finds its file in order.
fn sound(path: &Path) -> Result<bool, rusqlite::Error> {
    let verdict = rusqlite::Connection::open(path).and_then(|connection| {
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    });
    match verdict {
        Ok(verdict) => Ok(verdict == "ok"),
        Err(error) if Damage::of(&error) == Some(Damage::Corrupt) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ok when the failure means damage; otherwise what it is, so that nothing is set aside for a full disk.
fn opening_failed(error: &(dyn StdError + 'static)) -> Result<(), ChatError> {
    for cause in chain(error) {
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            return Err(io_failure(cause));
        }
        let text = cause.to_string();
        if text.contains("database or disk is full") {
            return Err(ChatError::DiskFull);
        }
        if text.contains("database is locked") || text.contains("database table is locked") {
            return Err(ChatError::StoreLocked);
        }
        let outside = [
            "unable to open database file",
            "attempt to write a readonly database",
            "disk I/O error",
            "access permission denied",
            "out of memory",
        ];
        if outside.iter().any(|outside| text.contains(outside)) {
            return Err(ChatError::Other("the local store cannot be opened"));
        }
    }
    Ok(())
}

fn final_failure(error: &(dyn StdError + 'static)) -> ChatError {
    opening_failed(error)
        .err()
        .unwrap_or(ChatError::Other("an empty store cannot be opened"))
}

pub(crate) fn io_failure(error: &io::Error) -> ChatError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ChatError::DiskFull,
        _ => ChatError::Other("a file of the local store cannot be used"),
    }
}

fn keep_newest(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut kept: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    kept.sort();
    for old in kept.iter().take(kept.len().saturating_sub(KEPT)) {
        let _ = fs::remove_dir_all(old);
    }
}

/// Only the person may look into the folder. Windows' user folders are private already.
#[cfg(unix)]
fn private(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
}

#[cfg(not(unix))]
fn private(_folder: &Path) {}
