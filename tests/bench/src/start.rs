//! The start, what is kept in memory afterwards, and what is done while nothing happens: ours beside the peer's, in turn.

use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use desktop::{Home, PATIENCE, Screen, Window, cordee_binary, processes, until};
use nix::sys::signal::Signal;
use workplace::{Options, Workplace};

use crate::figures::{Row, megabytes, percentile};
use crate::grid::{Grid, ROWS};
use crate::peer;
use crate::pixels::{Area, Eye};

const PERSON: &str = "camille.martin";
/// High enough for twenty rows of either program.
const SCREEN: (u32, u32) = (1400, 1500);
const WINDOW: Area = Area {
    x: 0,
    y: 0,
    width: 1360,
    height: 1460,
};
/// How long a start is watched; what is on the screen then is its end.
const WATCHED: Duration = Duration::from_secs(6);
const PERIOD: Duration = Duration::from_millis(15);
/// A program that uses less than this share of a core has settled.
const CALM: f64 = 0.03;
/// nheko's list with its own font at 96 dots an inch: the first name, the pitch of the rows, the width of a name.
const PEER_LIST: (i16, i16, i16, u16) = (90, 56, 51, 70);

/// Where nheko has the button that accepts its first question, in a window of our size.
const PEER_ACCEPT: (i16, i16) = (1208, 1421);

pub struct Plan {
    pub runs: usize,
    pub rooms: usize,
    pub idle: Duration,
    pub peer: bool,
}

/// A program that is measured: how it starts, and where its names stand.
struct Runner {
    name: &'static str,
    home: Home,
    start: fn(&Home) -> Result<Child>,
    grid: Grid,
    starts: Vec<f64>,
}

pub async fn measure(plan: &Plan, shots: Option<&Path>) -> Result<Vec<Row>> {
    if plan.peer {
        peer::program()?;
    }
    tracing::info!("starting a workplace with {} rooms", plan.rooms);
    let workplace = Workplace::up(Options {
        rooms: plan.rooms,
        ..Options::default()
    })
    .await?;
    let screen = Screen::sized(SCREEN.0, SCREEN.1).await?;
    // The peer first: it sets up encryption for the account when nobody has done it yet, and asks otherwise.
    let other = if plan.peer {
        let peer = prepare_peer(&workplace, &screen).await;
        Some(peer.context("the peer cannot be prepared")?)
    } else {
        None
    };
    let ours = prepare(&workplace, &screen).await;
    let mut runners = vec![ours.context("ours cannot be prepared")?];
    runners.extend(other);
    for run in 0..plan.runs {
        for runner in &mut runners {
            let picture = shots.filter(|_| run == 0);
            runner
                .begin(&screen, picture)
                .await
                .with_context(|| format!("run {run} of {} was not measured", runner.name))?;
        }
    }
    let mut rows = starts(&runners, plan.rooms);
    rows.extend(rest(&runners, plan.idle).await?);
    drop(runners);
    workplace.down().await;
    Ok(rows)
}

impl Runner {
    /// One start, from the moment before the process exists.
    async fn begin(&mut self, screen: &Screen, shots: Option<&Path>) -> Result<()> {
        let eye = Eye::on(screen.display())?;
        let area = self.grid.area();
        let began = Instant::now();
        let mut child = (self.start)(&self.home)?;
        let moments = tokio::task::block_in_place(|| eye.watch(area, began, WATCHED, PERIOD))?;
        if let Some(folder) = shots {
            screen
                .picture(&folder.join(format!("start-{}.png", self.name)))
                .await?;
        }
        end(&mut child).await?;
        let done = self.grid.complete(&moments)?;
        tracing::info!("{}: {ROWS} rooms after {} ms", self.name, done.as_millis());
        self.starts.push(done.as_secs_f64());
        Ok(())
    }
}

fn starts(runners: &[Runner], rooms: usize) -> Vec<Row> {
    [("p50", 0.5), ("p95", 0.95)]
        .into_iter()
        .map(|(name, share)| {
            let measure = format!(
                "process start to {ROWS} named rooms on screen, {rooms} rooms, warm, {name}"
            );
            let values: Vec<f64> = runners
                .iter()
                .map(|runner| percentile(&runner.starts, share))
                .collect();
            side_by_side(measure, &values, "s")
        })
        .collect()
}

/// What each program keeps and does when nothing happens.
async fn rest(runners: &[Runner], idle: Duration) -> Result<Vec<Row>> {
    let (mut rss, mut pss, mut busy) = (Vec::new(), Vec::new(), Vec::new());
    for runner in runners {
        let mut child = (runner.start)(&runner.home)?;
        let process = i32::try_from(child.id())?;
        let memory = settled(process).await?;
        let before = processes::cpu_time(process);
        tokio::time::sleep(idle).await;
        let spent = processes::cpu_time(process).saturating_sub(before);
        end(&mut child).await?;
        let processes = memory.processes;
        tracing::info!(
            "{}: {processes} processes, {:.0} MB",
            runner.name,
            megabytes(memory.rss)
        );
        rss.push(megabytes(memory.rss));
        pss.push(megabytes(memory.pss));
        busy.push(spent.as_secs_f64() / idle.as_secs_f64() * 100.0);
    }
    let tree = "memory of the whole process tree, settled";
    Ok(vec![
        side_by_side(
            format!("{tree} (RSS, shared pages counted each time)"),
            &rss,
            "MB",
        ),
        side_by_side(
            format!("{tree} (PSS, shared pages counted once)"),
            &pss,
            "MB",
        ),
        side_by_side(
            "idle CPU, window visible, sync open".to_owned(),
            &busy,
            "% of a core",
        ),
    ])
}

/// Ours comes first, then the peer's if there is one.
fn side_by_side(measure: String, values: &[f64], unit: &'static str) -> Row {
    let ours = values.first().copied().unwrap_or(f64::NAN);
    Row::beside(measure, ours, values.get(1).copied(), peer::NAME, unit)
}

/// Signs in, waits for all rooms, and leaves the window on the conversations, where the next start begins.
async fn prepare(workplace: &Workplace, screen: &Arc<Screen>) -> Result<Runner> {
    let home = Home::new(workplace, screen).await?;
    leave_size(&home)?;
    let person = workplace.person(PERSON)?;
    let window = Window::open(&home).await?;
    window.sign_in_quickly(&home, workplace, person).await?;
    window.click("rail-chat").await?;
    window.see("room-row").await?;
    // The rows stand where they stay only when everything has come: favourites make a group of their own.
    settled(window.process()).await?;
    let grid = until("twenty named rooms are in the list", PATIENCE, || {
        rows_of(&window)
    })
    .await?;
    window.close().await?;

    Ok(Runner {
        name: "cordee",
        home,
        start: ours,
        grid,
        starts: Vec::new(),
    })
}

/// Writes what the window keeps of its size when it is closed, as if somebody had made it that large.
fn leave_size(home: &Home) -> Result<()> {
    let folder = home.folder().join(".config/eu.cordee.desktop");
    std::fs::create_dir_all(&folder)?;
    let main = serde_json::json!({
        "x": WINDOW.x, "y": WINDOW.y, "prev_x": WINDOW.x, "prev_y": WINDOW.y, "width": WINDOW.width, "height": WINDOW.height,
        "maximized": false, "visible": true, "decorated": true, "fullscreen": false,
    });
    std::fs::write(
        folder.join(".window-state.json"),
        serde_json::json!({ "main": main }).to_string(),
    )?;
    Ok(())
}

/// Where the names of the first rows stand, when there are enough.
async fn rows_of(window: &Window) -> Result<Option<Grid>> {
    let look = r#"return [...document.querySelectorAll('[data-testid="room-row"] b')]
        .filter((one) => one.innerText.trim() !== '')
        .map((one) => one.getBoundingClientRect())
        .filter((box) => box.bottom < innerHeight)
        .sort((one, other) => one.top - other.top)
        .map((box) => [box.left, box.top, box.width, box.height].map(Math.round));"#;
    let boxes: Vec<[i32; 4]> = serde_json::from_value(window.run(look, vec![]).await?)?;
    let rows: Vec<Area> = boxes
        .iter()
        .take(ROWS)
        .filter_map(|&[x, y, width, height]| {
            Some(Area {
                x: x.try_into().ok()?,
                y: y.try_into().ok()?,
                width: width.try_into().ok()?,
                height: height.try_into().ok()?,
            })
        })
        .collect();
    Ok((rows.len() == ROWS).then_some(Grid { rows }))
}

/// nheko asks once to set up encryption; after that it starts into its list.
async fn prepare_peer(workplace: &Workplace, screen: &Arc<Screen>) -> Result<Runner> {
    let home = Home::new(workplace, screen).await?;
    peer::sign_in(
        &home,
        workplace,
        workplace.person(PERSON)?,
        (WINDOW.width, WINDOW.height),
    )
    .await?;
    let (x, y, pitch, width) = PEER_LIST;
    let rows = (0..i16::try_from(ROWS)?)
        .map(|row| Area {
            x,
            y: y + pitch * row,
            width,
            height: 20,
        })
        .collect();
    let mut child = peer::start(&home)?;
    settled(i32::try_from(child.id())?).await?;
    Eye::on(screen.display())?.click(PEER_ACCEPT.0, PEER_ACCEPT.1)?;
    settled(i32::try_from(child.id())?).await?;
    end(&mut child).await?;
    Ok(Runner {
        name: peer::NAME,
        home,
        start: peer::start,
        grid: Grid { rows },
        starts: Vec::new(),
    })
}

fn ours(home: &Home) -> Result<Child> {
    home.program(cordee_binary()?)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .context("Cordée does not start")
}

/// Waits until the tree is nearly idle and its memory does not change any more; then that memory.
pub async fn settled(process: i32) -> Result<processes::Memory> {
    let began = Instant::now();
    let mut last = processes::memory(process);
    let mut calm = 0;
    loop {
        let before = processes::cpu_time(process);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let share = processes::cpu_time(process)
            .saturating_sub(before)
            .as_secs_f64();
        let now = processes::memory(process);
        let same = now.rss.abs_diff(last.rss) * 100 < last.rss;
        calm = if share < CALM && same { calm + 1 } else { 0 };
        // A program that never rests is measured as it is.
        if calm >= 4 || began.elapsed() > Duration::from_secs(90) {
            return Ok(now);
        }
        last = now;
    }
}

async fn end(child: &mut Child) -> Result<()> {
    let process = i32::try_from(child.id())?;
    let all = processes::tree(process);
    processes::send(process, Signal::SIGTERM)?;
    gone(child).await?;
    until("the program's helpers have ended", PATIENCE, || async {
        Ok(all.iter().all(|&pid| !processes::alive(pid)).then_some(()))
    })
    .await
}

async fn gone(child: &mut Child) -> Result<()> {
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        anyhow::ensure!(began.elapsed() < PATIENCE, "the program does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
