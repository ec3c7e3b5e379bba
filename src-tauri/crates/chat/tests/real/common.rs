//! People at their screens.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use chat::{
    Body, Chat, ChatStatus, Draft, Item, ListDiff, Node, OpenTimeline, Room, Sending, Setup, Store,
};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use network::{Clients, Trust};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use url::Url;
use workplace::{Options, Workplace};

/// Longest wait for anything; the machine may be busy.
pub const PATIENCE: Duration = Duration::from_mins(1);

static SHARED: OnceCell<Workplace> = OnceCell::const_new();

/// The workplace of all tests that leave it running.
pub async fn shared() -> &'static Workplace {
    SHARED.get_or_init(own).await
}

/// A workplace of one's own, to be broken.
pub async fn own() -> Workplace {
    network::install_crypto_provider();
    Workplace::up(Options {
        identity: false,
        ..Options::default()
    })
    .await
    .expect("the workplace comes up")
}

/// Runs one test of this program again in a namespace of its own, after a line of shell.
pub async fn again(
    name: &str,
    namespace: &str,
    first: &str,
    given: impl IntoIterator<Item = (&'static str, OsString)>,
) {
    let script = format!("{first} && exec \"$0\" --exact \"$1\" --nocapture");
    let run = tokio::process::Command::new("unshare")
        .args(["--user", "--map-root-user", namespace, "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .envs(given)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status();
    let status = tokio::time::timeout(4 * PATIENCE, run)
        .await
        .expect("in time")
        .expect("unshare(1) of util-linux");
    assert!(status.success(), "{name}, {namespace}: {status}");
}

/// One person's device.
pub struct Device {
    pub chat: Chat,
    /// Kept as long as the device.
    folder: Option<TempDir>,
    setup: Setup,
    homeserver: Url,
}

pub fn setup(workplace: &Workplace, folder: PathBuf) -> Setup {
    setup_trusting(workplace.authority(), folder)
}

pub fn setup_trusting(authority: &str, folder: PathBuf) -> Setup {
    let trust = Trust::from_pem(authority.as_bytes()).expect("an authority");
    Setup {
        store: Store {
            folder,
            key: [7; 32],
        },
        http: Clients::new(&trust).expect("clients").matrix(),
        media_base: "media://localhost".to_owned(),
        device_name: "Test".to_owned(),
        begin: tokio::sync::watch::Sender::new(true).subscribe(),
    }
}

impl Device {
    /// `number` is the place in the workplace's list: each test takes people of its own.
    pub async fn sign_in(workplace: &Workplace, number: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("chat");
        let person = &workplace.people()[number];
        let setup = setup(workplace, store);
        let mut device = Self::sign_in_with(
            &workplace.homeserver(),
            &person.uid,
            &person.password,
            setup,
        )
        .await;
        device.folder = Some(folder);
        device
    }

    pub async fn sign_in_with(homeserver: &str, uid: &str, password: &str, setup: Setup) -> Self {
        let homeserver: Url = homeserver.parse().unwrap();
        let chat = Chat::sign_in_password(&homeserver, uid, password, setup.clone())
            .await
            .expect("signed in");
        let device = Self {
            chat,
            folder: None,
            setup,
            homeserver,
        };
        device
            .until(|status| status.sync == chat::Sync::Live && status.all_rooms)
            .await;
        device
    }

    pub async fn restored(homeserver: &Url, session: &str, setup: Setup) -> Self {
        let device = Self {
            chat: Chat::restore(session, setup.clone())
                .await
                .expect("restored"),
            folder: None,
            setup,
            homeserver: homeserver.clone(),
        };
        device.until(|status| status.sync == chat::Sync::Live).await;
        device
    }

    pub fn store(&self) -> PathBuf {
        self.setup.store.folder.clone()
    }

    pub fn homeserver(&self) -> &Url {
        &self.homeserver
    }

    pub fn setup(&self) -> Setup {
        self.setup.clone()
    }

    pub async fn until(&self, wanted: impl Fn(&ChatStatus) -> bool) -> ChatStatus {
        let mut status = self.chat.status();
        let found = tokio::time::timeout(PATIENCE, status.wait_for(wanted)).await;
        let Ok(status) = found else {
            panic!("the status stays {:?}", *self.chat.status().borrow());
        };
        status.unwrap().clone()
    }

    pub fn rooms(&self) -> Watched<Room> {
        Watched::rooms(&self.chat)
    }

    /// Waits until a room is there, as wanted.
    pub async fn room(&self, wanted: impl Fn(&Room) -> bool) -> Room {
        self.rooms().one("a room", wanted).await
    }

    pub async fn open(&self, room: &str) -> (OpenRoom, Watched<Item>) {
        self.room(|known| known.id == room).await;
        let OpenTimeline {
            room,
            can_write,
            items,
            diffs,
            ..
        } = self.chat.open_timeline(room).await.expect("opened");
        (
            OpenRoom { room, can_write },
            Watched {
                list: items,
                changes: diffs,
            },
        )
    }

    pub async fn say(&self, room: &str, text: &str) {
        self.chat.send(room, draft(text)).await.expect("queued");
    }
}

pub struct OpenRoom {
    pub room: Room,
    pub can_write: bool,
}

pub fn draft(text: &str) -> Draft {
    Draft {
        text: text.to_owned(),
        reply_to: None,
        mentions: Vec::new(),
    }
}

/// Two people in one new encrypted room.
pub async fn together(workplace: &Workplace, one: usize, other: usize) -> (Device, Device, String) {
    let (one, other) = tokio::join!(
        Device::sign_in(workplace, one),
        Device::sign_in(workplace, other)
    );
    let room = one
        .chat
        .create_room("Essai", &[other.chat.user_id()])
        .await
        .expect("created");
    other.room(|known| known.id == room && known.invited).await;
    other.chat.join(&room).await.expect("joined");
    other.room(|known| known.id == room && !known.invited).await;
    one.room(|known| known.id == room && known.members == 2)
        .await;
    (one, other, room)
}

/// A list as a view holds it.
pub struct Watched<T> {
    pub list: Vec<T>,
    changes: BoxStream<'static, Vec<ListDiff<T>>>,
}

impl<T: Clone + std::fmt::Debug> Watched<T> {
    /// Applies changes until the whole list is as wanted.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&[T]) -> bool) {
        let outcome = tokio::time::timeout(PATIENCE, async {
            while !wanted(&self.list) {
                for change in self.changes.next().await.expect("the list goes on") {
                    change.apply(&mut self.list);
                }
            }
        })
        .await;
        assert!(
            outcome.is_ok(),
            "no {what} in {}",
            squeezed(&format!("{:?}", self.list))
        );
    }

    pub async fn one(&mut self, what: &str, wanted: impl Fn(&T) -> bool) -> T {
        self.until(what, |list| list.iter().any(&wanted)).await;
        self.list
            .iter()
            .find(|item| wanted(item))
            .cloned()
            .expect("found")
    }
}

impl Watched<Room> {
    pub fn rooms(chat: &Chat) -> Self {
        let (list, changes) = chat.rooms();
        Self { list, changes }
    }
}

impl Watched<Item> {
    pub async fn message(&mut self, wanted: &str) -> Item {
        self.one(wanted, |item| text_of(item).as_deref() == Some(wanted))
            .await
    }
}

pub fn body_of(item: &Item) -> Option<&Body> {
    match item {
        Item::Message { body, .. } => Some(body),
        _ => None,
    }
}

/// The words of a message.
pub fn text_of(item: &Item) -> Option<String> {
    match item {
        Item::Message {
            body: Body::Text { nodes, .. },
            ..
        } => Some(words(nodes)),
        _ => None,
    }
}

/// The texts that start so, in order.
pub fn said(list: &[Item], start: &str) -> Vec<String> {
    list.iter()
        .filter_map(text_of)
        .filter(|text| text.starts_with(start))
        .collect()
}

pub fn words(nodes: &[Node]) -> String {
    nodes
        .iter()
        .map(|node| match node {
            Node::Text { text } => text.clone(),
            Node::Break => "\n".to_owned(),
            Node::Element { children, .. } | Node::Link { children, .. } => words(children),
            Node::Mention { name, .. } => format!("@{name}"),
        })
        .collect()
}

pub fn is_sent(item: &Item) -> bool {
    matches!(
        item,
        Item::Message {
            sending: Sending::Sent,
            event_id: Some(_),
            ..
        }
    )
}

pub fn event_id(item: &Item) -> String {
    match item {
        Item::Message {
            event_id: Some(id), ..
        } => id.clone(),
        other => panic!("no event id in {other:?}"),
    }
}

/// The end of a list says most, and the same letter a thousand times says nothing.
fn squeezed(list: &str) -> String {
    let mut shown: Vec<char> = list.chars().collect();
    shown.dedup();
    shown[shown.len().saturating_sub(8_000)..].iter().collect()
}
