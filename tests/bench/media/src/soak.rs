//! Two of ours talk for long: what they hold in memory after the first minute and at the end, and what was missing
//! meanwhile.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Child;
use tokio::task::JoinHandle;
use workplace::Workplace;

use crate::figures::{Row, megabytes};
use crate::processes::memory;
use crate::tiles::part;

const NAMES: [&str; 2] = ["camille", "noor"];
/// So that the top layer is sent.
const WIDTH: &str = "1280";
const MINUTE: Duration = Duration::from_mins(1);
/// A pause that people see, in milliseconds.
const SEEN: f64 = 200.0;

struct Talker {
    child: Child,
    process: u32,
    told: JoinHandle<Vec<Value>>,
}

pub async fn measure(place: &Workplace, minutes: u64) -> Result<Vec<Row>> {
    let room = format!("soak-{:08x}", rand::random::<u32>());
    let mut talkers = Vec::new();
    for name in NAMES {
        talkers.push(talk(place, &room, name).await?);
    }
    let mut held = Vec::new();
    for minute in 1..=minutes {
        tokio::time::sleep(MINUTE).await;
        for talker in &mut talkers {
            ensure!(talker.child.try_wait()?.is_none(), "a peer has ended");
        }
        let now: Vec<_> = talkers
            .iter()
            .map(|talker| megabytes(memory(talker.process)))
            .collect();
        tracing::info!("after {minute} min: {now:.1?} MB");
        held.push(now);
    }
    let (first, last) = (held.first(), held.last());
    let (first, last) = (first.context("too short")?, last.context("too short")?);
    let mut rows = Vec::new();
    for (at, (name, talker)) in NAMES.iter().zip(talkers).enumerate() {
        rows.push(Row::alone(
            format!("{name}: memory (PSS) after the first minute"),
            first[at],
            "MB",
        ));
        rows.push(Row::alone(
            format!("{name}: memory (PSS) after {minutes} min"),
            last[at],
            "MB",
        ));
        drop(talker.child);
        rows.extend(missing(name, &talker.told.await?)?);
    }
    Ok(rows)
}

async fn talk(place: &Workplace, room: &str, name: &str) -> Result<Talker> {
    let (child, mut lines) = part(place, room, &[name.to_owned()], "ours", &[WIDTH]).await?;
    let process = child.id().context("a peer has ended")?;
    let told = tokio::spawn(async move {
        let mut told = Vec::new();
        while let Ok(Some(line)) = lines.next_line().await {
            told.extend(serde_json::from_str::<Value>(&line).map(without_the_rest));
        }
        told
    });
    Ok(Talker {
        child,
        process,
        told,
    })
}

/// One line a second is kept for hours.
fn without_the_rest(mut line: Value) -> Value {
    if let Some(line) = line.as_object_mut() {
        line.remove("statistics");
    }
    line
}

/// From the second minute on.
fn missing(name: &str, told: &[Value]) -> Result<Vec<Row>> {
    let told = told.get(60..).context("a peer told too little")?;
    let (first, last) = (told.first(), told.last());
    let (first, last) = (first.context("too short")?, last.context("too short")?);
    let sum = |key: &str| -> f64 { told.iter().filter_map(|line| line[key].as_f64()).sum() };
    let grown = |key: &str| {
        last[key].as_f64().unwrap_or_default() - first[key].as_f64().unwrap_or_default()
    };
    let pauses = || {
        told.iter()
            .filter_map(|line| line["longestPauseMs"].as_f64())
    };
    let seen = u32::try_from(pauses().filter(|pause| *pause > SEEN).count())?;
    let (played, concealed) = (grown("soundPlayed"), grown("soundConcealed"));
    ensure!(played > 0.0, "{name} heard nothing");
    let row = |measure: &str, value, unit| Row::alone(format!("{name}: {measure}"), value, unit);
    Ok(vec![
        row(
            "time per picture",
            1000.0 * sum("seconds") / sum("pictures"),
            "ms",
        ),
        row(
            "longest pause between two pictures",
            pauses().fold(0.0, f64::max),
            "ms",
        ),
        row(
            "seconds with a pause of more than 200 ms",
            f64::from(seen),
            "s",
        ),
        row(
            "sound concealed",
            100.0 * concealed / (played + concealed),
            "%",
        ),
        row("times that sound ran dry", grown("soundSilent"), "times"),
    ])
}
