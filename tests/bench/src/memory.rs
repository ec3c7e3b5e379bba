//! Memory of the whole process tree while messages come and go: it must stay where it is.

use std::time::{Duration, Instant};

use anyhow::Result;
use desktop::{Home, Screen, Window};
use workplace::{Options, Workplace};

use crate::figures::{Row, megabytes};
use crate::start::settled;

const PERSON: &str = "camille.martin";
const ROOMS: [&str; 4] = ["Cardiologie", "Urgences", "Pharmacie", "Informatique"];
/// One message every so often: busy, but not a load test.
const PERIOD: Duration = Duration::from_secs(2);

pub struct Plan {
    pub minutes: u64,
    pub rooms: usize,
}

pub async fn measure(plan: &Plan) -> Result<Vec<Row>> {
    let workplace = Workplace::up(Options {
        rooms: plan.rooms,
        ..Options::default()
    })
    .await?;
    let screen = Screen::start().await?;
    let home = Home::new(&workplace, &screen).await?;
    let person = workplace.person(PERSON)?;
    let window = Window::open(&home).await?;
    window.sign_in_quickly(&home, &workplace, person).await?;
    for room in ROOMS {
        window.open_room(room).await?;
    }
    let first = settled(window.process()).await?;
    tracing::info!(
        "settled at {:.0} MB in {} processes",
        megabytes(first.rss),
        first.processes
    );

    let everybody = workplace.everybody()?;
    let rooms = named_rooms(&everybody, &person.mxid).await?;
    let began = Instant::now();
    let whole = Duration::from_secs(plan.minutes * 60);
    let (mut highest, mut told, mut number) = (first.rss, 0, 0_usize);
    while began.elapsed() < whole {
        let room = &rooms[number % rooms.len()];
        everybody
            .text(
                room,
                &person.mxid,
                &format!("Message {number} de la mesure"),
            )
            .await?;
        if number % 30 == 0 {
            window.open_room(ROOMS[number / 30 % ROOMS.len()]).await?;
        }
        number += 1;
        highest = highest.max(window.memory().rss);
        let minute = began.elapsed().as_secs() / 60;
        if minute > told {
            told = minute;
            tracing::info!("minute {minute}: {:.0} MB", megabytes(window.memory().rss));
        }
        tokio::time::sleep(PERIOD).await;
    }
    let last = settled(window.process()).await?;
    window.close().await?;
    drop(home);
    workplace.down().await;
    let minutes = plan.minutes;
    Ok(vec![
        Row::alone(
            "memory of the whole process tree, settled after the start (RSS)",
            megabytes(first.rss),
            "MB",
        ),
        Row::alone(
            format!("the same after {minutes} minutes of traffic, settled"),
            megabytes(last.rss),
            "MB",
        ),
        Row::alone(
            format!("highest in these {minutes} minutes"),
            megabytes(highest),
            "MB",
        ),
        Row::alone(
            "proportional share, settled at the end (PSS)",
            megabytes(last.pss),
            "MB",
        ),
    ])
}

/// The rooms that the window opens, by their names.
async fn named_rooms(everybody: &workplace::Homeserver, person: &str) -> Result<Vec<String>> {
    let none = serde_json::Value::Null;
    let get = reqwest::Method::GET;
    let joined = everybody
        .send(get.clone(), person, &["joined_rooms"], None, &none)
        .await?;
    let mut found = Vec::new();
    for room in joined["joined_rooms"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str)
    {
        let path = ["rooms", room, "state", "m.room.name", ""];
        // A room without a name answers 404.
        let Ok(name) = everybody
            .send(get.clone(), person, &path, None, &none)
            .await
        else {
            continue;
        };
        if ROOMS.iter().any(|wanted| name["name"] == *wanted) {
            found.push(room.to_owned());
        }
        if found.len() == ROOMS.len() {
            break;
        }
    }
    anyhow::ensure!(!found.is_empty(), "none of the rooms of the measure exists");
    Ok(found)
}
