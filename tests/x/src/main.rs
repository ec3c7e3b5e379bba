//! The part of `./x` that needs more than a shell: `test`, `check`, `demo`, `bench`, `workplace`.
//!
//! It is for people and for continuous integration. It must not build what it tests: `./x` has done that before.

#![cfg(unix)]
#![recursion_limit = "512"]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod check;
mod licences;
mod run;
mod suites;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "x", about = "Cordée's tests, checks, demo and measurements")]
struct Line {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// All tests: Rust, UI, services, desktop
    Test {
        /// Without what needs services or a window
        #[arg(long)]
        fast: bool,
    },
    /// Format, lints, types, stale bindings, translations, licences
    Check,
    /// The program on a small hospital's real back ends
    Demo {
        /// On a screen that nobody sees, and end when every step was seen
        #[arg(long)]
        headless: bool,
        /// Leave numbered pictures of the steps in this folder
        #[arg(long)]
        shots: Option<PathBuf>,
    },
    /// Measure one area next to a peer
    Bench {
        /// start, chat, memory, tunnel, media
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The back ends alone: up, down, status
    Workplace {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(workplace::TOLD)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .init();
    let result = match Line::parse().action {
        Action::Test { fast } => suites::all(fast),
        Action::Check => check::all(),
        Action::Demo { headless, shots } => demo(headless, shots),
        // The tunnel is measured without the program and without a window.
        Action::Bench { arguments } if arguments.first().is_some_and(|area| area == "tunnel") => {
            sibling("tunnel-bench", &arguments[1..])
        }
        // Meetings neither.
        Action::Bench { arguments } if arguments.first().is_some_and(|area| area == "media") => {
            sibling("media-bench", &arguments[1..])
        }
        Action::Bench { arguments } => sibling("bench", &arguments),
        Action::Workplace { arguments } => sibling("workplace", &arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(headless: bool, shots: Option<PathBuf>) -> Result<bool> {
    let options = desktop::demo::Options {
        headless,
        shots,
        workplace: workplace::Options::default(),
    };
    tokio::runtime::Runtime::new()?.block_on(desktop::demo::run(options))?;
    Ok(true)
}

/// Runs the program of this name that was built beside this one.
fn sibling(name: &str, arguments: &[String]) -> Result<bool> {
    let program = std::env::current_exe()?.with_file_name(name);
    ensure!(
        program.exists(),
        "{} is missing: cargo build --package {name}",
        program.display()
    );
    let status = Command::new(&program)
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(status.success())
}
