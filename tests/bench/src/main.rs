//! `bench start|chat|memory`: what the window costs and how fast it is, next to another program where there is one.
//!
//! Everything is measured from outside: pictures of the screen, the clock of the page, and what the kernel counts.

#![recursion_limit = "512"]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod chat;
mod figures;
mod grid;
mod memory;
mod peer;
mod pixels;
mod start;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(name = "bench", about = "Measures Cordée beside its peers")]
struct Line {
    #[command(subcommand)]
    area: Area,
}

#[derive(Subcommand)]
enum Area {
    /// From the start of the process to twenty named rooms, memory, idle time; beside nheko
    Start {
        /// Starts of each program
        #[arg(long, default_value_t = 9)]
        runs: usize,
        /// Rooms of the account
        #[arg(long, default_value_t = 300)]
        rooms: usize,
        /// How long nothing is done while the idle time is counted, in seconds
        #[arg(long, default_value_t = 30)]
        idle: u64,
        /// Measure ours alone
        #[arg(long)]
        no_peer: bool,
        #[command(flatten)]
        kept: Kept,
    },
    /// From a message typed to the other person's window, scrolling, and the first sign-in
    Chat {
        #[arg(long, default_value_t = 60)]
        messages: usize,
        /// Messages of the conversation that is scrolled
        #[arg(long, default_value_t = 5_000)]
        long_room: usize,
        #[arg(long, default_value_t = 300)]
        rooms: usize,
        #[command(flatten)]
        kept: Kept,
    },
    /// Memory of the whole process tree while messages come and go
    Memory {
        #[arg(long, default_value_t = 30)]
        minutes: u64,
        #[arg(long, default_value_t = 300)]
        rooms: usize,
        #[command(flatten)]
        kept: Kept,
    },
}

#[derive(Args)]
struct Kept {
    /// Where the figures are written as JSON
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Where pictures of what was measured go
    #[arg(long)]
    shots: Option<PathBuf>,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(workplace::TOLD)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match run(Line::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(line: Line) -> anyhow::Result<()> {
    let program = desktop::cordee_binary()?;
    if !program
        .components()
        .any(|part| part.as_os_str() == "release")
        && std::env::var_os("CORDEE_BIN").is_none()
    {
        tracing::warn!(
            "{} is no release build: its figures say little",
            program.display()
        );
    }
    let runtime = tokio::runtime::Runtime::new()?;
    if let Area::Start { kept, .. } | Area::Chat { kept, .. } = &line.area
        && let Some(folder) = &kept.shots
    {
        std::fs::create_dir_all(folder)?;
    }
    let (name, rows, kept) = match line.area {
        Area::Start {
            runs,
            rooms,
            idle,
            no_peer,
            kept,
        } => {
            let plan = start::Plan {
                runs: runs.max(1),
                rooms,
                idle: std::time::Duration::from_secs(idle),
                peer: !no_peer,
            };
            (
                "start",
                runtime.block_on(start::measure(&plan, kept.shots.as_deref()))?,
                kept,
            )
        }
        Area::Chat {
            messages,
            long_room,
            rooms,
            kept,
        } => {
            let plan = chat::Plan {
                messages: messages.max(1),
                long_room,
                rooms,
            };
            (
                "chat",
                runtime.block_on(chat::measure(&plan, kept.shots.as_deref()))?,
                kept,
            )
        }
        Area::Memory {
            minutes,
            rooms,
            kept,
        } => {
            let plan = memory::Plan {
                minutes: minutes.max(1),
                rooms,
            };
            ("memory", runtime.block_on(memory::measure(&plan))?, kept)
        }
    };
    figures::print(&rows);
    let file = figures::write(&kept.folder, name, &rows)?;
    println!("\n{}", file.display());
    Ok(())
}
