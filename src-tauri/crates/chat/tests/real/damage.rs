use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use chat::{Chat, ChatError};

use crate::common::{Device, shared, together};

/// Writes nonsense over the first pages of a database, and over what is not merged into it yet.
fn spoil(file: &Path) {
    let mut open = fs::File::options().write(true).open(file).unwrap();
    open.seek(SeekFrom::Start(0)).unwrap();
    open.write_all(&[0x5a; 16_384]).unwrap();
    for ending in ["-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(ending);
        let _ = fs::remove_file(name);
    }
}

fn aside(folder: &Path, start: &str) -> usize {
    fs::read_dir(folder)
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_rooms_are_set_aside_and_fetched_again_with_the_keys_kept() {
    let (mut one, other, room) = together(shared().await, 16, 17).await;
    let (_, mut items) = one.open(&room).await;
    other.open(&room).await;
    other.say(&room, "chiffré").await;
    items.message("chiffré").await;
    let device = one.chat.device_id();
    let session = one.chat.session().borrow().json.clone();
    one.chat.close().await;
    spoil(&one.store().join("matrix-sdk-state.sqlite3"));
    spoil(&one.store().join("matrix-sdk-event-cache.sqlite3"));

    one.chat = Chat::restore(&session, one.setup()).await.unwrap();
    one.until(|status| status.store_reset && status.sync == chat::Sync::Live)
        .await;
    assert_eq!(one.chat.device_id(), device);
    assert!(aside(&one.store(), "damaged-") >= 1);
    let (_, mut items) = one.open(&room).await;
    items.message("chiffré").await;
    other.say(&room, "après").await;
    items.message("après").await;
    one.chat.close().await;
    other.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_keys_put_the_whole_store_aside_and_ask_for_a_sign_in() {
    let workplace = shared().await;
    let one = Device::sign_in(workplace, 36).await;
    let session = one.chat.session().borrow().json.clone();
    one.chat.close().await;
    spoil(&one.store().join("matrix-sdk-crypto.sqlite3"));
    assert!(matches!(
        Chat::restore(&session, one.setup()).await,
        Err(ChatError::StoreCorrupt)
    ));
    assert_eq!(aside(one.store().parent().unwrap(), "chat.damaged-"), 1);
    // Once more: there is nothing to restore from, and nothing else is lost.
    assert!(matches!(
        Chat::restore(&session, one.setup()).await,
        Err(ChatError::StoreCorrupt)
    ));
    let uid = workplace.people()[36].uid.as_str();
    let again = Chat::sign_in_password(one.homeserver(), uid, "saint-elme", one.setup())
        .await
        .unwrap();
    assert_ne!(again.device_id(), "");
    again.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_of_the_keyring_reads_nothing_and_destroys_nothing() {
    let workplace = shared().await;
    let one = Device::sign_in(workplace, 37).await;
    let session = one.chat.session().borrow().json.clone();
    one.chat.close().await;
    let mut wrong = one.setup();
    wrong.store.key = [8; 32];
    assert!(matches!(
        Chat::restore(&session, wrong).await,
        Err(ChatError::StoreCorrupt)
    ));
    assert_eq!(aside(one.store().parent().unwrap(), "chat.damaged-"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_use_is_not_opened_twice() {
    let workplace = shared().await;
    let one = Device::sign_in(workplace, 38).await;
    let session = one.chat.session().borrow().json.clone();
    assert!(matches!(
        Chat::restore(&session, one.setup()).await,
        Err(ChatError::StoreLocked)
    ));
    one.chat.close().await;
    let again = Chat::restore(&session, one.setup()).await.unwrap();
    again.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_said_can_be_read_in_the_files_of_the_store() {
    let (one, other, room) = together(shared().await, 18, 19).await;
    let (_, mut items) = one.open(&room).await;
    other.open(&room).await;
    other.say(&room, "phrase-tres-reconnaissable").await;
    items.message("phrase-tres-reconnaissable").await;
    one.chat
        .send_bytes(
            &room,
            "nom-reconnaissable.txt",
            "text/plain",
            b"contenu-reconnaissable".repeat(100),
        )
        .await
        .unwrap();
    one.until(|status| status.queued == 0).await;
    one.chat.close().await;
    let mut files = 0;
    for entry in fs::read_dir(one.store()).unwrap().flatten() {
        let bytes = fs::read(entry.path()).unwrap_or_default();
        files += 1;
        for secret in ["reconnaissable", "phrase-tres", "Essai"] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {:?}", entry.file_name());
        }
    }
    assert!(files >= 4);
    other.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_may_miss_messages_is_fetched_again() {
    let (mut one, other, room) = together(shared().await, 11, 15).await;
    other.say(&room, "premier").await;
    let (_, mut items) = one.open(&room).await;
    items.message("premier").await;
    let session = one.chat.session().borrow().json.clone();
    one.chat.close().await;
    // What a full disk leaves behind: the mark, and a copy without the message.
    fs::write(one.store().join("incomplete"), []).unwrap();
    let copy =
        rusqlite::Connection::open(one.store().join("matrix-sdk-event-cache.sqlite3")).unwrap();
    assert!(copy.execute("DELETE FROM events", []).unwrap() > 0);
    drop(copy);

    one.chat = Chat::restore(&session, one.setup()).await.unwrap();
    one.until(|status| status.sync == chat::Sync::Live && !status.store_reset)
        .await;
    let (_, mut items) = one.open(&room).await;
    items.message("premier").await;
    assert!(!one.store().join("incomplete").exists());
    one.chat.close().await;
    other.chat.close().await;
}
