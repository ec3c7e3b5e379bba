//! The profile file: everything a tunnel needs, written by an administrator.
//!
//! Strict: an unknown key, a wrong type or a rule that cannot work refuses the whole file, with
//! the line and the key. Half a profile would be worse than none. `docs/for-administrators.md`
//! says how to make one.

mod check;
mod read;
mod written;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::carrier::websocket::WebSocket;
use crate::carrier::{Carrier, Udp};
use crate::cstp::Gateway;
use crate::policy::{Host, Policy};
use crate::probe::UnderlayCheck;
use crate::source::Inside;
use crate::wireguard::{WireGuard, WireGuardConfig};

/// A profile that holds together.
#[derive(Debug, Clone)]
pub struct Profile {
    pub source: SourceProfile,
    pub policy: Policy,
    pub probe: ProbeProfile,
    /// How to recognise a captive portal.
    pub underlay: Option<UnderlayCheck>,
    /// Start nothing where the system reaches the inside by itself.
    pub coexist: bool,
    /// Where the local port listens (loopback; port 0: any); `None`: nowhere.
    pub proxy: Option<SocketAddr>,
    pub forwards: Vec<Forward>,
}

/// How the organisation is reached.
#[derive(Debug, Clone)]
pub enum SourceProfile {
    WireGuard(Box<WireGuardProfile>),
    AnyConnect(AnyConnectProfile),
}

/// The table `[wireguard]`.
#[derive(Debug, Clone)]
pub struct WireGuardProfile {
    pub config: WireGuardConfig,
    /// Name or address of the gateway.
    pub host: String,
    /// UDP ports in order of preference.
    pub ports: Vec<u16>,
    /// `wss://…`: the way where UDP is blocked.
    pub websocket: Option<String>,
    /// PEM file of the authority for the WebSocket; `None`: the system's.
    pub ca: Option<PathBuf>,
}

/// The table `[anyconnect]`.
#[derive(Debug, Clone)]
pub struct AnyConnectProfile {
    pub host: String,
    pub port: u16,
    pub user: Option<String>,
    pub group: Option<String>,
    /// PEM file of the gateway's authority; `None`: the system's.
    pub ca: Option<PathBuf>,
}

/// The table `[probe]`.
#[derive(Debug, Clone)]
pub struct ProbeProfile {
    pub host: Host,
    pub port: u16,
    pub path: String,
    pub expect: String,
    /// PEM file of the only authority that may vouch for the probe's server.
    pub ca: PathBuf,
    pub every: Option<Duration>,
}

/// One `[[forward]]`.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Loopback; port 0: any.
    pub listen: SocketAddr,
    pub host: Host,
    pub port: u16,
}

/// What is wrong in a profile, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// `table.key`, or what stands there in its place.
    pub key: String,
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, {}: {}", self.line, self.key, self.what)
    }
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("the profile cannot be read: {0}")]
    File(#[from] std::io::Error),
    /// Never empty.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>),
}

impl Profile {
    /// Longest profile, bytes.
    pub const LONGEST: u64 = 256 * 1024;

    /// Reads a file. Paths in it are relative to its folder.
    pub fn read(path: &Path) -> Result<Self, ProfileError> {
        if std::fs::metadata(path)?.len() > Self::LONGEST {
            return Err(std::io::Error::from(std::io::ErrorKind::FileTooLarge).into());
        }
        let text = std::fs::read_to_string(path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder).map_err(ProfileError::Mistakes)
    }

    /// Reads a text. Paths in it are relative to `folder`. Nothing is opened or resolved.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Mistake>> {
        check::checked(text, read::read(text)?, folder)
    }
}

impl WireGuardProfile {
    /// The source that this describes. `tls` is for the WebSocket; without it that way is left
    /// out. Fails when the WebSocket's address is none.
    pub fn source(&self, tls: Option<Arc<rustls::ClientConfig>>) -> std::io::Result<WireGuard> {
        let mut carriers: Vec<Arc<dyn Carrier>> = self
            .ports
            .iter()
            .map(|port| Arc::new(Udp::new(self.host.clone(), *port)) as Arc<dyn Carrier>)
            .collect();
        if let (Some(url), Some(tls)) = (&self.websocket, tls) {
            carriers.push(Arc::new(WebSocket::new(url, tls)?));
        }
        Ok(WireGuard::new(self.config.clone(), carriers))
    }
}

impl AnyConnectProfile {
    pub fn gateway(&self, tls: Arc<rustls::ClientConfig>) -> Gateway {
        let gateway = Gateway::new(self.host.clone(), self.port, tls);
        match &self.group {
            Some(group) => gateway.with_group(group.clone()),
            None => gateway,
        }
    }
}

/// Largest packet of a `WireGuard` tunnel over an Ethernet of 1,500 bytes and IPv6, bytes.
const USUAL_MTU: u16 = 1420;

/// What the gateway gives us inside, as written in the profile.
fn inside(
    addresses: &[std::net::IpAddr],
    dns: Vec<std::net::IpAddr>,
    search: Vec<String>,
    mtu: Option<u16>,
    echo: Option<std::net::IpAddr>,
) -> Inside {
    Inside {
        v4: addresses.iter().find_map(|address| match address {
            std::net::IpAddr::V4(v4) => Some(*v4),
            std::net::IpAddr::V6(_) => None,
        }),
        v6: addresses.iter().find_map(|address| match address {
            std::net::IpAddr::V6(v6) => Some(*v6),
            std::net::IpAddr::V4(_) => None,
        }),
        // A resolver is there as a rule, and answers echoes.
        echo: echo.or_else(|| dns.first().copied()),
        dns,
        search,
        mtu: mtu.unwrap_or(USUAL_MTU),
        networks: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
