//! Ways to the server that break in the middle of a meeting: how soon it goes on, and whether anybody saw somebody leave.
//!
//! It happens in a network of its own, in which addresses can be changed: this same program is started there, with a
//! server of its own, and tells in one line of JSON what it measured.

#[path = "../../../../src-tauri/crates/media/tests/meetings/namespace.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shared with the tests"
)]
mod namespace;
#[path = "../../../../src-tauri/crates/media/tests/meetings/wire.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests")]
mod wire;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use media::{
    Access, Decoding, Encoding, Layer, Line, Network, Options, PatternSource, Session, Source,
    State, TrackKind, VideoTrack, read_counter,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use workplace::Workplace;

use crate::figures::{Row, percentile};
use crate::joins::milliseconds;
use namespace::{ip, unshared};
use wire::Wire;

const CUT: Duration = Duration::from_secs(5);
/// Two thirds of what is shown meanwhile: no picture from before the cut has such a number.
const MEANWHILE: u32 = 100;
/// Two seconds, in which a change of the network is over.
const PICTURES: usize = 60;
/// Between two cuts, so that none meets what the one before left.
const REST: Duration = Duration::from_millis(1500);
const PATIENCE: Duration = Duration::from_mins(1);
const ADDRESSES: [&str; 2] = ["10.77.0.2/32", "10.77.0.3/32"];

/// In milliseconds, one of each round.
#[derive(Default, Serialize, Deserialize)]
struct Times {
    websocket: Vec<f64>,
    path: Vec<f64>,
    address: Vec<f64>,
    /// How often the other one saw a leave, in the same order.
    leaves: [u32; 3],
}

pub async fn measure(rounds: usize) -> Result<Vec<Row>> {
    let mut inside = tokio::process::Command::from(unshared());
    inside
        .arg(std::env::current_exe()?)
        .args(["cuts", &rounds.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let output = inside.output().await.context("unshare is missing")?;
    ensure!(
        output.status.success(),
        "the cuts ended with {}",
        output.status
    );
    let times: Times = serde_json::from_slice(&output.stdout)?;
    let names = [
        "websocket cut → resumed",
        "path cut for 5 s → pictures both ways again",
        "address changed, with the hint: longest pause between two pictures",
    ];
    let all = [&times.websocket, &times.path, &times.address];
    let rows = names.iter().zip(all).zip(times.leaves);
    let rows = rows.flat_map(|((name, times), leaves)| {
        let row = |what: &str, value, unit| Row::alone(format!("{name}, {what}"), value, unit);
        [
            row(
                &format!("{rounds} rounds, p50"),
                percentile(times, 0.5),
                "ms",
            ),
            row("slowest", percentile(times, 1.0), "ms"),
            row("leaves that the other saw", f64::from(leaves), "leaves"),
        ]
    });
    Ok(rows.collect())
}

/// The part inside of the network of its own.
pub async fn run(rounds: usize) -> Result<()> {
    ip(&format!("addr add {} dev lo", ADDRESSES[0]));
    let place = Workplace::up(workplace::Options {
        identity: false,
        chat: false,
        meetings: true,
        ..workplace::Options::default()
    })
    .await?;
    let times = all(&place, rounds).await;
    place.down().await;
    println!("{}", serde_json::to_string(&times?)?);
    Ok(())
}

async fn all(place: &Workplace, rounds: usize) -> Result<Times> {
    let line = Line::default();
    let wire = Wire::to(&place.meetings()).await;
    // From whatever addresses there are; the other one stays where it is.
    let anywhere = Network {
        line: line.clone(),
        ..Network::default()
    };
    let camille = join(place, &wire.url, "camille", anywhere).await?;
    let noor = join(place, &place.meetings(), "noor", Network::loopback()).await?;
    let (_ours, _theirs) = (show(&camille).await?, show(&noor).await?);
    let (mut up, mut down) = (watch(&noor).await?, watch(&camille).await?);
    let leaves = count_leaves(&noor);
    let mut times = Times::default();
    for round in 0..rounds {
        tokio::time::sleep(REST).await;
        times.websocket.push(websocket(&camille, &wire).await?);
        times.leaves[0] += leaves.swap(0, Relaxed);
        tokio::time::sleep(REST).await;
        times.path.push(path(&line, &mut up, &mut down).await?);
        times.leaves[1] += leaves.swap(0, Relaxed);
        tokio::time::sleep(REST).await;
        let (before, after) = (ADDRESSES[round % 2], ADDRESSES[(round + 1) % 2]);
        ip(&format!("addr add {after} dev lo"));
        ip(&format!("addr del {before} dev lo"));
        camille.network_changed().await;
        let pauses = async { tokio::try_join!(longest(&mut up), longest(&mut down)) };
        let (up, down) = timeout(PATIENCE, pauses).await??;
        times.address.push(up.max(down));
        is_connected(&camille).await?;
        times.leaves[2] += leaves.swap(0, Relaxed);
    }
    camille.leave().await;
    noor.leave().await;
    Ok(times)
}

async fn websocket(session: &Session, wire: &Wire) -> Result<f64> {
    let mut state = session.state();
    state.mark_unchanged();
    let began = Instant::now();
    wire.cut();
    let resuming = state.wait_for(|state| *state == State::Resuming);
    timeout(PATIENCE, resuming).await??;
    is_connected(session).await?;
    Ok(milliseconds(began))
}

/// Until pictures that were made after most of the cut are there, both ways.
async fn path(line: &Line, up: &mut Decoding, down: &mut Decoding) -> Result<f64> {
    let (before_up, before_down) = (number(up).await?, number(down).await?);
    line.cut(true);
    tokio::time::sleep(CUT).await;
    line.cut(false);
    let began = Instant::now();
    let again = async |watched: &mut Decoding, before: u32| {
        while number(watched).await? < before + MEANWHILE {}
        anyhow::Ok(milliseconds(began))
    };
    let both = async { tokio::try_join!(again(up, before_up), again(down, before_down)) };
    let (up, down) = timeout(PATIENCE, both).await??;
    Ok(up.max(down))
}

async fn longest(watched: &mut Decoding) -> Result<f64> {
    let (mut longest, mut last) = (0.0_f64, Instant::now());
    for _ in 0..PICTURES {
        number(watched).await?;
        longest = longest.max(milliseconds(last));
        last = Instant::now();
    }
    Ok(longest)
}

/// The number of the next picture that has one.
async fn number(watched: &mut Decoding) -> Result<u32> {
    loop {
        let shown = timeout(PATIENCE, watched.next()).await?;
        let shown = shown.context("the track is gone")?;
        if let Some(number) = read_counter(&shown.picture) {
            return Ok(number);
        }
    }
}

async fn is_connected(session: &Session) -> Result<()> {
    let mut state = session.state();
    let settled = state.wait_for(|state| matches!(state, State::Connected | State::Ended(_)));
    let state = timeout(PATIENCE, settled).await??;
    ensure!(*state == State::Connected, "it ended: {state:?}");
    Ok(())
}

/// How often the only other one was not there, or was somebody new.
fn count_leaves(session: &Session) -> Arc<AtomicU32> {
    let leaves = Arc::<AtomicU32>::default();
    let counted = leaves.clone();
    let mut room = session.room();
    let mut known = room.borrow().participants.first().map(|p| p.sid.clone());
    tokio::spawn(async move {
        while room.changed().await.is_ok() {
            let now = room.borrow_and_update();
            let now = now.participants.first().map(|p| p.sid.clone());
            if known.is_some() && now != known {
                counted.fetch_add(1, Relaxed);
            }
            known = now;
        }
    });
    leaves
}

async fn join(place: &Workplace, url: &str, identity: &str, network: Network) -> Result<Session> {
    let access = Access {
        url: url.to_owned(),
        token: place.meeting_token("cuts", identity)?,
    };
    let options = Options {
        network,
        ..Options::default()
    };
    Ok(Session::join(access, options).await?.0)
}

async fn show(session: &Session) -> Result<Encoding> {
    let layer = Layer {
        width: 320,
        height: 180,
        bitrate: 200_000,
    };
    let track = VideoTrack::single(Source::Camera, layer);
    let publication = session.publish_video(track).await?;
    Ok(Encoding::start(
        PatternSource::new(320, 180, 30),
        publication,
    )?)
}

async fn watch(session: &Session) -> Result<Decoding> {
    let mut room = session.room();
    let room = room.wait_for(|room| room.participants.iter().any(|p| !p.tracks.is_empty()));
    let room = timeout(PATIENCE, room).await??.clone();
    let mut tracks = room.participants.iter().flat_map(|person| &person.tracks);
    let track = tracks.find(|track| track.kind == TrackKind::Video);
    let feed = session.video(&track.context("no picture")?.sid);
    Ok(Decoding::start(feed.context("the track is gone")?)?)
}
