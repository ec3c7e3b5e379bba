//! A meeting of fifty: nine publish pictures in three layers and sound, forty look at all of it small, and the last
//! one shows nine tiles. First ours sits on that chair, then the browser: together they would cost this machine more
//! than it has.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use workplace::Workplace;

use crate::browser::Browser;
use crate::figures::{Row, megabytes};
use crate::processes::{memory, overflows, processor};
use crate::tiles::part;

const PEER: &str = "Chromium";
const TILES: usize = 9;
/// The layer in the middle.
const WIDTH: u32 = 640;
/// Who comes with the name of somebody who is there takes the chair.
const LAST: &str = "last";
/// Until layers have settled.
const WARM_UP: Duration = Duration::from_secs(12);

/// What one of the two costs and sees.
struct Seat {
    /// Shares of a core.
    processor: f64,
    server: f64,
    load: f64,
    memory: u64,
    /// Pictures per second, of each tile.
    rates: Vec<f64>,
    overflows: u64,
}

/// Fifty are there with 40 `listeners`; a debug build and a small machine bear fewer.
pub async fn measure(place: &Workplace, listeners: usize, seconds: u64) -> Result<Vec<Row>> {
    let room = format!("fifty-{:08x}", rand::random::<u32>());
    let names: Vec<_> = (0..TILES + listeners)
        .map(|number| format!("other-{number}"))
        .collect();
    let there = TILES + listeners + 1;
    let (publishers, listeners) = (TILES.to_string(), listeners.to_string());
    let arguments = [publishers.as_str(), &listeners];
    let (load, mut ready) = part(place, &room, &names, "load", &arguments).await?;
    let line = ready.next_line().await?;
    ensure!(line.as_deref() == Some("ready"), "the load did not join");
    let process = load.id().context("the load ended")?;
    let server = place.pids("livekit")?;
    let server = u32::try_from(*server.first().context("there is no server")?)?;

    let (ours, pause) = ours(place, &room, seconds, [server, process]).await?;
    let peer = browser(place, &room, seconds, [server, process]).await?;
    drop(load);
    for (name, seat) in [("ours", &ours), (PEER, &peer)] {
        let shows = seat.rates.iter().all(|rate| *rate > 0.0);
        // What nothing was shown for cannot be compared.
        ensure!(
            shows,
            "{there} in the meeting: a tile of {name} stays empty"
        );
    }
    Ok(rows(there, &ours, &peer, pause))
}

/// Also the longest pause between two pictures of a tile, in milliseconds.
async fn ours(
    place: &Workplace,
    room: &str,
    seconds: u64,
    others: [u32; 2],
) -> Result<(Seat, f64)> {
    let width = WIDTH.to_string();
    let arguments = [width.as_str(), "--quiet"];
    let (ours, mut told) = part(place, room, &[LAST.to_owned()], "ours", &arguments).await?;
    let process = ours.id().context("ours ended")?;
    let reader = tokio::spawn(async move {
        let mut lines = Vec::new();
        while let Ok(Some(line)) = told.next_line().await {
            lines.extend(serde_json::from_str::<Value>(&line));
        }
        lines
    });
    tokio::time::sleep(WARM_UP).await;
    let mut seat = sit(process, others, seconds).await;
    drop(ours);
    let lines = reader.await?;
    let window = &lines[lines.len().saturating_sub(usize::try_from(seconds)?)..];
    let seen = window.last().and_then(|line| line["tiles"].as_u64());
    ensure!(seen == Some(TILES as u64), "ours shows {seen:?} tiles");
    let time = sum(window, |line| &line["seconds"]);
    seat.rates = (0..TILES)
        .map(|tile| sum(window, |line| &line["each"][tile]) / time)
        .collect();
    tell("ours", &seat);
    let pauses = window
        .iter()
        .filter_map(|line| line["longestPauseMs"].as_f64());
    Ok((seat, pauses.fold(0.0, f64::max)))
}

async fn browser(place: &Workplace, room: &str, seconds: u64, others: [u32; 2]) -> Result<Seat> {
    let mut browser = Browser::open().await?;
    let wishes = json!({
        "url": place.meetings(),
        "token": place.meeting_token(room, LAST)?,
        "publish": false,
        "tile": WIDTH,
    });
    browser.call("join", wishes).await?;
    tokio::time::sleep(WARM_UP).await;
    let (began, before) = (Instant::now(), decoded(&mut browser).await?);
    let mut seat = sit(browser.process(), others, seconds).await;
    let (time, after) = (began.elapsed().as_secs_f64(), decoded(&mut browser).await?);
    // A tile that never came has no count.
    let mut rates: Vec<_> = after
        .iter()
        .map(|(name, after)| (after - before.get(name).copied().unwrap_or_default()) / time)
        .collect();
    rates.resize(TILES, 0.0);
    seat.rates = rates;
    tell(PEER, &seat);
    Ok(seat)
}

/// Pictures that the browser decoded so far, of each tile.
async fn decoded(browser: &mut Browser) -> Result<HashMap<String, f64>> {
    let seen = browser.call("look", Value::Null).await?;
    let people = seen["people"].as_object().context("there are no people")?;
    Ok(people
        .iter()
        .filter_map(|(name, person)| Some((name.clone(), person["framesDecoded"].as_f64()?)))
        .collect())
}

async fn sit(process: u32, [server, load]: [u32; 2], seconds: u64) -> Seat {
    let used = || [process, server, load].map(processor);
    let (began, before, lost) = (Instant::now(), used(), overflows());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (after, passed) = (used(), began.elapsed().as_secs_f64());
    let share = |at: usize| (after[at] - before[at]) / passed * 100.0;
    Seat {
        processor: share(0),
        server: share(1),
        load: share(2),
        memory: memory(process),
        rates: Vec::new(),
        overflows: overflows() - lost,
    }
}

fn tell(name: &str, seat: &Seat) {
    tracing::info!(
        "in the big meeting, {name}: pictures per second of each tile {:.1?}, the load {:.0} % of a core",
        seat.rates,
        seat.load
    );
    if seat.overflows > 0 {
        tracing::warn!(
            "{} packets found a full receive buffer: these figures are worth nothing",
            seat.overflows
        );
    }
}

fn rows(there: usize, ours: &Seat, peer: &Seat, pause: f64) -> Vec<Row> {
    let beside = |name: &str, of: &dyn Fn(&Seat) -> f64, unit| {
        let name = format!("{there} in the meeting, {TILES} tiles: {name}");
        Row::beside(name, of(ours), Some(of(peer)), PEER, unit)
    };
    let mean = |seat: &Seat| {
        let count = u32::try_from(seat.rates.len()).unwrap_or(u32::MAX);
        1000.0 * f64::from(count) / seat.rates.iter().sum::<f64>()
    };
    let slowest = |seat: &Seat| 1000.0 / seat.rates.iter().copied().fold(f64::INFINITY, f64::min);
    vec![
        beside("CPU", &|seat| seat.processor, "% of a core"),
        beside("memory (PSS)", &|seat| megabytes(seat.memory), "MB"),
        beside("time per picture and tile", &mean, "ms"),
        beside("time per picture, the slowest tile", &slowest, "ms"),
        Row::alone(
            format!(
                "{there} in the meeting, {TILES} tiles: longest pause between two pictures of a tile"
            ),
            pause,
            "ms",
        ),
        beside(
            "the server's CPU meanwhile",
            &|seat| seat.server,
            "% of a core",
        ),
    ]
}

fn sum(lines: &[Value], of: impl Fn(&Value) -> &Value) -> f64 {
    lines.iter().filter_map(|line| of(line).as_f64()).sum()
}
