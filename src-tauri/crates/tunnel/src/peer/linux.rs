//! Linux: `/proc/net/tcp` names the user and the socket's number; a descendant that has this
//! number among its open files holds it (`proc_pid_fd(5)`, `proc_pid_net(5)`).

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};

use super::descends_from;

pub(super) fn is_held_by_family(peer: SocketAddr, local: SocketAddr, root: u32) -> bool {
    let Some((user, socket)) = socket_of(peer, local) else {
        return false;
    };
    if user != nix::unistd::getuid().as_raw() {
        return false;
    }
    let link = format!("socket:[{socket}]");
    // Only descendants are looked through: that is quicker than all, and all that matters.
    holds(root, &link) || descendants(root).into_iter().any(|id| holds(id, &link))
}

/// User and number of the socket with these ends.
fn socket_of(peer: SocketAddr, local: SocketAddr) -> Option<(u32, u64)> {
    let table = match peer {
        SocketAddr::V4(_) => "/proc/net/tcp",
        SocketAddr::V6(_) => "/proc/net/tcp6",
    };
    let (peer, local) = (written(peer), written(local));
    // Line by line: the table can be long, and the line is often near its front.
    BufReader::new(fs::File::open(table).ok()?)
        .lines()
        .skip(1)
        .map_while(Result::ok)
        .find_map(|line| {
            let mut columns = line.split_ascii_whitespace();
            let ends = (columns.nth(1)?, columns.next()?);
            if ends != (peer.as_str(), local.as_str()) {
                return None;
            }
            let user = columns.nth(4)?.parse().ok()?;
            let socket = columns.nth(1)?.parse().ok()?;
            // A socket that is only closing belongs to nobody.
            (socket != 0).then_some((user, socket))
        })
}

/// Words of the address as the kernel prints them: in the order of the machine.
fn written(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(v4) => format!("{:08X}", u32::from_ne_bytes(v4.octets())),
        IpAddr::V6(v6) => {
            let words: Vec<String> = v6
                .octets()
                .chunks_exact(4)
                .filter_map(|word| word.try_into().ok())
                .map(|word| format!("{:08X}", u32::from_ne_bytes(word)))
                .collect();
            words.concat()
        }
    };
    format!("{ip}:{:04X}", address.port())
}

fn holds(process: u32, link: &str) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return false;
    };
    open.flatten()
        .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link))
}

fn descendants(root: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let parents: HashMap<u32, u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, parent_of(id)?)))
        .collect();
    parents
        .keys()
        .copied()
        .filter(|id| *id != root && descends_from(*id, root, |id| parents.get(&id).copied()))
        .collect()
}

/// The fourth field of `stat`; the second is a name in parentheses that may hold anything.
fn parent_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(1)?.parse().ok()
}
