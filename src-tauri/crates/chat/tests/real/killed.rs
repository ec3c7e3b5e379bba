//! The program itself is killed. The test runs itself again as the program that writes.

use std::path::Path;
use std::process::Stdio;

use chat::Chat;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::common::{draft, said, setup_trusting, shared, together};

const NAME: &str = "killed::a_program_killed_while_it_sends_forty_messages_loses_and_repeats_none";
const STORE: &str = "CORDEE_TEST_STORE";
const AUTHORITY: &str = "CORDEE_TEST_STORE_AUTHORITY";
const ROOM: &str = "CORDEE_TEST_STORE_ROOM";
const SESSION: &str = "CORDEE_TEST_STORE_SESSION";
/// Said for each message that was accepted.
const ACCEPTED: &str = "accepted ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_killed_while_it_sends_forty_messages_loses_and_repeats_none() {
    if let Ok(store) = std::env::var(STORE) {
        return write(Path::new(&store)).await;
    }
    let workplace = shared().await;
    let (mut one, other, room) = together(workplace, 34, 35).await;
    let (_, mut theirs) = other.open(&room).await;
    one.say(&room, "bonjour").await;
    theirs.message("bonjour").await;
    let session = one.chat.session().borrow().json.clone();
    one.chat.close().await;

    let mut program = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(STORE, one.store())
        .env(AUTHORITY, workplace.authority_file())
        .env(ROOM, &room)
        .env(SESSION, &session)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    theirs
        .until("some messages", |list| said(list, "K ").len() >= 6)
        .await;
    program.kill().await.unwrap();
    let mut accepted = 0;
    while let Ok(Some(line)) = lines.next_line().await {
        accepted += usize::from(line.contains(ACCEPTED));
    }

    one.chat = Chat::restore(&session, one.setup())
        .await
        .expect("the store survives");
    one.until(|status| {
        status.sync == chat::Sync::Live && status.queued == 0 && !status.store_reset
    })
    .await;
    theirs
        .until("all that was accepted", |list| {
            said(list, "K ").len() >= accepted
        })
        .await;
    // The last one may have been accepted without time to say so.
    let all: Vec<String> = (0..said(&theirs.list, "K ").len())
        .map(|number| format!("K {number:02}"))
        .collect();
    assert_eq!(said(&theirs.list, "K "), all);
    assert!(all.len() <= accepted + 1, "{} for {accepted}", all.len());
    one.chat.close().await;
    other.chat.close().await;
}

/// The program that is killed.
async fn write(store: &Path) {
    network::install_crypto_provider();
    let given = |name: &str| std::env::var(name).unwrap();
    let authority = std::fs::read_to_string(given(AUTHORITY)).unwrap();
    let setup = setup_trusting(&authority, store.to_owned());
    let chat = Chat::restore(&given(SESSION), setup).await.unwrap();
    let room = given(ROOM);
    for number in 0..40 {
        chat.send(&room, draft(&format!("K {number:02}")))
            .await
            .unwrap();
        let line = format!("{ACCEPTED}{number}\n");
        std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
    }
    std::future::pending::<()>().await;
}
