//! `bench tunnel`: what our tunnel costs and carries, beside wireguard-go with the kernel's TCP and beside
//! wireguard-go's own network stack, in the same small network, one after the other.
//!
//! ```text
//!   client's namespace                       gateway              inside
//!   ours (uid nobody, no capability)           ─┐
//!   wireguard-go or boringtun, TUN, kernel TCP  ├──▶ wireguard-go TUN ─┬─▶ source 5001, sink 5002, echo 5003
//!   Go netstack                                ─┘                      │
//!   ours with AnyConnect                       ─┬──▶ ocserv ───────────┘
//!   openconnect, ocproxy                       ─┘
//! ```
//!
//! The same program is the measured client, the load on the kernel's TCP, and the host inside; see [`order`].

#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod anyconnect;
mod carriers;
#[path = "../../src/figures.rs"]
#[allow(
    dead_code,
    reason = "shared with the other measurements, which print a table of their own"
)]
mod figures;
mod host;
mod load;
mod measure;
mod network;
mod order;
mod ours;
mod peers;
mod recovery;
mod soak;
mod speed;
mod taken;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "tunnel-bench",
    about = "Measures the tunnel beside its peers",
    args_conflicts_with_subcommands = true
)]
struct Line {
    #[command(flatten)]
    plan: measure::Plan,
    /// Where the figures are written as JSON
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What runs inside the small network.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Host,
    #[command(hide = true)]
    Ours { setup: String },
    #[command(hide = true)]
    Anyconnect { sign_in: String },
    #[command(hide = true)]
    Kernel { congestion_control: String },
    #[command(hide = true)]
    Socks { proxy: std::net::SocketAddr },
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter("error,tunnel_bench=info,workplace=info")
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    // The gateway starts its own small programs from this file too.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if workplace::gateway::parts::is_part(&arguments) {
        return workplace::gateway::parts::main(&arguments);
    }
    match run(Line::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(line: Line) -> anyhow::Result<()> {
    if let Some(part) = line.part {
        workplace::install_crypto();
        return tokio::runtime::Runtime::new()?.block_on(serve(part));
    }
    let rows = measure::all(&line.plan)?;
    taken::print(&rows);
    let name = line.plan.soak.map_or("tunnel", |_| "tunnel-soak");
    let file = figures::write(&line.folder, name, &rows)?;
    println!("\n{}", file.display());
    Ok(())
}

async fn serve(part: Part) -> anyhow::Result<()> {
    match part {
        Part::Host => host::serve().await,
        Part::Ours { setup } => ours::run(&setup).await,
        Part::Anyconnect { sign_in } => ours::anyconnect(&sign_in).await,
        Part::Kernel { congestion_control } => load::kernel(congestion_control.into()).await,
        Part::Socks { proxy } => load::socks(proxy).await,
    }
}
