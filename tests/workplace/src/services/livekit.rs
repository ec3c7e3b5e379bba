//! Meetings: livekit-server, which forwards everybody's sound and pictures.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::guard::Guard;
use crate::process::{Crew, command};
use crate::service::{Service, Step, answers};
use crate::site::{Site, cache, write};

/// The last version that `go install` takes: later ones replace modules, which it refuses.
pub const VERSION: &str = "1.13.5";
const PACKAGE: &str = "github.com/livekit/livekit-server/cmd/server";
const API_KEY: &str = "workplace";

pub struct LiveKit {
    crew: Crew,
}

impl LiveKit {
    pub fn new(site: &Site, guard: Arc<Guard>) -> Self {
        Self {
            crew: Crew::new(guard, site.folder("livekit").join("livekit.log")),
        }
    }
}

pub fn address(site: &Site) -> String {
    format!("ws://127.0.0.1:{}", site.ports.meetings)
}

/// Lets `identity` into the room for so many seconds. The server forgives a minute, so −50 is another ten seconds.
pub fn token(site: &Site, room: &str, identity: &str, seconds: i64) -> Result<String> {
    let grant = json!({
        "room": room, "roomJoin": true, "canPublish": true, "canSubscribe": true, "canPublishData": true,
    });
    sign(site, identity, seconds, &grant)
}

/// Does what an organiser may: `RemoveParticipant`, `DeleteRoom` and so on of the server's `RoomService`.
pub async fn organise(
    site: &Site,
    method: &str,
    room: &str,
    wish: &serde_json::Value,
) -> Result<()> {
    let grant = json!({ "room": room, "roomAdmin": true, "roomCreate": true });
    let address = format!(
        "http://127.0.0.1:{}/twirp/livekit.RoomService/{method}",
        site.ports.meetings
    );
    let answer = crate::browser::client(&site.authority)?
        .post(address)
        .bearer_auth(sign(site, "organiser", 60, &grant)?)
        .json(wish)
        .send()
        .await?;
    let status = answer.status();
    ensure!(status.is_success(), "{method}: {status}");
    Ok(())
}

/// An access token as the server's documentation describes it: a JWT, signed with the API secret.
fn sign(site: &Site, identity: &str, seconds: i64, grant: &serde_json::Value) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let expires = now.saturating_add_signed(seconds);
    let claims = json!({
        "iss": API_KEY, "sub": identity, "name": identity, "nbf": now - 600, "exp": expires, "video": grant,
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        part(&json!({ "alg": "HS256", "typ": "JWT" })),
        part(&claims)
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(site.secret.as_bytes())?;
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    Ok(format!("{signed}.{signature}"))
}

impl Service for LiveKit {
    fn name(&self) -> &'static str {
        "livekit"
    }

    fn install(&self) -> Result<()> {
        let program = program()?;
        if program.exists() {
            return Ok(());
        }
        let lock = std::fs::File::create(cache()?.join("livekit.lock"))?;
        lock.lock()?;
        if program.exists() {
            return Ok(());
        }
        tracing::info!("building livekit-server {VERSION} with Go (once, some minutes)");
        let folder = folder()?;
        // Go may need the authorities that this session was given to reach its module proxy.
        let build = Command::new(go())
            .args(["install", "-trimpath", "-ldflags", "-s -w"])
            .arg(format!("{PACKAGE}@v{VERSION}"))
            .env("GOBIN", &folder)
            .env("GOFLAGS", "-modcacherw")
            .output()
            .context("Go is missing (./x brings it)")?;
        ensure!(
            build.status.success(),
            "livekit-server cannot be built:\n{}",
            String::from_utf8_lossy(&build.stderr)
        );
        // The package is called `server`; the name is changed last, so that half a build is none.
        std::fs::rename(folder.join("server"), program)?;
        Ok(())
    }

    fn configure(&self, site: &Site) -> Result<()> {
        let configuration = json!({
            "port": site.ports.meetings,
            "bind_addresses": ["127.0.0.1"],
            "keys": { API_KEY: site.secret },
            "rtc": {
                "udp_port": site.ports.meetings_media,
                // It listens on all interfaces, whatever `bind_addresses` says.
                "tcp_port": if site.options.meetings_tcp { site.ports.meetings_media } else { 0 },
                "use_external_ip": false,
                "node_ip": "127.0.0.1",
                "enable_loopback_candidate": true,
                "interfaces": { "includes": ["lo"] },
                "stun_servers": [],
            },
            "turn": relay(site),
            "room": { "auto_create": true, "empty_timeout": 20 },
            "logging": { "level": "info", "json": false },
        });
        // YAML reads JSON.
        write(&file(site), configuration.to_string())
    }

    fn start(&self, site: &Site) -> Result<()> {
        let mut server = command(program()?);
        server.arg("--config").arg(file(site));
        self.crew.start(server)
    }

    fn ready<'a>(&'a self, site: &'a Site) -> Step<'a> {
        let address = format!("http://127.0.0.1:{}/", site.ports.meetings);
        answers(site, "livekit", address)
    }

    fn crew(&self) -> &Crew {
        &self.crew
    }
}

/// So long the server lets somebody begin to use its relay: for tests of what happens later.
pub const RELAY_LIFETIME: Duration = Duration::from_secs(10);
/// From these ports the relay speaks for those who are behind it.
pub const RELAY_PORTS: std::ops::RangeInclusive<u16> = 30_000..=30_010;

fn relay(site: &Site) -> serde_json::Value {
    json!({
        "enabled": site.options.meetings_relay,
        "bind_addresses": ["127.0.0.1"],
        "udp_port": site.ports.meetings_relay,
        "tls_port": 443,
        // A name has to have a dot, and this one needs no resolver.
        "domain": "127.0.0.1",
        "cert_file": site.folder("tls").join("server.crt"),
        "key_file": site.folder("tls").join("server.key"),
        "ttl_seconds": RELAY_LIFETIME.as_secs(),
        "relay_range_start": RELAY_PORTS.start(),
        "relay_range_end": RELAY_PORTS.end(),
        // The media server itself is on this machine.
        "allow_restricted_peer_cidrs": ["127.0.0.0/8"],
    })
}

fn file(site: &Site) -> PathBuf {
    site.folder("livekit").join("livekit.yaml")
}

fn folder() -> Result<PathBuf> {
    Ok(cache()?.join(format!("livekit-{VERSION}")))
}

fn program() -> Result<PathBuf> {
    Ok(folder()?.join("livekit-server"))
}

/// Go from the path, or where its own installer puts it.
fn go() -> PathBuf {
    let usual = Path::new("/usr/local/go/bin/go");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("go"))
        .find(|program| program.exists())
        .unwrap_or_else(|| usual.to_owned())
}
