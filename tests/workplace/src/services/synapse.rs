//! Chat: Synapse on `SQLite` behind the front, with the portal as its identity provider.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};

use crate::guard::Guard;
use crate::process::{Crew, command};
use crate::seed::{self, Homeserver};
use crate::service::{Service, Step, answers, need};
use crate::services::oidc;
use crate::site::{DOMAIN, REDIRECT_PORTS, Site, cache, write};
use crate::snapshot::Snapshot;

pub const VERSION: &str = "1.163.2";
/// The portal's name among Synapse's ways to sign in; Matrix adds the prefix.
pub const IDENTITY_PROVIDER: &str = "oidc-portal";
/// Rate limits that are lifted: one person here does what a hundred do elsewhere.
const LIMITS: [&str; 9] = [
    "rc_message",
    "rc_registration",
    "rc_joins_per_room",
    "rc_room_creation",
    "rc_user_directory",
    "rc_delayed_event_mgmt",
    "rc_media_create",
    "rc_key_requests",
    "rc_profile",
];
const MODULE: &str = include_str!("synapse/cordee_workplace.py");
/// Older than the first message of the history.
const ROOMS_MADE_BEFORE: Duration = Duration::from_hours(16 * 24);

pub struct Synapse {
    crew: Arc<Crew>,
}

impl Synapse {
    pub fn new(site: &Site, guard: Arc<Guard>) -> Self {
        Self {
            crew: Arc::new(Crew::new(guard, site.folder("synapse").join("synapse.log"))),
        }
    }

    async fn fill(&self, site: &Site) -> Result<()> {
        let folder = site.folder("synapse");
        if folder.join("seeded").exists() {
            return Ok(());
        }
        let homeserver = Homeserver::new(site)?;
        seed::fill(&homeserver, site)
            .await
            .context("cannot write the history")?;
        let crew = self.crew.clone();
        tokio::task::spawn_blocking(move || crew.stop()).await?;
        count_unread_again(&folder.join("homeserver.db"))
            .context("cannot correct the unread counts")?;
        write(&folder.join("seeded"), "")?;
        Snapshot::of(site)?.keep(&folder)?;
        configure(site, false)?;
        self.start(site)?;
        let deadline = Instant::now() + site.options.deadline;
        while let Err(why) = self.ready(site).await {
            ensure!(
                Instant::now() < deadline,
                "chat did not come back after its history was written: {why}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

pub fn socket(site: &Site) -> PathBuf {
    site.folder("synapse").join("http.sock")
}

/// The token with which the history is written in everybody's name; tests may use it the same way.
pub fn everybodys_token(site: &Site) -> String {
    format!("as-{}", site.secret)
}

impl Service for Synapse {
    fn name(&self) -> &'static str {
        "synapse"
    }

    fn install(&self) -> Result<()> {
        need(Path::new("python3"), "python3 python3-venv")?;
        let venv = venv()?;
        let done = venv.join("installed");
        if done.exists() {
            return Ok(());
        }
        let lock = std::fs::File::create(cache()?.join("synapse.lock"))?;
        lock.lock()?;
        if done.exists() {
            return Ok(());
        }
        tracing::info!("installing Synapse {VERSION} from PyPI (once)");
        run(command("python3").args(["-m", "venv"]).arg(&venv))
            .context("cannot make a Python environment; Debian and Ubuntu have it in the package python3-venv")?;
        let wanted = format!("matrix-synapse[oidc]=={VERSION}");
        // pip may need the authorities that this session was given to reach its index.
        run(std::process::Command::new(venv.join("bin/pip")).args([
            "install",
            "-q",
            "--disable-pip-version-check",
            &wanted,
        ]))?;
        write(&done, VERSION)
    }

    fn configure(&self, site: &Site) -> Result<()> {
        let folder = site.folder("synapse");
        std::fs::create_dir_all(&folder)?;
        let restored = Snapshot::of(site)?.restore(&folder)?;
        if !restored {
            let seed: [u8; 32] = rand::random();
            let key = format!("ed25519 a_workplace {}\n", STANDARD_NO_PAD.encode(seed));
            write(&folder.join("signing.key"), key)?;
        }
        configure(site, !restored)
    }

    fn start(&self, site: &Site) -> Result<()> {
        let folder = site.folder("synapse");
        let _ = std::fs::remove_file(socket(site));
        let mut python = command(venv()?.join("bin/python"));
        python
            .args(["-m", "synapse.app.homeserver", "-c"])
            .arg(folder.join("homeserver.yaml"))
            .env("PYTHONPATH", &folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SSL_CERT_FILE", site.authority_file())
            .current_dir(&folder);
        self.crew.start(python)
    }

    fn ready<'a>(&'a self, site: &'a Site) -> Step<'a> {
        answers(
            site,
            "the homeserver",
            format!("{}/health", site.homeserver()),
        )
    }

    fn seed<'a>(&'a self, site: &'a Site) -> Step<'a> {
        Box::pin(self.fill(site))
    }

    fn crew(&self) -> &Crew {
        &self.crew
    }
}

fn venv() -> Result<PathBuf> {
    Ok(cache()?.join(format!("synapse-{VERSION}")))
}

fn run(command: &mut std::process::Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} failed:\n{said}{}",
            command.get_program().display(),
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(())
}

/// Synapse adds notifications up twice a minute. When that falls between the messages of a room and its first read
/// receipt, it believes the sum for good, receipt or not. So it starts adding up from nothing, now that the receipts
/// are there.
fn count_unread_again(database: &Path) -> rusqlite::Result<()> {
    rusqlite::Connection::open(database)?.execute_batch(
        "delete from event_push_summary;
         update event_push_summary_stream_ordering set stream_ordering = 0;
         update event_push_summary_last_receipt_stream_id set stream_id = 0;",
    )
}

fn configure(site: &Site, history: bool) -> Result<()> {
    let folder = site.folder("synapse");
    write(&folder.join("cordee_workplace.py"), MODULE)?;
    write(
        &folder.join("log.yaml"),
        serde_json::to_vec(&json!({
            "version": 1,
            "formatters": { "line": { "format": "%(asctime)s %(levelname)s %(name)s %(message)s" } },
            "handlers": { "out": { "class": "logging.StreamHandler", "formatter": "line" } },
            "root": { "level": "WARNING", "handlers": ["out"] },
            "disable_existing_loggers": false,
        }))?,
    )?;
    write(
        &folder.join("everybody.yaml"),
        serde_json::to_vec(&json!({
            "id": "history", "url": null, "as_token": everybodys_token(site), "hs_token": format!("hs-{}", site.secret),
            "sender_localpart": "history", "rate_limited": false,
            "namespaces": {
                "users": [{ "regex": format!("@.*:{}", DOMAIN.replace('.', "\\.")), "exclusive": false }],
                "rooms": [], "aliases": [],
            },
        }))?,
    )?;
    // YAML contains JSON.
    write(
        &folder.join("homeserver.yaml"),
        serde_json::to_vec_pretty(&settings(site, &folder, history))?,
    )
}

fn settings(site: &Site, folder: &Path, history: bool) -> Value {
    let free = json!({ "per_second": 100_000, "burst_count": 100_000 });
    let mut settings = json!({
        "server_name": DOMAIN,
        "public_baseurl": format!("{}/", site.homeserver()),
        "pid_file": folder.join("pid"),
        "signing_key_path": folder.join("signing.key"),
        "log_config": folder.join("log.yaml"),
        "media_store_path": folder.join("media"),
        "database": { "name": "sqlite3", "args": { "database": folder.join("homeserver.db") } },
        "listeners": [{ "path": socket(site), "type": "http", "resources": [{ "names": ["client", "federation"], "compress": false }] }],
        "modules": [{
            "module": "cordee_workplace.Workplace",
            "config": { "dated_back_ms": if history { ROOMS_MADE_BEFORE.as_secs() * 1000 } else { 0 } },
        }],
        "app_service_config_files": [folder.join("everybody.yaml")],
        "trusted_key_servers": [], "suppress_key_server_warning": true, "report_stats": false,
        // Nobody else is on this network.
        "federation_domain_whitelist": [],
        "macaroon_secret_key": site.secret, "form_secret": site.secret, "registration_shared_secret": site.secret,
        "enable_registration": false,
        "bcrypt_rounds": 4,
        "max_upload_size": "200M",
        "user_directory": { "enabled": true, "search_all_users": true, "prefer_local_users": true },
        // Calls: later places of the window use these.
        "max_event_delay_duration": "24h",
        "experimental_features": { "msc4143_enabled": true, "msc4354_enabled": true, "msc4222_enabled": true, "msc4306_enabled": true },
    });
    for limit in LIMITS {
        settings[limit] = free.clone();
    }
    settings["rc_login"] = json!({ "address": free, "account": free, "failed_attempts": free });
    settings["rc_joins"] = json!({ "local": free, "remote": free });
    settings["rc_invites"] = json!({ "per_room": free, "per_user": free, "per_issuer": free });
    settings["rc_presence"] = json!({ "per_user": free });
    if site.options.identity {
        let loopback = REDIRECT_PORTS
            .iter()
            .map(|port| format!("http://127.0.0.1:{port}/"));
        let known: Vec<String> = loopback
            .chain([format!("{}:/", crate::site::PRIVATE_SCHEME)])
            .collect();
        settings["sso"] = json!({ "client_whitelist": known });
        let (issuer, inside) = (site.issuer(), site.portal_for_servers());
        settings["oidc_providers"] = json!([{
            "idp_id": "portal", "idp_name": "Cliniques Saint-Elme",
            // Chat may start before the portal answers; and servers need a name that the system resolves.
            "discover": false,
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/oauth2/authorize"),
            "token_endpoint": format!("{inside}/oauth2/token"),
            "userinfo_endpoint": format!("{inside}/oauth2/userinfo"),
            "jwks_uri": format!("{inside}/oauth2/jwks"),
            "client_id": oidc::SYNAPSE_CLIENT, "client_secret": site.secret,
            "client_auth_method": "client_secret_post", "pkce_method": "always",
            // The portal's ID token has no profile claims.
            "user_profile_method": "userinfo_endpoint",
            "scopes": ["openid", "profile", "email"],
            "allow_existing_users": true,
            "user_mapping_provider": { "config": {
                "localpart_template": "{{ user.preferred_username }}",
                "display_name_template": "{{ user.name }}",
                "confirm_localpart": false,
            } },
        }]);
    }
    settings
}
