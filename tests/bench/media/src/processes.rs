//! What the kernel counts about a process and its children.

use std::collections::HashSet;
use std::fs;

/// Ticks of the processor's time per second: fixed on Linux (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Seconds of processor time that the process and its living children have used.
pub fn processor(root: u32) -> f64 {
    let ticks: u64 = tree(root).into_iter().filter_map(ticks).sum();
    #[allow(clippy::cast_precision_loss)]
    let ticks = ticks as f64;
    ticks / TICKS
}

/// Bytes of memory of the process and its children, shared pages once (PSS).
pub fn memory(root: u32) -> u64 {
    let of = |process: u32| {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        let line = text.lines().find(|line| line.starts_with("Pss:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    tree(root).into_iter().filter_map(of).sum::<u64>() * 1024
}

/// Datagrams that found the receive buffer of their socket full, of all programs in this network namespace.
pub fn overflows() -> u64 {
    let text = fs::read_to_string("/proc/self/net/snmp").unwrap_or_default();
    let mut lines = text.lines().filter(|line| line.starts_with("Udp: "));
    let (names, values) = (lines.next(), lines.next());
    let mut counts = names
        .into_iter()
        .flat_map(str::split_whitespace)
        .zip(values.into_iter().flat_map(str::split_whitespace));
    let count = counts.find(|(name, _)| *name == "RcvbufErrors");
    count
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or_default()
}

fn tree(root: u32) -> HashSet<u32> {
    let parents: Vec<_> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|process| Some((process, field(process, 1)?)))
        .collect();
    let mut tree = HashSet::from([root]);
    loop {
        let before = tree.len();
        for (process, parent) in &parents {
            if u32::try_from(*parent).is_ok_and(|parent| tree.contains(&parent)) {
                tree.insert(*process);
            }
        }
        if tree.len() == before {
            return tree;
        }
    }
}

fn ticks(process: u32) -> Option<u64> {
    // utime and stime, fields 14 and 15 of proc(5); the name before them may hold spaces.
    Some(field(process, 11)? + field(process, 12)?)
}

/// Counted from the state, which follows the name.
fn field(process: u32, at: usize) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(at)?.parse().ok()
}
