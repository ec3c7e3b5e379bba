//! The network of one device is gone, and nobody says so. The test runs itself again as that device inside a network
//! namespace of its own; a relay over a file leads to the server from there.

use std::path::Path;
use std::time::Duration;

use chat::{Item, Sync};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use url::Url;

use crate::common::{Device, again, is_sent, said, setup_trusting, shared, text_of, together};

const NAME: &str = "cut::a_network_lost_in_the_middle_of_forty_messages_loses_and_repeats_none";
const RELAY: &str = "CORDEE_TEST_CUT_RELAY";
const SERVER: &str = "CORDEE_TEST_CUT_SERVER";
const STORE: &str = "CORDEE_TEST_CUT_STORE";
const AUTHORITY: &str = "CORDEE_TEST_CUT_AUTHORITY";
const ROOM: &str = "CORDEE_TEST_CUT_ROOM";
const SESSION: &str = "CORDEE_TEST_CUT_SESSION";

/// How long no packet goes through.
const OUTAGE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_lost_in_the_middle_of_forty_messages_loses_and_repeats_none() {
    if let Ok(relay) = std::env::var(RELAY) {
        return write(Path::new(&relay)).await;
    }
    let workplace = shared().await;
    let (one, other, room) = together(workplace, 36, 37).await;
    let (_, mut theirs) = other.open(&room).await;
    one.say(&room, "bonjour").await;
    theirs.message("bonjour").await;
    let session = one.chat.session().borrow().json.clone();
    one.chat.close().await;

    let folder = tempfile::tempdir().unwrap();
    let relay = folder.path().join("relay");
    let listener = UnixListener::bind(&relay).unwrap();
    let server: Url = workplace.homeserver().parse().unwrap();
    let port = server.port().unwrap();
    let relaying = tokio::spawn(async move {
        while let Ok((mut inside, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut outside = TcpStream::connect(("127.0.0.1", port)).await?;
                copy_bidirectional(&mut inside, &mut outside).await
            });
        }
    });
    let given = [
        (RELAY, relay.into()),
        (SERVER, workplace.homeserver().into()),
        (STORE, one.store().into()),
        (AUTHORITY, workplace.authority_file().into()),
        (ROOM, room.into()),
        (SESSION, session.into()),
    ];
    again(NAME, "--net", "ip link set lo up", given).await;
    theirs
        .until("all forty", |list| said(list, "R ").len() >= 40)
        .await;
    let all: Vec<String> = (0..40).map(|number| format!("R {number:02}")).collect();
    assert_eq!(said(&theirs.list, "R "), all);
    relaying.abort();
    other.chat.close().await;
}

/// The device: says forty things, and its line is cut in the middle.
async fn write(relay: &Path) {
    network::install_crypto_provider();
    let given = |name: &str| std::env::var(name).unwrap();
    let server: Url = given(SERVER).parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", server.port().unwrap()))
        .await
        .unwrap();
    let relay = relay.to_owned();
    tokio::spawn(async move {
        while let Ok((mut inside, _)) = listener.accept().await {
            let relay = relay.clone();
            tokio::spawn(async move {
                let mut outside = UnixStream::connect(relay).await?;
                copy_bidirectional(&mut inside, &mut outside).await
            });
        }
    });
    let authority = std::fs::read_to_string(given(AUTHORITY)).unwrap();
    let setup = setup_trusting(&authority, given(STORE).into());
    let one = Device::restored(&server, &given(SESSION), setup).await;
    let room = given(ROOM);
    let (_, mut mine) = one.open(&room).await;
    for number in 0..40 {
        one.say(&room, &format!("R {number:02}")).await;
    }
    mine.until("some are sent", |list| sent(list) >= 8).await;
    // Nothing is refused, connections stay open. The system tells the shell of the interface, and the shell tells chat.
    network("down").await;
    one.chat.network_changed();
    one.until(|status| status.sync != Sync::Live).await;
    tokio::time::sleep(OUTAGE).await;
    assert!(sent(&mine.list) < 40, "the line was cut in the middle");
    network("up").await;
    one.chat.network_changed();
    mine.until("all are sent", |list| sent(list) >= 40).await;
    one.until(|status| status.queued == 0 && status.sync == Sync::Live)
        .await;
    one.chat.close().await;
}

/// The only network of the namespace goes, or comes back.
async fn network(state: &str) {
    let set = ["link", "set", "lo", state];
    let done = tokio::process::Command::new("ip").args(set).status().await;
    assert!(done.expect("ip(8) of iproute2").success());
}

fn sent(list: &[Item]) -> usize {
    let forty = |item: &&Item| text_of(item).is_some_and(|text| text.starts_with("R "));
    list.iter()
        .filter(forty)
        .filter(|item| is_sent(item))
        .count()
}
