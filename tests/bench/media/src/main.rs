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
mod cuts;
mod fifty;
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
mod pace;
mod processes;
mod soak;
mod tiles;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use workplace::Workplace;

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
    /// How often each way to the server is cut
    #[arg(long, default_value_t = 5)]
    cuts: usize,
    /// How long packets are lost
    #[arg(long, default_value_t = 60)]
    loss_seconds: u64,
    /// Joins that are timed
    #[arg(long, default_value_t = 20)]
    joins: usize,
    /// Who look on in the meeting of fifty, beside the nine who publish and the one who is measured
    #[arg(long, default_value_t = 40)]
    listeners: usize,
    /// Only let two of ours talk for so many minutes, two at least
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(2..))]
    soak: Option<u64>,
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
    Cuts,
    Tiles,
    Fifty,
}

/// What runs in a process of its own. Tokens, where some are needed, come one a line on the standard input.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Load {
        url: String,
        count: usize,
        #[arg(default_value_t = 0)]
        listeners: usize,
    },
    #[command(hide = true)]
    Ours {
        url: String,
        width: u32,
        #[arg(long)]
        quiet: bool,
    },
    #[command(hide = true)]
    Cuts { rounds: usize },
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
            Some(Part::Load {
                url,
                count,
                listeners,
            }) => load::run(&url, count, listeners).await,
            Some(Part::Ours { url, width, quiet }) => ours::run(&url, width, quiet).await,
            Some(Part::Cuts { rounds }) => cuts::run(rounds).await,
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

async fn all(line: Line) -> Result<()> {
    let place = Workplace::up(workplace::Options {
        identity: false,
        chat: false,
        meetings: true,
        ..workplace::Options::default()
    })
    .await?;
    if let Some(minutes) = line.soak {
        let rows = soak::measure(&place, minutes).await?;
        return finish(place, &line.folder, "media-soak", &rows).await;
    }
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for area in Area::value_variants() {
        if !line.only.is_empty() && !line.only.contains(area) {
            continue;
        }
        // What one area could not measure takes nothing away from the others.
        match area.measure(&place, &line).await {
            Ok(more) => rows.extend(more),
            Err(why) => failed.push(why),
        }
    }
    finish(place, &line.folder, "media", &rows).await?;
    for why in &failed {
        eprintln!("not measured: {why:#}");
    }
    ensure!(
        failed.is_empty(),
        "{} areas were not measured",
        failed.len()
    );
    Ok(())
}

impl Area {
    async fn measure(self, place: &Workplace, line: &Line) -> Result<Vec<figures::Row>> {
        match self {
            Self::Joins => joins::measure(place, line.joins).await,
            Self::Narrow => narrow::measure(place).await,
            Self::Latency => latency::measure(place).await,
            Self::Loss => loss::measure(place, line.loss_seconds).await,
            Self::Cuts => cuts::measure(line.cuts).await,
            Self::Tiles => {
                let mut rows = Vec::new();
                for tiles in &line.tiles {
                    rows.extend(tiles::measure(place, *tiles, line.seconds).await?);
                }
                Ok(rows)
            }
            Self::Fifty => fifty::measure(place, line.listeners, line.seconds).await,
        }
    }
}

async fn finish(place: Workplace, folder: &Path, name: &str, rows: &[figures::Row]) -> Result<()> {
    place.down().await;
    figures::print(rows);
    let file = figures::write(folder, name, rows)?;
    println!("\n{}", file.display());
    Ok(())
}
