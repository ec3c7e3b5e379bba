//! Processes as the kernel counts them: the tree below one, its memory, its time.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What one process tree takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident pages of each process, shared ones counted each time, in bytes.
    pub rss: u64,
    /// Proportional share: a page that three processes share counts a third for each, in bytes.
    pub pss: u64,
    pub processes: usize,
}

/// `root` and everything below it.
pub fn tree(root: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for (pid, stat) in all() {
        children.entry(stat.parent).or_default().push(pid);
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(children.get(&pid).into_iter().flatten());
        next += 1;
    }
    found
}

/// The process below `root` that runs this program.
pub fn running(root: i32, program: &Path) -> Option<i32> {
    tree(root)
        .into_iter()
        .find(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program))
}

pub fn memory(root: i32) -> Memory {
    let mut sum = Memory::default();
    for pid in tree(root) {
        // A process that ends meanwhile counts nothing.
        let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
            continue;
        };
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
                .unwrap_or_default()
                * 1024
        };
        sum.rss += of("Rss:");
        sum.pss += of("Pss:");
        sum.processes += 1;
    }
    sum
}

/// The time that the tree has spent on processors so far, children that have ended and were waited for included.
pub fn cpu_time(root: i32) -> Duration {
    let ticks: u64 = tree(root)
        .into_iter()
        .filter_map(|pid| stat(pid).map(|stat| stat.ticks))
        .sum();
    // Linux counts in hundredths of a second for programs whatever its own clock does (proc(5), USER_HZ).
    Duration::from_millis(ticks * 10)
}

pub fn send(pid: i32, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(pid), signal)
        .with_context(|| format!("process {pid} cannot be sent {signal}"))
}

/// True while the process runs; one that ended and waits to be reaped does not.
pub fn alive(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

struct Stat {
    state: char,
    parent: i32,
    ticks: u64,
}

fn all() -> Vec<(i32, Stat)> {
    let Ok(folders) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    folders
        .filter_map(|folder| folder.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect()
}

fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc(5): after the name in brackets come state, parent, …; fields 14 to 17 are times.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
    })
}
