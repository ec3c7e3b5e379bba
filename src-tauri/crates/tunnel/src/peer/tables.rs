//! What Windows and macOS have in common: the tables are read by crates that know the systems.

use std::net::SocketAddr;

use netstat2::{AddressFamilyFlags, ProtocolFlags, ProtocolSocketInfo, iterate_sockets_info};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::descends_from;

pub(super) fn is_held_by_family(peer: SocketAddr, local: SocketAddr, root: u32) -> bool {
    let family = match peer {
        SocketAddr::V4(_) => AddressFamilyFlags::IPV4,
        SocketAddr::V6(_) => AddressFamilyFlags::IPV6,
    };
    let Ok(sockets) = iterate_sockets_info(family, ProtocolFlags::TCP) else {
        return false;
    };
    let owners: Vec<u32> = sockets
        .flatten()
        .filter(|socket| match &socket.protocol_socket_info {
            ProtocolSocketInfo::Tcp(tcp) => {
                SocketAddr::new(tcp.local_addr, tcp.local_port) == peer
                    && SocketAddr::new(tcp.remote_addr, tcp.remote_port) == local
            }
            ProtocolSocketInfo::Udp(_) => false,
        })
        .flat_map(|socket| socket.associated_pids)
        .collect();
    if owners.contains(&root) {
        return true;
    }
    if owners.is_empty() {
        return false;
    }
    let Ok(mut system) = System::new() else {
        return false;
    };
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, ProcessRefreshKind::nothing());
    let parent_of = |id: u32| {
        let process = system.process(Pid::from_u32(id))?;
        let parent = system.process(process.parent()?)?;
        // Windows gives the number of an ended parent to somebody else: such a one is younger.
        (parent.start_time() <= process.start_time()).then(|| parent.pid().as_u32())
    };
    owners
        .into_iter()
        .any(|owner| descends_from(owner, root, parent_of))
}
