//! A message from one window to another, scrolling a long conversation, and the first sign-in.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use desktop::{ENTER, Home, PATIENCE, Screen, Window, until};
use serde::Deserialize;
use serde_json::{Value, json};
use workplace::{Options, Workplace};

use crate::figures::{Row, percentile};
use crate::grid::ROWS;
use crate::pixels::{Area, Eye};

const WRITER: &str = "camille.martin";
const READER: &str = "amelie.durand";
const CONVERSATION: &str = "Mesure";
const LONG_ROOM: &str = "Journal de garde";
/// Two windows side by side, and high enough for twenty rows.
const SCREEN: (u32, u32) = (2400, 1500);
const LEFT: Area = Area {
    x: 0,
    y: 0,
    width: 1190,
    height: 1460,
};
const RIGHT: Area = Area {
    x: 1200,
    y: 0,
    width: 1190,
    height: 1460,
};
/// Longest time for paging back through the long conversation.
const PAGING: Duration = Duration::from_mins(4);

/// Half a minute after its start Synapse counts the pushes of all rooms at once, and on `SQLite` nothing else is written
/// for two to four seconds meanwhile, whoever asks. Its users have this once in the life of a server.
const HOMESERVER_SETTLES: Duration = Duration::from_secs(40);

pub struct Plan {
    pub messages: usize,
    pub long_room: usize,
    pub rooms: usize,
}

pub async fn measure(plan: &Plan, shots: Option<&Path>) -> Result<Vec<Row>> {
    tracing::info!(
        "starting a workplace with {} rooms and {} messages in one",
        plan.rooms,
        plan.long_room
    );
    let options = Options {
        rooms: plan.rooms,
        long_room: plan.long_room,
        ..Options::default()
    };
    let workplace = Workplace::up(options).await?;
    let homeserver_settled = tokio::time::Instant::now() + HOMESERVER_SETTLES;
    let screen = Screen::sized(SCREEN.0, SCREEN.1).await?;
    let eye = Eye::on(screen.display())?;
    let mut rows = Vec::new();

    let home = Home::new(&workplace, &screen).await?;
    let window = Window::open(&home).await?;
    eye.place(eye.largest_window()?.0, LEFT)?;
    rows.push(first_sign_in(&window, &home, &workplace).await?);

    let other_home = Home::new(&workplace, &screen).await?;
    let other = Window::open(&other_home).await?;
    // Both have the same size when they open; the one that is still as large as it came is the new one.
    eye.place(eye.largest_window()?.0, RIGHT)?;
    other
        .sign_in_quickly(&other_home, &workplace, workplace.person(READER)?)
        .await?;
    tokio::time::sleep_until(homeserver_settled).await;
    rows.extend(delivery(&window, &other, plan.messages).await?);
    if let Some(folder) = shots {
        screen.picture(&folder.join("chat-two-windows.png")).await?;
    }
    other.close().await?;
    if plan.long_room > 0 {
        rows.extend(scrolling(&window).await?);
        if let Some(folder) = shots {
            window.picture(&folder.join("chat-long-room.png")).await?;
        }
    }
    window.close().await?;
    drop((home, other_home));
    workplace.down().await;
    Ok(rows)
}

/// From the browser's last page to twenty named rooms.
async fn first_sign_in(window: &Window, home: &Home, workplace: &Workplace) -> Result<Row> {
    let person = workplace.person(WRITER)?;
    window.ask_and_answer(home, workplace, person).await?;
    let began = Instant::now();
    window.see_within("frame", PATIENCE * 2).await?;
    window.click("rail-chat").await?;
    until("twenty named rooms are in the list", PATIENCE * 2, || async {
        let look = r#"return [...document.querySelectorAll('[data-testid="room-row"] b')]
            .filter((one) => one.innerText.trim() !== '' && one.getBoundingClientRect().bottom < innerHeight).length;"#;
        let named = window.run(look, vec![]).await?.as_u64().unwrap_or_default();
        Ok((usize::try_from(named)? >= ROWS).then_some(()))
    })
    .await?;
    let taken = began.elapsed().as_secs_f64();
    Ok(Row::alone(
        "first sign-in: browser's last page to 20 named rooms",
        taken,
        "s",
    ))
}

/// Enter pressed in one window until the text is painted in the other.
async fn delivery(writer: &Window, reader: &Window, count: usize) -> Result<Vec<Row>> {
    let both = [writer, reader];
    for window in both {
        window.click("rail-chat").await?;
    }
    writer.open_room("Amélie Durand").await?;
    reader.open_room("Camille Martin").await?;
    for window in both {
        window
            .see_attribute("room-encryption", "data-encrypted", "true")
            .await?;
    }
    // The first message brings the keys.
    writer.write("Les clés d’abord").await?;
    reader.see_message("Les clés d’abord", "sent").await?;
    let clock = r#"window.measured = {};
        const now = () => performance.timeOrigin + performance.now();
        document.addEventListener('keydown', (event) => {
            if (event.key === 'Enter') window.measured['typed ' + event.target.value] = performance.timeOrigin + event.timeStamp;
        }, true);
        new MutationObserver(() => {
            const last = [...document.querySelectorAll('[data-testid="message-text"]')].slice(-3).map((one) => one.innerText.trim());
            for (const text of last) {
                const key = 'seen ' + text;
                if (key in window.measured) continue;
                window.measured[key] = 0;
                // After the frame that paints it.
                requestAnimationFrame(() => { const channel = new MessageChannel();
                    channel.port1.onmessage = () => { window.measured[key] = now(); };
                    channel.port2.postMessage(0); });
            }
        }).observe(document.body, { childList: true, subtree: true, characterData: true });
        return null;"#;
    for window in both {
        window.run(clock, vec![]).await?;
    }
    let mut taken = Vec::with_capacity(count);
    for number in 0..count {
        let text = format!("{CONVERSATION} {number}");
        writer.type_text("composer-input", &text).await?;
        writer.type_text("composer-input", ENTER).await?;
        let seen = moment(reader, "seen", &text).await?;
        let typed = moment(writer, "typed", &text).await?;
        taken.push(seen - typed);
    }
    tracing::info!("delivered {count} messages: {taken:.0?}");
    let row = |name: &str, share| {
        let measure = format!(
            "message typed to seen in the other window, encrypted, {count} messages, {name}"
        );
        Row::alone(measure, percentile(&taken, share), "ms")
    };
    Ok(vec![row("p50", 0.5), row("p95", 0.95), row("worst", 1.0)])
}

async fn moment(window: &Window, what: &str, text: &str) -> Result<f64> {
    let key = json!(format!("{what} {text}"));
    until(&format!("{text:?} is {what}"), PATIENCE, || async {
        let at = window
            .run(
                "return window.measured[arguments[0]] ?? 0;",
                vec![key.clone()],
            )
            .await?;
        Ok(at.as_f64().filter(|at| *at > 0.0))
    })
    .await
}

#[derive(Debug, Deserialize)]
struct Frames {
    longest: f64,
    p95: f64,
    count: usize,
    over: usize,
}

/// Pages back through the whole conversation, then scrolls through it at a steady speed.
async fn scrolling(window: &Window) -> Result<Vec<Row>> {
    window.open_room(LONG_ROOM).await?;
    window.see("message").await?;
    let began = Instant::now();
    let page = r#"const box = document.querySelector('[data-testid="timeline"]'); box.scrollTop = 0;
        return [box.scrollHeight, box.getAttribute('aria-busy') === 'true'];"#;
    let (mut height, mut since) = (0, Instant::now());
    loop {
        let now: (i64, bool) = serde_json::from_value(window.run(page, vec![]).await?)?;
        if now.0 != height || now.1 {
            (height, since) = (now.0, Instant::now());
        }
        if since.elapsed() > Duration::from_secs(3) || began.elapsed() > PAGING {
            break;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    ensure!(height > 0, "the long conversation has no height");
    let paged = began.elapsed().as_secs_f64();
    let script = r#"const [still, done] = arguments;
        const box = document.querySelector('[data-testid="timeline"]');
        const deltas = []; let last = performance.now(); const began = last; let way = 1;
        const step = (at) => {
            deltas.push(at - last); last = at;
            if (!still) {
                if (box.scrollTop + box.clientHeight >= box.scrollHeight - 2) way = -1;
                if (box.scrollTop <= 2) way = 1;
                box.scrollTop += way * 120;
            }
            if (at - began < 15000) requestAnimationFrame(step);
            else {
                const sorted = deltas.slice(2).sort((a, b) => a - b);
                done({ longest: sorted.at(-1), p95: sorted[Math.floor(sorted.length * 0.95)], count: sorted.length,
                    over: sorted.filter((one) => one > 50).length });
            }
        };
        requestAnimationFrame((at) => { last = at; requestAnimationFrame(step); });"#;
    let frames = |still: bool| async move {
        let value: Value = window
            .run_until_done(script, vec![json!(still)], PATIENCE * 2)
            .await?;
        serde_json::from_value::<Frames>(value).context("no frames were counted")
    };
    let resting = frames(true).await?;
    let moving = frames(false).await?;
    tracing::info!("{height} px: resting {resting:?}, moving {moving:?}");
    #[allow(clippy::cast_precision_loss, reason = "counts of frames are small")]
    let over = moving.over as f64 / moving.count.max(1) as f64 * 100.0;
    Ok(vec![
        Row::alone("paging back through the long conversation", paged, "s"),
        Row::alone("scrolling it for 15 s: longest frame", moving.longest, "ms"),
        Row::alone("scrolling it for 15 s: frame p95", moving.p95, "ms"),
        Row::alone(
            "scrolling it for 15 s: frames over 50 ms",
            over,
            "% of frames",
        ),
        Row::alone(
            "the same window at rest: longest frame",
            resting.longest,
            "ms",
        ),
    ])
}
