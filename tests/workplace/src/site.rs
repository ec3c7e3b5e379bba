//! The facts about one running workplace that all its services share: folders, ports, names, people.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rand::Rng;

use crate::options::Options;
use crate::people::{self, Person};
use crate::{certificate, ports};

/// The organisation's name without port; also the Matrix server name, so that a seeded database fits every port.
pub const DOMAIN: &str = "saint-elme.localhost";
/// How Cordée presents itself to the portal.
pub const CLIENT_ID: &str = "cordee";
/// Where Cordée listens for the browser's answer. The portal compares addresses exactly, so they are fixed.
pub const REDIRECT_PORTS: [u16; 3] = [47_811, 47_812, 47_813];
/// The private scheme for browsers on systems where none of these ports is free.
pub const PRIVATE_SCHEME: &str = "cordee";

pub struct Site {
    pub options: Options,
    pub run: PathBuf,
    pub people: Vec<Person>,
    pub ports: Ports,
    /// The certificate authority, PEM.
    pub authority: String,
    /// One password for what the services say to each other.
    pub secret: String,
}

pub struct Ports {
    /// Everything that people and programs see, by name.
    pub front: u16,
    /// One page without TLS, by which networks that catch everything can be told apart.
    pub plain: u16,
    pub sms: u16,
    pub sms_admin: u16,
    pub sms_box: u16,
    pub sms_network: u16,
    /// Signalling of meetings, and the one UDP port of their media.
    pub meetings: u16,
    pub meetings_media: u16,
    /// TURN over UDP.
    pub meetings_relay: u16,
}

impl Site {
    pub fn new(mut options: Options, run: PathBuf) -> Result<Self> {
        // The conversations speak of all who are written by hand.
        options.people = options.people.max(people::WRITTEN_COUNT);
        let people = people::people(options.people);
        let authority = certificate::make(&run.join("tls"), DOMAIN)?;
        let [
            front,
            plain,
            sms,
            sms_admin,
            sms_box,
            sms_network,
            meetings,
            meetings_media,
            meetings_relay,
        ] = ports::free().context("no free port on 127.0.0.1")?;
        let secret = random_hex(16);
        let ports = Ports {
            front,
            plain,
            sms,
            sms_admin,
            sms_box,
            sms_network,
            meetings,
            meetings_media,
            meetings_relay,
        };
        Ok(Self {
            options,
            run,
            people,
            ports,
            authority,
            secret,
        })
    }

    /// A service's own folder inside the run folder.
    pub fn folder(&self, service: &str) -> PathBuf {
        self.run.join(service)
    }

    /// `saint-elme.localhost:PORT`, what a person types after the @.
    pub fn organisation(&self) -> String {
        format!("{DOMAIN}:{}", self.ports.front)
    }

    pub fn issuer(&self) -> String {
        format!("https://auth.{DOMAIN}:{}", self.ports.front)
    }

    pub fn homeserver(&self) -> String {
        format!("https://matrix.{DOMAIN}:{}", self.ports.front)
    }

    /// The portal under a name that the system's resolver knows: glibc does not resolve `*.localhost`.
    pub fn portal_for_servers(&self) -> String {
        format!("https://localhost:{}", self.ports.front)
    }

    pub fn authority_file(&self) -> PathBuf {
        self.run.join("tls/ca.crt")
    }

    pub fn phone_log(&self) -> PathBuf {
        self.run.join("sms/phone.log")
    }
}

/// The folder where downloads and snapshots are kept between runs.
pub fn cache() -> Result<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let folder = set("CORDEE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|f| f.join("cordee")))
        .or_else(|| set("HOME").map(|f| f.join(".cache/cordee")))
        .context("no cache folder: set HOME or CORDEE_CACHE")?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

pub fn random_hex(bytes: usize) -> String {
    let mut rng = rand::rng();
    hex((0..bytes).map(|_| rng.random()))
}

pub fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    let digit = |four: u8| char::from_digit(four.into(), 16).unwrap_or_default();
    let both = |byte: u8| [digit(byte >> 4), digit(byte & 15)];
    bytes.into_iter().flat_map(both).collect()
}

/// Writes a file and the folders above it.
pub fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
