//! Rooms, messages and the encryption behind them.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use base64::Engine as _;
use chat::{ChatStatus, Device, Draft, Item, ListDiff, Person, Room};
use futures_util::{StreamExt as _, stream::BoxStream};
use problem::{Problem, Retry};
use serde::Serialize;
use specta::Type;
use tauri::{AppHandle, State, ipc::Channel};
use tauri_plugin_dialog::DialogExt as _;
use tauri_plugin_opener::OpenerExt as _;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    folders::Folders, notifications::OpenRoom, session::Office, settings::Preferences, words,
};

type Answer<T> = Result<T, Problem>;
type TheOffice<'a> = State<'a, Arc<Office>>;

/// Largest picture that may be pasted, in bytes of base64. Files have no such limit: they are read from disk.
const LARGEST_PASTE: usize = 32 * 1024 * 1024;

/// Streams that the window subscribed to. Closing one, or the end of the session, ends its task.
#[derive(Default)]
pub struct Subscriptions {
    tasks: Mutex<HashMap<u32, AbortOnDropHandle<()>>>,
    last: AtomicU32,
}

impl Subscriptions {
    fn keep(&self, task: tokio::task::JoinHandle<()>) -> u32 {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.insert(id, task);
        id
    }

    fn insert(&self, id: u32, task: tokio::task::JoinHandle<()>) {
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, AbortOnDropHandle::new(task));
    }

    fn end(&self, id: u32) {
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }

    /// Ends all, when the account is left.
    pub fn clear(&self) {
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// Rooms and timelines are numbered apart.
#[derive(Default)]
pub struct RoomLists(Subscriptions);
#[derive(Default)]
pub struct Timelines(Subscriptions);

impl RoomLists {
    pub fn clear(&self) {
        self.0.clear();
    }
}
impl Timelines {
    pub fn clear(&self) {
        self.0.clear();
    }
}

/// A timeline that was opened; its items arrive on the channel.
#[derive(Clone, Debug, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct TimelineOpened {
    pub timeline: u32,
    pub room: Room,
    pub can_write: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Paged {
    pub reached_start: bool,
}

#[tauri::command]
#[specta::specta]
pub async fn chat_status(office: TheOffice<'_>) -> Answer<ChatStatus> {
    Ok(office.chat()?.status().borrow().clone())
}

#[tauri::command]
#[specta::specta]
pub async fn chat_rooms_subscribe(
    office: TheOffice<'_>,
    lists: State<'_, RoomLists>,
    diffs: Channel<Vec<ListDiff<Room>>>,
) -> Answer<u32> {
    let (rooms, updates) = office.chat()?.rooms();
    Ok(lists.0.keep(forward(rooms, updates, diffs)))
}

#[tauri::command]
#[specta::specta]
pub async fn chat_rooms_unsubscribe(lists: State<'_, RoomLists>, id: u32) -> Answer<()> {
    lists.0.end(id);
    Ok(())
}

#[tauri::command]
#[specta::specta]
pub async fn chat_timeline_open(
    office: TheOffice<'_>,
    timelines: State<'_, Timelines>,
    open: State<'_, OpenRoom>,
    room: String,
    diffs: Channel<Vec<ListDiff<Item>>>,
) -> Answer<TimelineOpened> {
    let opened = office.chat()?.open_timeline(&room).await?;
    open.set(Some(&room));
    timelines
        .0
        .insert(opened.id, forward(opened.items, opened.diffs, diffs));
    Ok(TimelineOpened {
        timeline: opened.id,
        room: opened.room,
        can_write: opened.can_write,
    })
}

#[tauri::command]
#[specta::specta]
pub async fn chat_timeline_back(office: TheOffice<'_>, timeline: u32) -> Answer<Paged> {
    Ok(Paged {
        reached_start: office.chat()?.timeline_back(timeline).await?,
    })
}

#[tauri::command]
#[specta::specta]
pub async fn chat_timeline_close(
    office: TheOffice<'_>,
    timelines: State<'_, Timelines>,
    open: State<'_, OpenRoom>,
    timeline: u32,
) -> Answer<()> {
    timelines.0.end(timeline);
    if timelines
        .0
        .tasks
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_empty()
    {
        open.set(None);
    }
    office.chat()?.timeline_close(timeline);
    Ok(())
}

#[tauri::command]
#[specta::specta]
pub async fn chat_send(office: TheOffice<'_>, room: String, draft: Draft) -> Answer<()> {
    Ok(office.chat()?.send(&room, draft).await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_send_files(
    office: TheOffice<'_>,
    room: String,
    paths: Vec<String>,
) -> Answer<()> {
    Ok(office
        .chat()?
        .send_files(&room, paths.into_iter().map(PathBuf::from).collect())
        .await?)
}

/// Lets the person choose files in the system's own dialog, then sends them.
#[tauri::command]
#[specta::specta]
pub async fn chat_pick_files(
    app: AppHandle,
    office: TheOffice<'_>,
    preferences: State<'_, Arc<Preferences>>,
    room: String,
) -> Answer<()> {
    let chat = office.chat()?;
    let (chosen, wait) = tokio::sync::oneshot::channel();
    app.dialog()
        .file()
        .set_title(words::words(&preferences.view()).send_files)
        .pick_files(move |files| {
            let _ = chosen.send(files);
        });
    let paths: Vec<PathBuf> = wait
        .await
        .ok()
        .flatten()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|file| file.into_path().ok())
        .collect();
    if paths.is_empty() {
        return Ok(());
    }
    Ok(chat.send_files(&room, paths).await?)
}

/// Sends a picture from the clipboard, or a file dropped on the window.
#[tauri::command]
#[specta::specta]
pub async fn chat_send_bytes(
    office: TheOffice<'_>,
    room: String,
    name: String,
    mime: String,
    base64: String,
) -> Answer<()> {
    if base64.len() > LARGEST_PASTE {
        let max = (LARGEST_PASTE / 4 * 3).to_string();
        return Err(Problem::new("chat.tooLarge", Retry::Permanent).with("max", max));
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(base64)
        .map_err(|_| Problem::new("chat.fileUnreadable", Retry::Permanent))?;
    Ok(office
        .chat()?
        .send_bytes(&room, &name, &mime, bytes)
        .await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_retry(office: TheOffice<'_>, room: String, item: String) -> Answer<()> {
    Ok(office.chat()?.retry(&room, &item).await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_discard(office: TheOffice<'_>, room: String, item: String) -> Answer<()> {
    Ok(office.chat()?.discard(&room, &item).await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_typing(office: TheOffice<'_>, room: String, typing: bool) -> Answer<()> {
    Ok(office.chat()?.typing(&room, typing).await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_mark_read(office: TheOffice<'_>, room: String) -> Answer<()> {
    Ok(office.chat()?.mark_read(&room).await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_favourite(office: TheOffice<'_>, room: String, on: bool) -> Answer<()> {
    Ok(office.chat()?.favourite(&room, on).await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_join(office: TheOffice<'_>, room: String) -> Answer<()> {
    Ok(office.chat()?.join(&room).await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_leave(office: TheOffice<'_>, room: String) -> Answer<()> {
    Ok(office.chat()?.leave(&room).await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_people_search(office: TheOffice<'_>, term: String) -> Answer<Vec<Person>> {
    Ok(office.chat()?.people_search(&term).await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_direct(office: TheOffice<'_>, user_id: String) -> Answer<String> {
    Ok(office.chat()?.direct(&user_id).await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_members(office: TheOffice<'_>, room: String) -> Answer<Vec<Person>> {
    Ok(office.chat()?.members(&room).await?)
}

/// Saves a file where the person says; `false` when they changed their mind.
#[tauri::command]
#[specta::specta]
pub async fn chat_media_save(
    app: AppHandle,
    office: TheOffice<'_>,
    preferences: State<'_, Arc<Preferences>>,
    media: String,
    name: String,
) -> Answer<bool> {
    let chat = office.chat()?;
    let (chosen, wait) = tokio::sync::oneshot::channel();
    app.dialog()
        .file()
        .set_title(words::words(&preferences.view()).save)
        .set_file_name(chat::safe_file_name(&name))
        .save_file(move |file| {
            let _ = chosen.send(file);
        });
    let Some(path) = wait
        .await
        .ok()
        .flatten()
        .and_then(|file| file.into_path().ok())
    else {
        return Ok(false);
    };
    chat.save_media(&media, &path).await?;
    Ok(true)
}

/// Opens a file with the system's program for it, from a private folder that is emptied at every start.
#[tauri::command]
#[specta::specta]
pub async fn chat_media_open(
    app: AppHandle,
    office: TheOffice<'_>,
    folders: State<'_, Folders>,
    media: String,
    name: String,
) -> Answer<()> {
    let failed = |_| Problem::new("chat.fileUnreadable", Retry::NeedsUser);
    let path = folders
        .opened_file(&chat::safe_file_name(&name))
        .map_err(failed)?;
    office.chat()?.save_media(&media, &path).await?;
    app.opener()
        .open_path(path.to_string_lossy(), None::<&str>)
        .map_err(|_| Problem::new("link.refused", Retry::NeedsUser))
}

#[tauri::command]
#[specta::specta]
pub async fn chat_recovery_create(office: TheOffice<'_>) -> Answer<String> {
    Ok(office.chat()?.recovery_create().await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_recovery_confirm(office: TheOffice<'_>) -> Answer<()> {
    Ok(office.chat()?.recovery_confirm().await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_recover(office: TheOffice<'_>, key: String) -> Answer<()> {
    Ok(office.chat()?.recover(&key).await?)
}

#[tauri::command]
#[specta::specta]
pub async fn chat_recovery_reset(office: TheOffice<'_>) -> Answer<String> {
    Ok(office.chat()?.recovery_reset().await?)
}

#[tauri::command]
#[specta::specta]
pub async fn devices(office: TheOffice<'_>) -> Answer<Vec<Device>> {
    Ok(office.chat()?.devices().await?)
}

/// Sends the first state as one `reset`, then every batch, until the window or the chat goes away.
fn forward<T>(
    first: Vec<T>,
    mut updates: BoxStream<'static, Vec<ListDiff<T>>>,
    window: Channel<Vec<ListDiff<T>>>,
) -> tokio::task::JoinHandle<()>
where
    T: Serialize + Send + Sync + Clone + 'static,
    ListDiff<T>: Serialize,
{
    tokio::spawn(async move {
        if window
            .send(vec![ListDiff::Reset { values: first }])
            .is_err()
        {
            return;
        }
        while let Some(batch) = updates.next().await {
            if window.send(batch).is_err() {
                return;
            }
        }
    })
}
