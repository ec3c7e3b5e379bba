//! A `WireGuard` gateway: wireguard-go or boringtun, told what to do over its socket.
//!
//! Source: the cross-platform interface, <https://www.wireguard.com/xplatform/>.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::namespaces::{Namespaces, Net, Who};
use super::server::Server;
use crate::process::command;
use crate::site::{cache, hex};

/// Fixed, so that the cache fits. The gateway is a test's: newer is not better.
const GO_MODULE: &str = "golang.zx2c4.com/wireguard@v0.0.0-20260522210424-ecfc5a8d5446";

/// A key pair (X25519).
#[derive(Clone)]
pub struct KeyPair {
    private: x25519_dalek::StaticSecret,
}

impl KeyPair {
    pub fn random() -> Self {
        Self {
            private: x25519_dalek::StaticSecret::from(rand::random::<[u8; 32]>()),
        }
    }

    pub fn private(&self) -> String {
        BASE64.encode(self.private.to_bytes())
    }

    pub fn public(&self) -> String {
        BASE64.encode(self.public_bytes())
    }

    fn public_bytes(&self) -> [u8; 32] {
        x25519_dalek::PublicKey::from(&self.private).to_bytes()
    }
}

/// One gateway process with its interface. Peers that were added stay when it is started again.
pub struct WireGuard {
    interface: String,
    /// The second byte of its IPv4 network `10.N.0.0/16`; `fdN::/64` is the other.
    network: u8,
    port: u16,
    keys: KeyPair,
    peers: Vec<(KeyPair, u16)>,
    program: String,
    server: Option<Server>,
}

impl WireGuard {
    /// `program` as [`find`] gave it, bound into the small network as `wireguard`.
    pub fn new(network: u8, port: u16) -> Self {
        Self {
            interface: format!("wg{network}"),
            network,
            port,
            keys: KeyPair::random(),
            peers: Vec::new(),
            program: format!("{}/bin/wireguard", super::namespaces::RUN),
            server: None,
        }
    }

    pub fn public_key(&self) -> String {
        self.keys.public()
    }

    /// The UDP port in the gateway's namespace.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The gateway's own addresses inside the tunnel.
    pub fn addresses(&self) -> (String, String) {
        (
            format!("10.{}.0.1", self.network),
            format!("fd{}::1", self.network),
        )
    }

    pub fn start(&mut self, net: &Namespaces) -> Result<()> {
        let mut start = net.command(Net::Gateway, Who::Root, &self.program);
        start
            .args(["-f", &self.interface])
            .env("LOG_LEVEL", "error");
        self.server = Some(Server::start(net, &self.interface, start)?);
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut set = format!(
            "private_key={}\nlisten_port={}\n",
            hex(self.keys.private.to_bytes()),
            self.port
        );
        for (keys, place) in &self.peers {
            self.describe(&mut set, keys, *place);
        }
        while let Err(why) = self.set(net, &set) {
            if let Some(said) = self.server.as_mut().and_then(Server::ended) {
                bail!(
                    "the WireGuard gateway ended; it needs /dev/net/tun, which an ordinary user may open where its mode is 666: {said}"
                );
            }
            ensure!(
                Instant::now() < deadline,
                "the WireGuard gateway takes no settings: {why:#}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        let (v4, v6) = self.addresses();
        let interface = &self.interface;
        net.script(&format!(
            "ip -n gateway addr add {v4}/16 dev {interface}; ip -n gateway addr add {v6}/64 dev {interface} nodad
             ip -n gateway link set {interface} mtu 1420 up"
        ))
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Lets this key in. Gives its addresses inside.
    pub fn add_peer(&mut self, net: &Namespaces, keys: &KeyPair) -> Result<(String, String)> {
        let place = u16::try_from(self.peers.len() + 2)?;
        self.peers.push((keys.clone(), place));
        let mut set = String::new();
        self.describe(&mut set, keys, place);
        if self.server.is_some() {
            self.set(net, &set)?;
        }
        Ok((self.v4(place), self.v6(place)))
    }

    /// Lets a key in again that was removed, with the addresses that it had.
    pub fn restore_peer(&mut self, net: &Namespaces, keys: &KeyPair) -> Result<()> {
        let mut known = self.peers.iter();
        let place = known.find(|(known, _)| known.public_bytes() == keys.public_bytes());
        let place = place.context("this key was never let in")?.1;
        let mut set = String::new();
        self.describe(&mut set, keys, place);
        self.set(net, &set)
    }

    /// This key's time is over, until it is restored or the gateway starts again.
    pub fn remove_peer(&self, net: &Namespaces, keys: &KeyPair) -> Result<()> {
        self.set(
            net,
            &format!("public_key={}\nremove=true\n", hex(keys.public_bytes())),
        )
    }

    fn describe(&self, set: &mut String, keys: &KeyPair, place: u16) {
        let key = hex(keys.public_bytes());
        let (v4, v6) = (self.v4(place), self.v6(place));
        let _ = write!(
            set,
            "public_key={key}\nreplace_allowed_ips=true\nallowed_ip={v4}/32\nallowed_ip={v6}/128\n"
        );
    }

    fn v4(&self, place: u16) -> String {
        format!("10.{}.{}.{}", self.network, place >> 8, place & 255)
    }

    fn v6(&self, place: u16) -> String {
        format!("fd{}::{place:x}", self.network)
    }

    fn set(&self, net: &Namespaces, lines: &str) -> Result<()> {
        let socket = net.path(format!("/run/wireguard/{}.sock", self.interface));
        let mut socket = UnixStream::connect(socket)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(format!("set=1\n{lines}\n").as_bytes())?;
        let mut answer = Vec::new();
        let mut part = [0; 256];
        while !answer.ends_with(b"\n\n") {
            match socket.read(&mut part)? {
                0 => break,
                count => answer.extend_from_slice(&part[..count]),
            }
        }
        let answer = String::from_utf8_lossy(&answer);
        ensure!(
            answer.contains("errno=0"),
            "the WireGuard gateway refused: {}",
            answer.trim()
        );
        Ok(())
    }
}

/// The gateway's program: ours from the cache (built with Go once), Debian's wireguard-go, or boringtun.
pub fn find() -> Result<PathBuf> {
    let tools = cache()?.join("tools/bin");
    let built = tools.join("wireguard");
    if built.exists() {
        return Ok(built);
    }
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/local/go/bin:/usr/sbin";
    let on_path = |name: &str| {
        let mut folders = std::env::split_paths(&path).chain([tools.clone()]);
        folders.find_map(|folder| Some(folder.join(name)).filter(|program| program.exists()))
    };
    if let Some(go) = on_path("go") {
        match build(&go, &tools) {
            Ok(()) => return Ok(built),
            Err(why) => tracing::warn!("wireguard-go cannot be built: {why:#}"),
        }
    }
    let others = ["wireguard-go", "boringtun-cli"]
        .into_iter()
        .find_map(on_path);
    others.context(
        "There is no WireGuard gateway. Install one: apt-get install wireguard-go (./x does it for you)",
    )
}

fn build(go: &Path, into: &Path) -> Result<()> {
    let output = command(go)
        .args(["install", GO_MODULE])
        .env("GOBIN", into)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    Ok(())
}
