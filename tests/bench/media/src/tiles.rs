//! What a meeting costs: ours and the browser in one room, both publish 720p and show the same number of tiles.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use workplace::Workplace;

use crate::browser::Browser;
use crate::figures::{Row, megabytes};
use crate::processes::{memory, processor};

const PEER: &str = "Chromium";
/// Until everybody has joined and layers have settled.
const WARM_UP: Duration = Duration::from_secs(12);

pub async fn measure(place: &Workplace, tiles: usize, seconds: u64) -> Result<Vec<Row>> {
    let room = format!("tiles-{:08x}", rand::random::<u32>());
    // Each of the two also sees the other.
    let others = tiles.saturating_sub(1);
    let width = if tiles > 9 { 320 } else { 640 };
    let names: Vec<_> = (0..others)
        .map(|number| format!("other-{number}"))
        .collect();
    let (load, mut ready) = part(place, &room, &names, "load", &[&others.to_string()]).await?;
    let line = ready.next_line().await?;
    ensure!(line.as_deref() == Some("ready"), "the load did not join");
    let width_text = width.to_string();
    let (ours, mut told) = part(place, &room, &["ours".to_owned()], "ours", &[&width_text]).await?;
    let mut browser = Browser::open().await?;
    let wishes = json!({
        "url": place.meetings(),
        "token": place.meeting_token(&room, "browser")?,
        "publish": true,
        "resolution": { "width": 1280, "height": 720, "frameRate": 30 },
        "tile": width,
    });
    browser.call("join", wishes).await?;
    tokio::time::sleep(WARM_UP).await;

    let process = ours.id().context("ours ended")?;
    let before = (processor(process), processor(browser.process()));
    let pictures_before = browser.call("pictures", Value::Null).await?;
    let reader = tokio::spawn(async move {
        let mut lines = Vec::new();
        while let Ok(Some(line)) = told.next_line().await {
            lines.extend(serde_json::from_str::<Value>(&line));
        }
        lines
    });
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let passed = began.elapsed().as_secs_f64();
    let after = (processor(process), processor(browser.process()));
    let pictures_after = browser.call("pictures", Value::Null).await?;
    let (our_memory, peer_memory) = (memory(process), memory(browser.process()));
    drop((ours, load));
    let lines = reader.await?;
    let window = lines.len().saturating_sub(usize::try_from(seconds)?);
    let shown: f64 = lines[window..]
        .iter()
        .filter_map(|l| l["pictures"].as_f64())
        .sum();
    let time: f64 = lines[window..]
        .iter()
        .filter_map(|l| l["seconds"].as_f64())
        .sum();
    let seen = lines.last().and_then(|line| line["tiles"].as_u64());
    ensure!(
        seen == Some(tiles as u64),
        "ours shows {seen:?} tiles of {tiles}"
    );
    let count = f64::from(u32::try_from(tiles)?);
    let peer_shown =
        pictures_after.as_f64().unwrap_or(0.0) - pictures_before.as_f64().unwrap_or(0.0);
    let slowest = (0..tiles)
        .map(|tile| {
            let pictures = lines[window..]
                .iter()
                .filter_map(|l| l["each"][tile].as_f64());
            pictures.sum::<f64>() / time
        })
        .fold(f64::INFINITY, f64::min);
    // One sender that sends fewer pictures than the others looks in the mean as if all tiles lost some.
    tracing::info!(
        "{tiles} tiles: pictures per second and tile {:.1} (slowest tile {slowest:.1}), in the browser {:.1}",
        shown / time / count,
        peer_shown / passed / count
    );
    let share = |before: f64, after: f64| (after - before) / passed * 100.0;
    let beside = |name: &str, ours: f64, peer: f64, unit| {
        Row::beside(
            format!("{name}, {tiles} tiles, publishing 720p"),
            ours,
            Some(peer),
            PEER,
            unit,
        )
    };
    Ok(vec![
        beside(
            "CPU",
            share(before.0, after.0),
            share(before.1, after.1),
            "% of a core",
        ),
        beside(
            "memory (PSS)",
            megabytes(our_memory),
            megabytes(peer_memory),
            "MB",
        ),
        beside(
            "time per picture and tile",
            1000.0 * time * count / shown,
            1000.0 * passed * count / peer_shown,
            "ms",
        ),
    ])
}

/// This program again, as a part of the meeting. It ends with what is returned.
pub async fn part(
    place: &Workplace,
    room: &str,
    identities: &[String],
    name: &str,
    arguments: &[&str],
) -> Result<(Child, Lines<BufReader<ChildStdout>>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([name, place.meetings().as_str()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take().context("input")?;
    for identity in identities {
        let token = place.meeting_token(room, identity)?;
        input.write_all(format!("{token}\n").as_bytes()).await?;
    }
    let output = child.stdout.take().context("output")?;
    Ok((child, BufReader::new(output).lines()))
}
