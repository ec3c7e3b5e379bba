//! livekit-client in headless Chromium, driven by the page and the script of the crate's own tests.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

pub struct Browser {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    /// The packages of the page are installed by the tests of `media`, into the cache.
    pub async fn open() -> Result<Self> {
        // `./x` starts in the checkout's folder.
        let page = std::path::absolute("src-tauri/crates/media/tests/meetings/browser")?;
        let modules = workplace::cache()?.join("meetings-browser");
        if !modules.join("installed.json").exists() {
            install(&page, &modules).await?;
        }
        let mut child = Command::new("node")
            .arg(page.join("drive.mjs"))
            .arg(page.join("page.html"))
            .arg(modules)
            .arg(chromium()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("node is missing (./x brings it)")?;
        let input = child.stdin.take().context("input")?;
        let output = BufReader::new(child.stdout.take().context("output")?).lines();
        let mut browser = Self {
            child,
            input,
            output,
        };
        browser.answer().await?;
        Ok(browser)
    }

    pub fn process(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    pub async fn call(&mut self, name: &str, with: Value) -> Result<Value> {
        let line = json!({ "call": name, "with": with }).to_string() + "\n";
        self.input.write_all(line.as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Value> {
        let line = self.output.next_line().await?;
        let answer: Value = serde_json::from_str(&line.context("the browser ended")?)?;
        if let Some(error) = answer.get("error") {
            bail!("in the browser: {error}");
        }
        Ok(answer["ok"].clone())
    }
}

async fn install(page: &Path, modules: &Path) -> Result<()> {
    std::fs::create_dir_all(modules)?;
    std::fs::copy(page.join("package.json"), modules.join("package.json"))?;
    let installed = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(modules)
        .output()
        .await
        .context("npm is missing (./x brings it)")?;
    if !installed.status.success() {
        bail!("{}", String::from_utf8_lossy(&installed.stderr));
    }
    std::fs::copy(page.join("package.json"), modules.join("installed.json"))?;
    Ok(())
}

fn chromium() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).flat_map(|folder| {
        ["chromium", "google-chrome", "chromium-browser"].map(|name| folder.join(name))
    });
    found
        .find(|program| program.exists())
        .context("Chromium is missing (./x brings it)")
}
