//! From the wish to join until the first picture of somebody else is decoded; and joins on a line that loses packets.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use media::{
    Access, Decoding, Encoding, Line, Network, Options, PatternSource, Session, TrackKind,
    VideoTrack,
};
use serde_json::json;
use workplace::Workplace;

use crate::browser::Browser;
use crate::figures::{Row, percentile};

const PEER: &str = "Chromium";
/// The server asks a sender for a key frame at most once a second, however many join.
const APART: Duration = Duration::from_millis(1500);

pub async fn measure(place: &Workplace, joins: usize) -> Result<Vec<Row>> {
    let room = format!("joins-{:08x}", rand::random::<u32>());
    let host = join(place, &room, "host", Line::default()).await?;
    let camera = host.publish_video(VideoTrack::camera()).await?;
    let _pictures = Encoding::start(PatternSource::new(1280, 720, 30), camera)?;
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    let mut browser = Browser::open().await?;
    for number in 0..joins {
        tokio::time::sleep(APART).await;
        let began = Instant::now();
        let session = join(place, &room, &format!("ours-{number}"), Line::default()).await?;
        first_picture(&session).await?;
        ours.push(milliseconds(began));
        session.leave().await;
        tokio::time::sleep(APART).await;
        let with = json!({
            "url": place.meetings(),
            "token": place.meeting_token(&room, &format!("browser-{number}"))?,
        });
        let took = browser.call("firstPicture", with).await?;
        peers.push(took.as_f64().context("no time")?);
    }
    let lossy_room = format!("lossy-{:08x}", rand::random::<u32>());
    let mut lossy = Vec::new();
    for number in 0..joins {
        let began = Instant::now();
        let identity = format!("lossy-{number}");
        let session = join(place, &lossy_room, &identity, Line::losing(0.2)).await?;
        lossy.push(milliseconds(began));
        session.leave().await;
    }
    host.leave().await;
    let beside = |name: &str, share: f64| {
        let peer = Some(percentile(&peers, share));
        let measure = format!("connect → first decoded frame, {joins} joins, {name}");
        Row::beside(measure, percentile(&ours, share), peer, PEER, "ms")
    };
    Ok(vec![
        beside("p50", 0.5),
        beside("p95", 0.95),
        Row::alone(
            format!("{joins} joins at 20 % loss each way, p50"),
            percentile(&lossy, 0.5),
            "ms",
        ),
        Row::alone("the slowest of them", percentile(&lossy, 1.0), "ms"),
    ])
}

pub async fn join(place: &Workplace, room: &str, identity: &str, line: Line) -> Result<Session> {
    let access = Access {
        url: place.meetings(),
        token: place.meeting_token(room, identity)?,
    };
    let options = Options {
        network: Network {
            line,
            ..Network::loopback()
        },
        ..Options::default()
    };
    Ok(Session::join(access, options).await?.0)
}

async fn first_picture(session: &Session) -> Result<()> {
    let mut room = session.room();
    let room = room
        .wait_for(|room| room.participants.iter().any(|p| !p.tracks.is_empty()))
        .await?
        .clone();
    let tracks = room.participants.iter().flat_map(|person| &person.tracks);
    let mut videos = tracks.filter(|track| track.kind == TrackKind::Video);
    let track = videos.next().context("no picture is published")?;
    let feed = session.video(&track.sid).context("the track is gone")?;
    Decoding::start(feed)?.next().await.context("no picture")?;
    Ok(())
}

pub fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
