//! What a keyring entry looks like, the same on the three systems. Blocking; runs on the vault's thread only.
//!
//! A secret is kept as base64 text (KDE's wallet holds only text) in the entry named like its key:
//! `1:<base64>`, or, where the platform limits the size, `n:<generation>:<count>` with the text in the entries
//! `<key>#<generation>.<i>`. A new generation is written completely before the first entry points at it, so a crash
//! leaves either the old secret or the new one.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use keyring_core::api::CredentialStore;
use keyring_core::{Entry, Error};
use zeroize::Zeroizing;

use super::VaultError;
use crate::secret::Secret;

/// The platforms cannot list entries in a common way, so the names are kept in an entry of their own.
const INDEX: &str = "index";

pub type Connect = Box<dyn FnMut() -> Result<Platform, VaultError> + Send>;

/// What a platform brings.
pub struct Platform {
    pub store: Arc<CredentialStore>,
    pub lock: Box<dyn Lock>,
    /// Largest value of one entry, in bytes.
    pub limit: usize,
}

/// Tells "locked" from "not there", which the stores themselves do not.
pub trait Lock: Send {
    fn locked(&self) -> Result<bool, VaultError>;
    /// May block for as long as the person takes to answer the system's question.
    fn unlock(&self) -> Result<(), VaultError>;
}

pub struct Keyring {
    application: String,
    connect: Connect,
    platform: Option<Platform>,
    index: Option<BTreeSet<String>>,
}

impl Keyring {
    pub fn new(application: &str, connect: Connect) -> Self {
        Self {
            application: application.to_owned(),
            connect,
            platform: None,
            index: None,
        }
    }

    /// Makes sure that there is a keyring, locked or not.
    pub fn reach(&mut self) -> Result<(), VaultError> {
        self.platform().map(|_| ())
    }

    /// Makes sure that there is a keyring and that it can be read now.
    pub fn reach_open(&mut self) -> Result<(), VaultError> {
        self.persist(Self::look)
    }

    pub fn unlock(&mut self) -> Result<(), VaultError> {
        self.persist(|keyring| keyring.platform()?.lock.unlock())?;
        self.reach_open()
    }

    pub fn get(&mut self, key: &str) -> Result<Option<Secret>, VaultError> {
        self.persist(|keyring| {
            keyring.look()?;
            let found = keyring.read(key)?;
            if found.is_none() {
                // It may have been locked between the first look and the read.
                keyring.look()?;
            }
            Ok(found)
        })
    }

    pub fn set(&mut self, key: &str, secret: &Secret) -> Result<(), VaultError> {
        self.persist(|keyring| {
            keyring.look()?;
            keyring.remember(key)?;
            keyring.write(key, secret)
        })
    }

    pub fn delete(&mut self, key: &str) -> Result<(), VaultError> {
        self.persist(|keyring| {
            keyring.look()?;
            keyring.erase(key)?;
            keyring.forget(|known| known == key)
        })
    }

    pub fn delete_all(&mut self, prefix: &str) -> Result<(), VaultError> {
        self.persist(|keyring| {
            keyring.look()?;
            let known = keyring.index()?.iter();
            let keys: Vec<String> = known
                .filter(|key| key.starts_with(prefix))
                .cloned()
                .collect();
            for key in &keys {
                keyring.erase(key)?;
            }
            keyring.forget(|known| known.starts_with(prefix))
        })
    }

    /// A keyring service that failed may have been restarted since we connected, which it shows in
    /// many ways. So everything is tried once more on a new connection; all of it can be repeated.
    fn persist<T>(
        &mut self,
        work: impl Fn(&mut Self) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let fresh = self.platform.is_none();
        let done = work(self);
        match done {
            Err(VaultError::Failed(_) | VaultError::Missing) => {
                self.disconnect();
                if fresh {
                    done
                } else {
                    work(self).inspect_err(|_| self.disconnect())
                }
            }
            Err(VaultError::Locked) => {
                // Another program may change it meanwhile.
                self.index = None;
                done
            }
            Ok(_) => done,
        }
    }

    fn look(&mut self) -> Result<(), VaultError> {
        if self.platform()?.lock.locked()? {
            Err(VaultError::Locked)
        } else {
            Ok(())
        }
    }

    fn disconnect(&mut self) {
        self.platform = None;
        self.index = None;
    }

    fn platform(&mut self) -> Result<&Platform, VaultError> {
        if self.platform.is_none() {
            self.platform = Some((self.connect)()?);
        }
        self.platform.as_ref().ok_or(VaultError::Missing)
    }

    fn entry(&mut self, name: &str) -> Result<Entry, VaultError> {
        let application = self.application.clone();
        self.platform()?
            .store
            .build(&application, name, None)
            .map_err(|error| explain(&error))
    }

    fn read(&mut self, key: &str) -> Result<Option<Secret>, VaultError> {
        let Some(head) = self.read_entry(key)? else {
            return Ok(None);
        };
        let text = match Head::parse(&head).ok_or(VaultError::Failed("an entry is damaged"))? {
            Head::Whole(text) => Zeroizing::new(text.to_owned()),
            Head::Parts { generation, count } => {
                let mut whole = Zeroizing::new(String::new());
                for part in 0..count {
                    let text = self
                        .read_entry(&part_name(key, generation, part))?
                        .ok_or(VaultError::Failed("a part of an entry is lost"))?;
                    whole.push_str(&text);
                }
                whole
            }
        };
        let bytes = STANDARD_NO_PAD
            .decode(text.as_bytes())
            .map_err(|_| VaultError::Failed("an entry is damaged"))?;
        Ok(Some(Secret::new(bytes)))
    }

    fn write(&mut self, key: &str, secret: &Secret) -> Result<(), VaultError> {
        let limit = self.platform()?.limit;
        let before = self.parts_of(key)?;
        let text = Zeroizing::new(STANDARD_NO_PAD.encode(secret.expose()));
        if text.len() + 2 <= limit {
            self.write_entry(key, &Zeroizing::new(format!("1:{}", text.as_str())))?;
        } else {
            let generation = before.map_or(0, |(generation, _)| generation.wrapping_add(1));
            let mut count = 0;
            let mut rest = text.as_str();
            while !rest.is_empty() {
                // Base64 is ASCII: every index is a character boundary.
                let (part, tail) = rest.split_at(rest.len().min(limit));
                self.write_entry(&part_name(key, generation, count), part)?;
                count += 1;
                rest = tail;
            }
            self.write_entry(key, &format!("n:{generation}:{count}"))?;
        }
        self.erase_parts(key, before)
    }

    fn erase(&mut self, key: &str) -> Result<(), VaultError> {
        let parts = self.parts_of(key)?;
        self.erase_entry(key)?;
        self.erase_parts(key, parts)
    }

    fn parts_of(&mut self, key: &str) -> Result<Option<(u32, u32)>, VaultError> {
        let head = self.read_entry(key)?;
        Ok(match head.as_deref().and_then(|head| Head::parse(head)) {
            Some(Head::Parts { generation, count }) => Some((generation, count)),
            _ => None,
        })
    }

    fn erase_parts(&mut self, key: &str, parts: Option<(u32, u32)>) -> Result<(), VaultError> {
        let Some((generation, count)) = parts else {
            return Ok(());
        };
        (0..count).try_for_each(|part| self.erase_entry(&part_name(key, generation, part)))
    }

    fn index(&mut self) -> Result<&mut BTreeSet<String>, VaultError> {
        if self.index.is_none() {
            let known = match self.read(INDEX)? {
                Some(secret) => serde_json::from_slice(secret.expose()).unwrap_or_default(),
                None => BTreeSet::new(),
            };
            self.index = Some(known);
        }
        self.index
            .as_mut()
            .ok_or(VaultError::Failed("the index is lost"))
    }

    /// Before the entry itself is written: an entry that the index does not know would never be found again.
    fn remember(&mut self, key: &str) -> Result<(), VaultError> {
        if self.index()?.insert(key.to_owned()) {
            self.write_index()
        } else {
            Ok(())
        }
    }

    fn forget(&mut self, which: impl Fn(&str) -> bool) -> Result<(), VaultError> {
        let known = self.index()?;
        let before = known.len();
        known.retain(|key| !which(key));
        if known.len() == before {
            Ok(())
        } else {
            self.write_index()
        }
    }

    fn write_index(&mut self) -> Result<(), VaultError> {
        let text = serde_json::to_vec(self.index()?)
            .map_err(|_| VaultError::Failed("the index is lost"))?;
        let written = self.write(INDEX, &Secret::new(text));
        if written.is_err() {
            self.index = None;
        }
        written
    }

    fn read_entry(&mut self, name: &str) -> Result<Option<Zeroizing<String>>, VaultError> {
        let found = match self.entry(name)?.get_secret() {
            Err(Error::Ambiguous(twins)) => {
                twins.first().map_or(Err(Error::NoEntry), Entry::get_secret)
            }
            found => found,
        };
        match found {
            Ok(bytes) => String::from_utf8(bytes)
                .map(|text| Some(Zeroizing::new(text)))
                .map_err(|_| VaultError::Failed("an entry is damaged")),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(explain(&error)),
        }
    }

    fn write_entry(&mut self, name: &str, text: &str) -> Result<(), VaultError> {
        let entry = self.entry(name)?;
        match entry.set_secret(text.as_bytes()) {
            // Two programs made the same entry at the same moment, or a wallet was imported: one must remain.
            Err(Error::Ambiguous(_)) => {
                self.erase_entry(name)?;
                entry
                    .set_secret(text.as_bytes())
                    .map_err(|error| explain(&error))
            }
            written => written.map_err(|error| explain(&error)),
        }
    }

    fn erase_entry(&mut self, name: &str) -> Result<(), VaultError> {
        let erased = match self.entry(name)?.delete_credential() {
            Err(Error::Ambiguous(twins)) => twins.iter().try_for_each(Entry::delete_credential),
            erased => erased,
        };
        match erased {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(explain(&error)),
        }
    }
}

enum Head<'a> {
    Whole(&'a str),
    Parts { generation: u32, count: u32 },
}

impl<'a> Head<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if let Some(whole) = text.strip_prefix("1:") {
            return Some(Self::Whole(whole));
        }
        let (generation, count) = text.strip_prefix("n:")?.split_once(':')?;
        Some(Self::Parts {
            generation: generation.parse().ok()?,
            count: count.parse().ok()?,
        })
    }
}

fn part_name(key: &str, generation: u32, part: u32) -> String {
    format!("{key}#{generation}.{part}")
}

fn explain(error: &Error) -> VaultError {
    match error {
        Error::NoStorageAccess(_) => VaultError::Locked,
        Error::NoDefaultStore => VaultError::Missing,
        Error::TooLong(..) => VaultError::Failed("the secret is too long for this keyring"),
        Error::BadDataFormat(..) | Error::BadEncoding(_) | Error::BadStoreFormat(_) => {
            VaultError::Failed("an entry is damaged")
        }
        _ => VaultError::Failed("the keyring refused"),
    }
}

#[cfg(test)]
pub mod double;
