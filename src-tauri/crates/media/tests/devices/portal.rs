//! A desktop's portal whose person answers at once: it shares what it is told to, or refuses. What comes through it is
//! a real stream of `PipeWire`.

// In what the macro makes.
#![allow(clippy::used_underscore_binding)]

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use ::media::{CaptureError, open_screen, read_counter};
use zbus::message::Header;
use zbus::zvariant::{ObjectPath, OwnedFd, OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, interface};

use crate::stage::{Stage, on_stage, until};

const PLACE: &str = "/org/freedesktop/portal/desktop";
const AGREES: u32 = 0;
const REFUSES: u32 = 1;

type Options = HashMap<String, OwnedValue>;

struct Portal {
    node: u32,
    answer: u32,
    closed: Arc<AtomicU32>,
}

struct Sharing(Arc<AtomicU32>);

#[interface(name = "org.freedesktop.portal.Session")]
impl Sharing {
    fn close(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// Answers as portals do: by a signal of an object whose name the caller knows beforehand.
async fn respond(
    bus: &Connection,
    header: &Header<'_>,
    options: &Options,
    code: u32,
    results: HashMap<&str, Value<'_>>,
) -> OwnedObjectPath {
    let request = object("request", header, options, "handle_token");
    let signal = ("org.freedesktop.portal.Request", "Response");
    bus.emit_signal(
        header.sender().cloned(),
        &request,
        signal.0,
        signal.1,
        &(code, results),
    )
    .await
    .unwrap();
    request
}

fn object(kind: &str, header: &Header<'_>, options: &Options, token: &str) -> OwnedObjectPath {
    let sender = header
        .sender()
        .unwrap()
        .trim_start_matches(':')
        .replace('.', "_");
    let token: &str = options[token].downcast_ref().unwrap();
    format!("{PLACE}/{kind}/{sender}/{token}")
        .try_into()
        .unwrap()
}

#[interface(name = "org.freedesktop.portal.ScreenCast")]
impl Portal {
    async fn create_session(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> OwnedObjectPath {
        let session = object("session", &header, &options, "session_handle_token");
        let sharing = Sharing(self.closed.clone());
        bus.object_server().at(&session, sharing).await.unwrap();
        let results = HashMap::from([("session_handle", Value::from(session.as_str()))]);
        respond(bus, &header, &options, AGREES, results).await
    }

    async fn select_sources(
        &self,
        _session: ObjectPath<'_>,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> OwnedObjectPath {
        respond(bus, &header, &options, AGREES, HashMap::new()).await
    }

    async fn start(
        &self,
        _session: ObjectPath<'_>,
        _parent: &str,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> OwnedObjectPath {
        let size: HashMap<&str, Value<'_>> = HashMap::from([("size", Value::from((640, 360)))]);
        let results = HashMap::from([("streams", Value::from(vec![(self.node, size)]))]);
        respond(bus, &header, &options, self.answer, results).await
    }

    fn open_pipe_wire_remote(&self, _session: ObjectPath<'_>, _options: Options) -> OwnedFd {
        let folder = std::env::var("XDG_RUNTIME_DIR").unwrap();
        let server = UnixStream::connect(format!("{folder}/pipewire-0")).unwrap();
        std::os::fd::OwnedFd::from(server).into()
    }

    #[zbus(property, name = "version")]
    fn version(&self) -> u32 {
        4
    }

    #[zbus(property)]
    fn available_source_types(&self) -> u32 {
        3
    }

    #[zbus(property)]
    fn available_cursor_modes(&self) -> u32 {
        7
    }
}

async fn portal(node: u32, answer: u32) -> (Connection, Arc<AtomicU32>) {
    let closed = Arc::<AtomicU32>::default();
    let portal = Portal {
        node,
        answer,
        closed: closed.clone(),
    };
    let bus = zbus::connection::Builder::session()
        .unwrap()
        .name("org.freedesktop.portal.Desktop")
        .unwrap()
        .serve_at(PLACE, portal)
        .unwrap()
        .build()
        .await
        .unwrap();
    (bus, closed)
}

#[test]
fn a_screen_that_the_person_chose_is_shown_until_it_is_closed() {
    on_stage(async |stage: Stage| {
        let screen = stage.camera("screen", 640, 360);
        let (_bus, closed) = portal(screen.node, AGREES).await;
        let mut source = open_screen("portal", 30).await.unwrap();
        let mut numbers = Vec::new();
        for _ in 0..100 {
            let picture = source.next().unwrap();
            numbers.extend(picture.map(|picture| read_counter(&picture).expect("a number")));
            if numbers.len() == 10 {
                break;
            }
        }
        assert_eq!(numbers.len(), 10, "pictures");
        assert!(
            numbers.windows(2).all(|pair| pair[0] < pair[1]),
            "{numbers:?}"
        );
        assert_eq!(closed.load(Relaxed), 0);
        drop(source);
        until("the desktop knows", || closed.load(Relaxed) == 1).await;
    });
}

#[test]
fn a_person_who_refuses_shares_nothing() {
    on_stage(async |_: Stage| {
        let (_bus, _) = portal(0, REFUSES).await;
        let opened = open_screen("portal", 30).await.err();
        assert_eq!(opened, Some(CaptureError::Refused));
    });
}

#[test]
fn a_desktop_without_a_portal_says_so() {
    on_stage(async |_: Stage| {
        let opened = open_screen("portal", 30).await.err();
        assert_eq!(opened, Some(CaptureError::NoServer));
    });
}
