//! A program that runs in the small network until it is dropped.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::namespaces::{Namespaces, RUN, only_child};

/// Longest wait until a program is ready.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Server {
    child: Child,
    name: String,
    log: std::path::PathBuf,
    /// Where its own lines begin; those of an earlier one with the same name stand before.
    begins: usize,
}

impl Server {
    /// Starts it; it writes to `/run/lab/NAME.log`.
    pub fn start(net: &Namespaces, name: &str, mut command: Command) -> Result<Self> {
        let log = net.path(format!("{RUN}/{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let begins = usize::try_from(file.metadata()?.len())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            child,
            name: name.to_owned(),
            log,
            begins,
        })
    }

    /// Waits until it has written this.
    pub fn has_said(&mut self, words: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = fs::read(&self.log)?;
            let own = log.get(self.begins..).unwrap_or_default();
            if String::from_utf8_lossy(own).contains(words) {
                return Ok(());
            }
            if let Some(end) = self.ended() {
                bail!(end);
            }
            ensure!(
                Instant::now() < deadline,
                "{} never said {words:?}",
                self.name
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it last wrote, if it ended by itself.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!(
            "{} ended ({status}). It last said: {}",
            self.name,
            self.last_lines()
        ))
    }

    pub fn last_lines(&self) -> String {
        crate::process::last_lines(&self.log, 25)
    }

    /// Stops it where it is, as a frozen machine would.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// `kill -9`; returns when it is gone.
    pub fn end(&mut self) {
        let program = only_child(self.child.id());
        // A program that changed its rights no longer dies with the process that brought it in.
        let _ = self.signal(Signal::SIGKILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Ok(program) = program {
            let deadline = Instant::now() + Duration::from_secs(5);
            while !is_gone(program) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = only_child(self.child.id())?;
        Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
    }
}

/// Its sockets are closed: only then it is a zombie, or no more there. Its memory goes earlier.
fn is_gone(program: u32) -> bool {
    fs::read_to_string(format!("/proc/{program}/stat")).map_or(true, |stat| {
        let state = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest.trim_start());
        state.starts_with(['Z', 'X'])
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
