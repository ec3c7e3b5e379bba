//! A `WebDriver` server beside a program: `chromedriver` for the browser, `tauri-driver` for Cordée.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value};
use workplace::process::Crew;

use crate::home::Home;
use crate::wait;

/// Longest wait for a program to open its first window.
const OPENING: Duration = Duration::from_mins(1);

/// The server; dropping it kills it and what it started.
pub struct Driver {
    crew: Crew,
    port: u16,
}

impl Driver {
    /// Starts `command` in this home (already told to listen on these ports; the first one is its own) and waits until
    /// all of them listen.
    pub async fn start(home: &Home, name: &str, command: Command, ports: &[u16]) -> Result<Self> {
        let port = *ports.first().context("a driver needs a port")?;
        let log = home.folder().join("run").join(format!("{name}-{port}.log"));
        let crew = Crew::new(home.guard().clone(), log);
        crew.start(command)
            .with_context(|| format!("cannot start {name}"))?;
        for &port in ports {
            wait::until(&format!("{name} listens"), wait::PATIENCE, || async {
                ensure!(crew.ended().is_none(), "{}", crew.last_lines());
                Ok(tokio::net::TcpStream::connect(("127.0.0.1", port))
                    .await
                    .ok()
                    .map(drop))
            })
            .await?;
        }
        Ok(Self { crew, port })
    }

    /// Opens the program.
    pub async fn session(&self, capabilities: Map<String, Value>) -> Result<Client> {
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let opening = builder.capabilities(capabilities);
        let address = format!("http://127.0.0.1:{}", self.port);
        tokio::time::timeout(OPENING, opening.connect(&address))
            .await
            .with_context(|| {
                format!(
                    "no window after {} s. {}",
                    OPENING.as_secs(),
                    self.crew.last_lines()
                )
            })?
            .with_context(|| format!("the program did not open. {}", self.crew.last_lines()))
    }

    /// The process group of the server; what it starts is in it too, unless it leaves.
    pub fn pids(&self) -> Vec<i32> {
        self.crew.pids()
    }
}

/// A port that nobody listens on right now.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()?
        .port())
}

/// `tauri-driver`, which `./x` installs into the cache folder.
pub fn tauri_driver() -> Result<PathBuf> {
    if let Some(set) = std::env::var_os("TAURI_DRIVER") {
        return Ok(set.into());
    }
    let cached = workplace::cache()?.join("tools/bin/tauri-driver");
    if cached.exists() {
        return Ok(cached);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("tauri-driver"))
        .find(|file| file.exists())
        .context("tauri-driver is missing: ./x installs it (cargo install tauri-driver --version 2.1.0 --locked)")
}
