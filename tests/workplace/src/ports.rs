//! Free ports on loopback, chosen when the workplace starts.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

use rand::Rng;

/// Below the range from which the systems take ports for outgoing connections (32768 and up), so that none of those
/// can slip in between our choice and the server's start; above what services are usually given.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// `N` different ports that nobody listens on. They were free a moment ago; a server that loses the race after all
/// says so in its log, and the workplace then chooses again.
pub fn free<const N: usize>() -> io::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut tries = 0;
    while held.len() < N {
        let port = rand::rng().random_range(RANGE);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => held.push((port, listener)),
            Err(e) if tries > 1_000 => return Err(e),
            Err(_) => tries += 1,
        }
    }
    let mut ports = [0; N];
    for (place, (port, _)) in ports.iter_mut().zip(&held) {
        *place = *port;
    }
    Ok(ports)
}

/// True when something accepts connections there.
pub fn open(port: u16) -> bool {
    std::net::TcpStream::connect_timeout(
        &(Ipv4Addr::LOCALHOST, port).into(),
        std::time::Duration::from_millis(500),
    )
    .is_ok()
}
