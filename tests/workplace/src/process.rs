//! Server processes: each leads a process group of its own, writes to a log file, and ends with that group.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::guard::Guard;

/// How long a server may take to end by itself before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A command without what this session's environment would change in a server: other people's certificate
/// authorities, and proxies for what is on this machine anyway.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in [
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ] {
        command.env_remove(name);
    }
    for name in ["NO_PROXY", "no_proxy"] {
        command.env(name, "localhost,127.0.0.1,.localhost");
    }
    command
}

/// The processes of one service.
pub struct Crew {
    guard: Arc<Guard>,
    log: PathBuf,
    servers: Mutex<Vec<(Pid, Child)>>,
}

impl Crew {
    pub fn new(guard: Arc<Guard>, log: PathBuf) -> Self {
        Self {
            guard,
            log,
            servers: Mutex::new(Vec::new()),
        }
    }

    /// Starts one server of the service; it writes to the service's log.
    pub fn start(&self, command: Command) -> Result<()> {
        self.start_with_log(command, &self.log)
    }

    pub fn start_with_log(&self, mut command: Command, log: &Path) -> Result<()> {
        let program = command.get_program().to_string_lossy().into_owned();
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let group = i32::try_from(child.id())?;
        self.lock().push((Pid::from_raw(group), child));
        self.guard.watch(group)
    }

    /// The processes that we started and that still run; each is also the number of its group.
    pub fn pids(&self) -> Vec<i32> {
        self.lock()
            .iter_mut()
            .filter_map(|(group, child)| {
                matches!(child.try_wait(), Ok(None)).then_some(group.as_raw())
            })
            .collect()
    }

    /// A sentence about a server that ended by itself.
    pub fn ended(&self) -> Option<String> {
        self.lock()
            .iter_mut()
            .find_map(|(group, child)| match child.try_wait() {
                Ok(Some(status)) => Some(format!("process {group} ended ({status})")),
                _ => None,
            })
    }

    /// Asks the servers to end, last started first, and kills those that do not. Blocks up to [`PATIENCE`].
    pub fn stop(&self) {
        self.end(Signal::SIGTERM);
    }

    /// `kill -9` for all of them, as a crash would do.
    pub fn kill(&self) {
        self.end(Signal::SIGKILL);
    }

    /// The last lines that the service wrote.
    pub fn last_lines(&self) -> String {
        last_lines(&self.log, 25)
    }

    fn end(&self, signal: Signal) {
        let mut servers = self.lock();
        let deadline = Instant::now() + PATIENCE;
        for (group, _) in servers.iter().rev() {
            let _ = killpg(*group, signal);
        }
        for (group, mut child) in servers.drain(..).rev() {
            while !gone(group, &mut child) {
                if Instant::now() > deadline {
                    let _ = killpg(group, Signal::SIGKILL);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            self.guard.forget(group.as_raw());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Pid, Child)>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.kill();
    }
}

/// True when the group has no member left, forked ones included.
fn gone(group: Pid, child: &mut Child) -> bool {
    let ours = !matches!(child.try_wait(), Ok(None));
    ours && (killpg(group, None) == Err(Errno::ESRCH) || alive(group.as_raw()).is_empty())
}

/// The processes of a group that still run, without those that have ended and wait to be reaped by somebody else.
pub fn alive(group: i32) -> Vec<i32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            // proc(5): after the name in brackets come state, parent, group.
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
                let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
                let mut fields = rest.split_whitespace();
                !matches!(fields.next(), Some("Z" | "X") | None)
                    && fields.nth(1) == Some(&group.to_string())
            })
        })
        .collect()
}

/// True for a process that is gone, or has ended and waits to be reaped.
pub fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    matches!(rest.split_whitespace().next(), Some("Z" | "X") | None)
}

/// The last `count` lines of a file, reading no more than its last 64 kB.
pub fn last_lines(path: &Path, count: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(64 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
