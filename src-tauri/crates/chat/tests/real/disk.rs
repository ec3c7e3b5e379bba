//! A disk that is full. The test runs itself again inside a mount namespace of its own, where its store lies on
//! a small disk in memory.

use std::io::Write;
use std::path::PathBuf;

use chat::{Chat, ChatError, Item, Sync};

use crate::common::{
    Device, PATIENCE, again, draft, is_sent, said, setup_trusting, shared, text_of,
};

const NAME: &str = "disk::a_full_disk_is_said_and_no_message_is_lost";
const SMALL: &str = "CORDEE_TEST_SMALL_DISK";
const SERVER: &str = "CORDEE_TEST_SERVER";
const AUTHORITY: &str = "CORDEE_TEST_AUTHORITY";
const PERSON: &str = "CORDEE_TEST_PERSON";
const OTHER: &str = "CORDEE_TEST_OTHER";
/// Messages that come while the disk is full.
const DURING: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_no_message_is_lost() {
    if let Some(folder) = std::env::var_os(SMALL) {
        return on_small_disk(PathBuf::from(folder)).await;
    }
    let workplace = shared().await;
    let folder = tempfile::tempdir().unwrap();
    let first = format!("mount -t tmpfs -o size=48m none \"${SMALL}\"");
    let given = [
        (SMALL, folder.path().into()),
        (SERVER, workplace.homeserver().into()),
        (AUTHORITY, workplace.authority_file().into()),
        (PERSON, workplace.people()[29].uid.clone().into()),
        (OTHER, workplace.people()[31].uid.clone().into()),
    ];
    again(NAME, "--mount", &first, given).await;
}

async fn on_small_disk(folder: PathBuf) {
    network::install_crypto_provider();
    let given = |name: &str| std::env::var(name).unwrap();
    let authority = std::fs::read_to_string(given(AUTHORITY)).unwrap();
    let enter = |person: &'static str, store: PathBuf| {
        let setup = setup_trusting(&authority, store);
        async move { Device::sign_in_with(&given(SERVER), &given(person), "saint-elme", setup).await }
    };
    let elsewhere = tempfile::tempdir_in("/tmp").unwrap();
    let mut one = enter(PERSON, folder.join("chat")).await;
    let other = enter(OTHER, elsewhere.path().join("chat")).await;
    let room = one
        .chat
        .create_room("Disque", &[other.chat.user_id()])
        .await
        .unwrap();
    other.room(|known| known.id == room && known.invited).await;
    other.chat.join(&room).await.expect("joined");
    one.room(|known| known.id == room && known.members == 2)
        .await;
    let (_, mut items) = one.open(&room).await;
    one.say(&room, "avant").await;
    items
        .one("sent", |item| {
            text_of(item).as_deref() == Some("avant") && is_sent(item)
        })
        .await;

    fill(&folder.join("filler"));
    // What comes while there is no room, some of it before anybody noticed.
    let (_, mut heard) = other.open(&room).await;
    for number in 0..DURING {
        other
            .say(&room, &format!("pendant {number} {}", "x".repeat(8_000)))
            .await;
    }
    heard
        .until("all sent", |list| {
            said(list, "pendant").len() == DURING
                && list.iter().filter(|item| is_sent(item)).count() > DURING
        })
        .await;
    let error = one.chat.send(&room, draft("plein")).await.unwrap_err();
    assert!(matches!(error, ChatError::DiskFull), "{error:?}");
    let full = one.until(|status| status.sync == Sync::Error).await;
    assert_eq!(full.problem.unwrap().code, "chat.diskFull");

    std::fs::remove_file(folder.join("filler")).unwrap();
    // Writes may have failed: chat asks to be restored, as the shell does then.
    let mut broken = one.chat.broken();
    tokio::time::timeout(PATIENCE, broken.wait_for(|broken| *broken))
        .await
        .expect("in time")
        .unwrap();
    let session = one.chat.session().borrow().json.clone();
    one.chat.close().await;
    one.chat = Chat::restore(&session, one.setup()).await.unwrap();
    let (_, mut items) = one.open(&room).await;
    one.until(|status| status.sync == Sync::Live).await;
    one.say(&room, "après").await;
    let all = |list: &[Item]| {
        [
            said(list, "avant").len(),
            said(list, "pendant").len(),
            said(list, "après").len(),
        ] == [1, DURING, 1]
    };
    items.until("all of them, once", all).await;
    one.until(|status| status.queued == 0).await;
    let session = one.chat.session().borrow().json.clone();
    one.chat.close().await;
    one.chat = Chat::restore(&session, one.setup())
        .await
        .expect("nothing is corrupted");
    one.until(|status| status.sync == Sync::Live && !status.store_reset)
        .await;
    let (_, mut items) = one.open(&room).await;
    items.until("all of them after a restart", all).await;
    one.chat.close().await;
    other.chat.close().await;
}

/// Writes until nothing more fits.
fn fill(path: &std::path::Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        let block = vec![0x5a; size];
        while file.write_all(&block).is_ok() {}
    }
}
