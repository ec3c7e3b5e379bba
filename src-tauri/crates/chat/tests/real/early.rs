use std::process::Stdio;

use chat::{Chat, Setup};
use tokio::io::{AsyncBufReadExt, BufReader};
use url::Url;
use workplace::Workplace;

use crate::common::{Device, PATIENCE, Watched, setup, setup_trusting, shared};

/// Each ends at another moment of the first exchange: when so many rooms have a last message.
const TOLD: [usize; 6] = [0, 1, 2, 4, 7, 10];
/// Who is in more rooms than anybody else.
const PERSON: usize = 0;
const KILLED: &str =
    "early::a_program_killed_while_its_list_came_has_every_last_message_at_the_next_start";
const STORE: &str = "CORDEE_TEST_EARLY_STORE";
const AUTHORITY: &str = "CORDEE_TEST_EARLY_AUTHORITY";
const HOMESERVER: &str = "CORDEE_TEST_EARLY_HOMESERVER";
const UID: &str = "CORDEE_TEST_EARLY_UID";
const PASSWORD: &str = "CORDEE_TEST_EARLY_PASSWORD";
const TELL: &str = "CORDEE_TEST_EARLY_TOLD";
const SESSION: &str = "session ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_closed_while_it_came_has_every_last_message_at_the_next_start() {
    let workplace = shared().await;
    let person = &workplace.people()[PERSON];
    let homeserver: Url = workplace.homeserver().parse().unwrap();
    for told in TOLD {
        let folder = tempfile::tempdir().unwrap();
        let setup = setup(workplace, folder.path().join("chat"));
        let chat = begun(
            &homeserver,
            &person.uid,
            &person.password,
            setup.clone(),
            told,
        )
        .await;
        let session = chat.session().borrow().json.clone();
        chat.close().await;
        drop(chat);
        look_again(&homeserver, &session, setup).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_killed_while_its_list_came_has_every_last_message_at_the_next_start() {
    if std::env::var_os(STORE).is_some() {
        return be_killed().await;
    }
    let workplace = shared().await;
    for told in TOLD {
        kill_when(workplace, told).await;
    }
}

async fn kill_when(workplace: &Workplace, told: usize) {
    let person = &workplace.people()[PERSON];
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("chat");
    let mut program = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", KILLED, "--nocapture"])
        .env(STORE, &store)
        .env(AUTHORITY, workplace.authority_file())
        .env(HOMESERVER, workplace.homeserver())
        .env(UID, &person.uid)
        .env(PASSWORD, &person.password)
        .env(TELL, told.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let session = tokio::time::timeout(PATIENCE, async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the program lives");
            if let Some((_, session)) = line.split_once(SESSION) {
                return session.to_owned();
            }
        }
    });
    let session = session.await.expect("in time");
    program.kill().await.unwrap();
    let homeserver = workplace.homeserver().parse().unwrap();
    look_again(&homeserver, &session, setup(workplace, store)).await;
}

/// The program that is killed: it says when.
async fn be_killed() {
    network::install_crypto_provider();
    let given = |name: &str| std::env::var(name).unwrap();
    let authority = std::fs::read_to_string(given(AUTHORITY)).unwrap();
    let setup = setup_trusting(&authority, given(STORE).into());
    let homeserver = given(HOMESERVER).parse().unwrap();
    let told = given(TELL).parse().unwrap();
    let chat = begun(&homeserver, &given(UID), &given(PASSWORD), setup, told).await;
    let line = format!("{SESSION}{}\n", chat.session().borrow().json);
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
    std::future::pending::<()>().await;
}

/// Signed in, and so many rooms have a last message.
async fn begun(homeserver: &Url, uid: &str, password: &str, setup: Setup, told: usize) -> Chat {
    let chat = Chat::sign_in_password(homeserver, uid, password, setup)
        .await
        .expect("signed in");
    Watched::rooms(&chat)
        .until("room with a last message", |list| {
            let now = list.iter().filter(|room| room.last.is_some()).count();
            !list.is_empty() && now >= told
        })
        .await;
    chat
}

async fn look_again(homeserver: &Url, session: &str, setup: Setup) {
    let again = Device::restored(homeserver, session, setup).await;
    again.until(|status| status.all_rooms).await;
    again
        .rooms()
        .until("last message in each room", |list| {
            list.iter().all(|room| room.last.is_some())
        })
        .await;
    again.chat.close().await;
}
