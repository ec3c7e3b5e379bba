//! Pictures and files of messages, behind tokens.
//!
//! A view never holds a Matrix address or a key: it holds a token, and the address it may load is
//! `<base>/<token>?v=thumb`. Only PNG, JPEG, GIF and WebP ever come out of it, whatever the sender called them,
//! and never one with more pixels than [`MAX_PIXELS`].

pub(crate) mod header;

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use matrix_sdk::media::{MediaFormat, MediaRequestParameters, MediaThumbnailSettings};
use matrix_sdk::ruma::api::client::media::get_content_thumbnail::v3::Method;
use matrix_sdk::ruma::events::room::MediaSource;
use matrix_sdk::ruma::{MxcUri, OwnedMxcUri, UInt};
use rand::Rng;
use tokio::sync::Semaphore;

use crate::attach;
use crate::chat::Shared;
use crate::error::ChatError;
use crate::store::io_failure;

/// Most pixels of a picture that is decoded, by us or by the webview.
pub(crate) const MAX_PIXELS: u64 = 50_000_000;
/// Tokens remembered; the ones used longest ago are forgotten first.
const TOKENS: usize = 4_096;
/// Smaller copies kept in memory, in bytes.
const KEPT: usize = 24 * 1024 * 1024;
/// Pictures fetched or scaled at the same time.
const AT_ONCE: usize = 4;
/// Longest wait for one picture.
const PATIENCE: Duration = Duration::from_mins(1);
/// Side of a person's picture, in pixels.
const AVATAR: u32 = 96;

/// What of a medium is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Small enough for a conversation.
    Thumb,
    /// As it was sent.
    Full,
}

impl Variant {
    /// From the query of the address, `v=thumb` or `v=full`.
    pub fn from_query(query: &str) -> Self {
        if query.split('&').any(|pair| pair == "v=full") {
            Self::Full
        } else {
            Self::Thumb
        }
    }
}

/// A picture that may be shown.
#[derive(Clone)]
pub struct MediaBytes {
    pub bytes: Arc<[u8]>,
    pub mime: &'static str,
}

impl std::fmt::Debug for MediaBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaBytes")
            .field("mime", &self.mime)
            .field("len", &self.bytes.len())
            .finish()
    }
}

/// A file or picture of a message.
#[derive(Clone, Debug)]
pub(crate) struct Attachment {
    pub source: MediaSource,
    pub thumbnail: Option<MediaSource>,
}

#[derive(Clone, Debug)]
enum Entry {
    Avatar(OwnedMxcUri),
    Attachment(Attachment),
}

/// Tokens and what they stand for.
pub(crate) struct Registry {
    base: String,
    state: Mutex<State>,
    turns: Semaphore,
}

#[derive(Default)]
struct State {
    tokens: HashMap<String, String>,
    entries: HashMap<String, (u64, String, Entry)>,
    order: BTreeMap<u64, String>,
    clock: u64,
    small: HashMap<String, (u64, MediaBytes)>,
    small_size: usize,
}

impl Registry {
    pub(crate) fn new(base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            state: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// The address of a person's or room's picture.
    pub(crate) fn avatar(&self, picture: &MxcUri) -> String {
        let token = self.token(format!("a {picture}"), || Entry::Avatar(picture.to_owned()));
        self.address(&token)
    }

    /// The token of an attachment; the same one for the same attachment.
    pub(crate) fn attachment(&self, attachment: Attachment) -> String {
        let key = match &attachment.source {
            MediaSource::Plain(address) => format!("p {address}"),
            // Two messages may name one file with two keys.
            MediaSource::Encrypted(file) => format!("e {} {:?}", file.url, file.hashes),
        };
        self.token(key, || Entry::Attachment(attachment))
    }

    pub(crate) fn address(&self, token: &str) -> String {
        format!("{}/{token}?v=thumb", self.base)
    }

    fn token(&self, key: String, entry: impl FnOnce() -> Entry) -> String {
        let mut state = self.lock();
        if let Some(token) = state.tokens.get(&key).cloned() {
            state.touch(&token);
            return token;
        }
        let token = format!("{:032x}", rand::rng().random::<u128>());
        state.clock += 1;
        let at = state.clock;
        state.tokens.insert(key.clone(), token.clone());
        state.entries.insert(token.clone(), (at, key, entry()));
        state.order.insert(at, token.clone());
        while state.entries.len() > TOKENS {
            let Some((_, oldest)) = state.order.pop_first() else {
                break;
            };
            if let Some((_, key, _)) = state.entries.remove(&oldest) {
                state.tokens.remove(&key);
            }
        }
        token
    }

    fn entry(&self, token: &str) -> Option<Entry> {
        let mut state = self.lock();
        state.touch(token);
        state.entries.get(token).map(|(_, _, entry)| entry.clone())
    }

    fn small(&self, token: &str) -> Option<MediaBytes> {
        self.lock().small.get(token).map(|(_, bytes)| bytes.clone())
    }

    fn keep_small(&self, token: &str, bytes: &MediaBytes) {
        let mut state = self.lock();
        state.clock += 1;
        let at = state.clock;
        if let Some((_, before)) = state.small.insert(token.to_owned(), (at, bytes.clone())) {
            state.small_size -= before.bytes.len();
        }
        state.small_size += bytes.bytes.len();
        while state.small_size > KEPT {
            let Some(oldest) = state
                .small
                .iter()
                .min_by_key(|(_, (at, _))| *at)
                .map(|(token, _)| token.clone())
            else {
                break;
            };
            if let Some((_, gone)) = state.small.remove(&oldest) {
                state.small_size -= gone.bytes.len();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn touch(&mut self, token: &str) {
        self.clock += 1;
        let now = self.clock;
        if let Some((at, _, _)) = self.entries.get_mut(token) {
            self.order.remove(at);
            *at = now;
            self.order.insert(now, token.to_owned());
        }
    }
}

impl Shared {
    /// The picture behind a token. Anything that is not a picture, or too large to be shown, is not available.
    pub(crate) async fn media_bytes(
        &self,
        token: &str,
        variant: Variant,
    ) -> Result<MediaBytes, ChatError> {
        self.live()?;
        let entry = self.media.entry(token).ok_or(ChatError::MediaUnavailable)?;
        if variant == Variant::Thumb
            && let Some(small) = self.media.small(token)
        {
            return Ok(small);
        }
        let _turn = self
            .media
            .turns
            .acquire()
            .await
            .map_err(|_| ChatError::Closed)?;
        let bytes = tokio::time::timeout(PATIENCE, self.bytes_of(&entry, variant))
            .await
            .map_err(|_| ChatError::MediaUnavailable)??;
        let shown = tokio::task::spawn_blocking(move || showable(bytes, variant))
            .await
            .map_err(|_| ChatError::MediaUnavailable)??;
        if variant == Variant::Thumb {
            self.media.keep_small(token, &shown);
        }
        Ok(shown)
    }

    /// Saves an attachment as it was sent. The file appears under its name only when it is complete.
    pub(crate) async fn save_media(&self, token: &str, to: &Path) -> Result<(), ChatError> {
        self.live()?;
        let entry = self.media.entry(token).ok_or(ChatError::MediaUnavailable)?;
        let bytes = self.bytes_of(&entry, Variant::Full).await?;
        let to = to.to_path_buf();
        tokio::task::spawn_blocking(move || save(&bytes, &to))
            .await
            .map_err(|_| ChatError::Other("saving a file ended early"))?
    }

    async fn bytes_of(&self, entry: &Entry, variant: Variant) -> Result<Vec<u8>, ChatError> {
        match entry {
            Entry::Avatar(picture) => {
                let side = UInt::from(AVATAR);
                let small = MediaFormat::Thumbnail(MediaThumbnailSettings::with_method(
                    Method::Crop,
                    side,
                    side,
                ));
                self.fetch(MediaSource::Plain(picture.clone()), small).await
            }
            Entry::Attachment(attachment) => {
                match (variant, &attachment.thumbnail, &attachment.source) {
                    (Variant::Thumb, Some(thumbnail), _) => {
                        self.fetch(thumbnail.clone(), MediaFormat::File).await
                    }
                    (Variant::Thumb, None, MediaSource::Plain(_)) => {
                        let side = UInt::from(attach::THUMBNAIL);
                        let small = MediaFormat::Thumbnail(MediaThumbnailSettings::new(side, side));
                        match self.fetch(attachment.source.clone(), small).await {
                            Ok(bytes) => Ok(bytes),
                            Err(_) => {
                                self.fetch(attachment.source.clone(), MediaFormat::File)
                                    .await
                            }
                        }
                    }
                    _ => {
                        self.fetch(attachment.source.clone(), MediaFormat::File)
                            .await
                    }
                }
            }
        }
    }

    async fn fetch(&self, source: MediaSource, format: MediaFormat) -> Result<Vec<u8>, ChatError> {
        let request = MediaRequestParameters { source, format };
        self.client
            .media()
            .get_media_content(&request, true)
            .await
            .map_err(
                |error| match ChatError::of(&error, ChatError::MediaUnavailable) {
                    ChatError::Forbidden => ChatError::MediaUnavailable,
                    error => error,
                },
            )
    }
}

/// Checks that bytes are a picture that may be shown, and makes it small when asked.
fn showable(bytes: Vec<u8>, variant: Variant) -> Result<MediaBytes, ChatError> {
    let kind = header::kind(&bytes).ok_or(ChatError::MediaUnavailable)?;
    let (width, height) = header::size(kind, &bytes).ok_or(ChatError::MediaUnavailable)?;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ChatError::MediaUnavailable);
    }
    if variant == Variant::Thumb
        && width.max(height) > attach::THUMBNAIL
        && let Some(small) = attach::scaled(kind, &bytes)
    {
        return Ok(MediaBytes {
            bytes: small.bytes.into(),
            mime: small.mime,
        });
    }
    Ok(MediaBytes {
        bytes: bytes.into(),
        mime: kind.mime(),
    })
}

fn save(bytes: &[u8], to: &Path) -> Result<(), ChatError> {
    let folder = to
        .parent()
        .ok_or(ChatError::Other("a file needs a folder"))?;
    let mut name = std::ffi::OsString::from(".");
    name.push(
        to.file_name()
            .ok_or(ChatError::Other("a file needs a name"))?,
    );
    name.push(format!(".{:08x}.part", rand::rng().random::<u32>()));
    let part = folder.join(name);
    let written = std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(&part)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    if let Err(error) = written.and_then(|()| std::fs::rename(&part, to)) {
        let _ = std::fs::remove_file(&part);
        return Err(io_failure(&error));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn attachment(number: usize) -> Attachment {
        Attachment {
            source: MediaSource::Plain(format!("mxc://x.example/{number}").into()),
            thumbnail: None,
        }
    }

    #[test]
    fn one_attachment_has_one_token_and_four_thousand_are_remembered() {
        let registry = Registry::new("media://localhost/");
        let first = registry.attachment(attachment(0));
        assert_eq!(registry.attachment(attachment(0)), first);
        for number in 1..=TOKENS {
            registry.attachment(attachment(number));
            if number % 100 == 0 {
                assert!(registry.entry(&first).is_some(), "used ones stay");
            }
        }
        assert!(registry.entry(&first).is_some());
        let state = registry.lock();
        assert_eq!(
            (state.entries.len(), state.order.len(), state.tokens.len()),
            (TOKENS, TOKENS, TOKENS)
        );
    }

    #[test]
    fn what_is_no_picture_is_never_shown_as_one() {
        for bytes in [&b"<svg onload=alert(1)>"[..], b"<html>", b"%PDF-1.4", b""] {
            assert!(matches!(
                showable(bytes.to_vec(), Variant::Full),
                Err(ChatError::MediaUnavailable)
            ));
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        save(b"abc", &folder.path().join("a.txt")).unwrap();
        assert_eq!(std::fs::read(folder.path().join("a.txt")).unwrap(), b"abc");
        assert!(save(b"abc", &folder.path().join("missing/b.txt")).is_err());
        std::fs::create_dir(folder.path().join("c.txt")).unwrap();
        assert!(save(b"abc", &folder.path().join("c.txt")).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
