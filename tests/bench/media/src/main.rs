//! `bench media`: what our real-time engine costs and how quick it is, beside `LiveKit`'s own client in headless
//! Chromium, in the same meeting on the same server.
//!
//! ```text
//!   load (publishes N tiles, decodes nothing) ─┐
//!   ours (publishes 720p, shows N tiles)       ├── livekit-server on 127.0.0.1
//!   Chromium with livekit-client (the same)   ─┘
//! ```
//!
//! The same program is the load and ours, each in a process of its own, so that the kernel counts what each costs.

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod browser;
#[path = "../../src/figures.rs"]
#[allow(
    dead_code,
    reason = "shared with the other measurements, which need all of it"
)]
mod figures;
mod joins;
mod latency;
mod load;
mod loss;
mod narrow;
mod ours;
mod processes;
mod tiles;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

#[derive(Parser)]
#[command(
    name = "media-bench",
    about = "Measures meetings beside a browser",
    args_conflicts_with_subcommands = true
)]
struct Line {
    /// These areas instead of all
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Area>,
    /// Tiles on screen, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "4,9,24")]
    tiles: Vec<usize>,
    /// Length of each measurement of the costs
    #[arg(long, default_value_t = 14)]
    seconds: u64,
    /// How long packets are lost
    #[arg(long, default_value_t = 60)]
    loss_seconds: u64,
    /// Joins that are timed
    #[arg(long, default_value_t = 20)]
    joins: usize,
    /// Where the figures are written as JSON
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Area {
    Joins,
    Narrow,
    Latency,
    Loss,
    Tiles,
}

/// What runs in a process of its own. Tokens come one a line on the standard input.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Load { url: String, count: usize },
    #[command(hide = true)]
    Ours { url: String, width: u32 },
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter("error,media_bench=info,workplace=info")
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    let run = async {
        let line = Line::parse();
        match line.part {
            Some(Part::Load { url, count }) => load::run(&url, count).await,
            Some(Part::Ours { url, width }) => ours::run(&url, width).await,
            None => all(line).await,
        }
    };
    let runtime = tokio::runtime::Runtime::new();
    match runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why:#}");
            ExitCode::FAILURE
        }
    }
}

async fn all(line: Line) -> anyhow::Result<()> {
    let place = workplace::Workplace::up(workplace::Options {
        identity: false,
        chat: false,
        meetings: true,
        ..workplace::Options::default()
    })
    .await?;
    let wanted = |area| line.only.is_empty() || line.only.contains(&area);
    let mut rows = Vec::new();
    if wanted(Area::Joins) {
        rows.extend(joins::measure(&place, line.joins).await?);
    }
    if wanted(Area::Narrow) {
        rows.extend(narrow::measure(&place).await?);
    }
    if wanted(Area::Latency) {
        rows.extend(latency::measure(&place).await?);
    }
    if wanted(Area::Loss) {
        rows.extend(loss::measure(&place, line.loss_seconds).await?);
    }
    if wanted(Area::Tiles) {
        for tiles in line.tiles {
            rows.extend(tiles::measure(&place, tiles, line.seconds).await?);
        }
    }
    place.down().await;
    figures::print(&rows);
    let file = figures::write(&line.folder, "media", &rows)?;
    println!("\n{}", file.display());
    Ok(())
}
