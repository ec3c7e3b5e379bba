//! A disk that is full. The test runs itself again inside a mount namespace of its own, where its store lies on
//! a small disk in memory.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use chat::{Chat, ChatError, Item, Sync};

use crate::common::{Device, PATIENCE, draft, is_sent, setup_trusting, shared, text_of};

const NAME: &str = "disk::a_full_disk_is_said_and_nothing_that_was_there_is_lost";
const SMALL: &str = "CORDEE_TEST_SMALL_DISK";
const SERVER: &str = "CORDEE_TEST_SERVER";
const AUTHORITY: &str = "CORDEE_TEST_AUTHORITY";
const PERSON: &str = "CORDEE_TEST_PERSON";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_nothing_that_was_there_is_lost() {
    if let Some(folder) = std::env::var_os(SMALL) {
        return on_small_disk(PathBuf::from(folder)).await;
    }
    let workplace = shared().await;
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=24m none \"${SMALL}\" && exec \"$0\" --exact \"$1\" --nocapture"
    );
    let run = tokio::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(SMALL, folder.path())
        .env(SERVER, workplace.homeserver())
        .env(AUTHORITY, workplace.authority_file())
        .env(PERSON, &workplace.people()[24].uid)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status();
    let status = tokio::time::timeout(4 * PATIENCE, run)
        .await
        .expect("in time")
        .expect("unshare(1) of util-linux");
    assert!(status.success(), "on the small disk: {status}");
}

async fn on_small_disk(folder: PathBuf) {
    network::install_crypto_provider();
    let given = |name: &str| std::env::var(name).unwrap();
    let authority = std::fs::read_to_string(given(AUTHORITY)).unwrap();
    let setup = setup_trusting(&authority, folder.join("chat"));
    let mut one = Device::sign_in_with(&given(SERVER), &given(PERSON), "saint-elme", setup).await;
    let room = one.chat.create_room("Disque", &[]).await.unwrap();
    let (_, mut items) = one.open(&room).await;
    one.say(&room, "avant").await;
    items
        .one("sent", |item| {
            text_of(item).as_deref() == Some("avant") && is_sent(item)
        })
        .await;

    fill(&folder.join("filler"));
    let mut refused = None;
    // The last pages of the logs still have room for a few.
    for number in 0..200 {
        if let Err(error) = one
            .chat
            .send(
                &room,
                draft(&format!("plein {number} {}", "x".repeat(8_000))),
            )
            .await
        {
            refused = Some((number, error));
            break;
        }
    }
    let (accepted, error) = refused.expect("a full disk is noticed");
    assert!(matches!(error, ChatError::DiskFull), "{error:?}");

    std::fs::remove_file(folder.join("filler")).unwrap();
    one.chat.wake();
    one.say(&room, "après").await;
    one.until(|status| status.sync == Sync::Live && status.queued == 0)
        .await;
    let session = one.chat.session().borrow().json.clone();
    one.chat.close().await;
    one.chat = Chat::restore(&session, one.setup())
        .await
        .expect("nothing is corrupted");
    one.until(|status| status.sync == Sync::Live && !status.store_reset)
        .await;
    let (_, mut items) = one.open(&room).await;
    items
        .one("after", |item| {
            text_of(item).as_deref() == Some("après") && is_sent(item)
        })
        .await;
    let said = |start: &str, list: &[Item]| {
        list.iter()
            .filter_map(text_of)
            .filter(|text| text.starts_with(start))
            .count()
    };
    assert_eq!(
        (
            said("avant", &items.list),
            said("plein", &items.list),
            said("après", &items.list)
        ),
        (1, accepted, 1)
    );
    one.chat.close().await;
}

/// Writes until nothing more fits.
fn fill(path: &std::path::Path) {
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        let block = vec![0x5a; size];
        while file.write_all(&block).is_ok() {}
    }
}
