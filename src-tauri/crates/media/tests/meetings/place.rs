//! A server for the tests, people on it, and ways to wait for what they see.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::media::{
    Access, Decoding, Encoding, Events, KeyRing, Layer, Network, Options, Participant,
    PatternSource, RemoteTrack, Session, Source, ToneSource, TrackKind, VideoPublication,
    VideoTrack, read_counter,
};
use tokio::sync::OnceCell;
use workplace::Workplace;

/// Longest wait for anything in a test; what it waits for usually comes within a second, on a busy machine later.
const DEADLINE: Duration = Duration::from_mins(1);

static SHARED: OnceCell<Workplace> = OnceCell::const_new();

/// One server for all tests that do not stop it.
pub async fn shared() -> &'static Workplace {
    SHARED.get_or_init(own).await
}

pub async fn own() -> Workplace {
    with(workplace::Options::default()).await
}

/// A server of one's own, with some of the options.
pub async fn with(options: workplace::Options) -> Workplace {
    let _ = tracing_subscriber::fmt()
        .with_env_filter("warn,media=info,workplace=info")
        .with_test_writer()
        .try_init();
    Workplace::up(workplace::Options {
        identity: false,
        chat: false,
        meetings: true,
        ..options
    })
    .await
    .unwrap()
}

/// Fails with `what` when it takes too long.
pub async fn soon<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(DEADLINE, waiting).await;
    waited.unwrap_or_else(|_| panic!("too long: {what}"))
}

pub fn options(keys: Option<Arc<KeyRing>>) -> Options {
    Options {
        network: Network::loopback(),
        keys,
        ..Options::default()
    }
}

pub struct Peer {
    pub session: Session,
    pub events: Events,
}

/// A room of this test's own.
pub fn room() -> String {
    format!("room-{:08x}", rand::random::<u32>())
}

pub async fn join(place: &Workplace, room: &str, identity: &str) -> Peer {
    join_with(place, &place.meetings(), room, identity, None).await
}

pub async fn join_with(
    place: &Workplace,
    url: &str,
    room: &str,
    identity: &str,
    keys: Option<Arc<KeyRing>>,
) -> Peer {
    let access = Access {
        url: url.to_owned(),
        token: place.meeting_token(room, identity).unwrap(),
    };
    let joining = Session::join(access, options(keys));
    let (session, events) = soon("join", joining).await.unwrap();
    Peer { session, events }
}

impl Peer {
    /// Publishes a pattern of 320×180 in one layer.
    pub async fn show_small_pattern(&self) -> (VideoPublication, Encoding) {
        let layer = Layer {
            width: 320,
            height: 180,
            bitrate: 200_000,
        };
        self.show(VideoTrack::single(Source::Camera, layer)).await
    }

    pub async fn show(&self, track: VideoTrack) -> (VideoPublication, Encoding) {
        let top = *track.layers.last().unwrap();
        let publication = soon("publish", self.session.publish_video(track)).await;
        let publication = publication.unwrap();
        let source = PatternSource::new(top.width, top.height, 30);
        let encoding = Encoding::start(source, publication.clone()).unwrap();
        (publication, encoding)
    }

    pub async fn sound(&self) -> ToneSource {
        let track = ::media::AudioTrack::microphone();
        let publication = soon("publish", self.session.publish_audio(track)).await;
        ToneSource::start(440.0, 0.5, publication.unwrap()).unwrap()
    }

    /// Waits until the other participant is as wanted.
    pub async fn sees(&self, what: &str, wanted: impl Fn(&Participant) -> bool) -> Participant {
        let mut room = self.session.room();
        let seen = room.wait_for(|room| room.participants.iter().any(&wanted));
        let room = soon(what, seen).await.unwrap().clone();
        room.participants
            .iter()
            .find(|p| wanted(p))
            .unwrap()
            .clone()
    }

    /// The track of this kind that somebody else publishes.
    pub async fn track(&self, kind: TrackKind) -> RemoteTrack {
        let has = |person: &Participant| person.tracks.iter().any(|track| track.kind == kind);
        let person = self.sees("a track", has).await;
        person.tracks.into_iter().find(|t| t.kind == kind).unwrap()
    }

    /// The pictures of the other participant.
    pub async fn watch(&self) -> Decoding {
        let track = self.track(TrackKind::Video).await;
        Decoding::start(self.session.video(&track.sid).unwrap()).unwrap()
    }
}

/// The numbers of the next `count` pictures. Each has one, and they only grow.
pub async fn numbers(decoding: &mut Decoding, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let shown = soon("a picture", decoding.next())
            .await
            .expect("the track is there");
        let (width, height) = (shown.picture.width(), shown.picture.height());
        if (width, height) == (8, 8) {
            // The server's own black picture, which it shows between two senders.
            continue;
        }
        let number = read_counter(&shown.picture)
            .unwrap_or_else(|| panic!("a picture of {width}×{height} has no number"));
        assert!(numbers.last().is_none_or(|last| *last < number));
        numbers.push(number);
    }
    numbers
}

/// The longest pause between two of the next `count` pictures.
pub async fn longest_pause(decoding: &mut Decoding, count: usize) -> Duration {
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    for _ in 0..count {
        numbers(decoding, 1).await;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    longest
}
