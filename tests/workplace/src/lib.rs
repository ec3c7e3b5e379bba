//! The demo workplace: real back ends of a hospital, « Cliniques Saint-Elme », on this machine, for the demo and for
//! tests.
//!
//! It is for anybody who needs a server to talk to: it installs, configures, starts, seeds, watches and stops them.
//! It must not know Cordée: nothing of the client is used here, so that both can be wrong on their own.
//!
//! ```text
//!   up ──▶ installed ──▶ configured ──▶ started ──▶ healthy ──▶ seeded ──▶ (kill, stop, start, restart) ──▶ down
//!             │              ▲              │ a port was taken meanwhile: once more with others
//!             │              └──────────────┤
//!             └─ a package is missing       └─ not healthy in time: a sentence and the last lines of its log
//! ```
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let workplace = workplace::Workplace::up(workplace::Options::default()).await?;
//! let camille = workplace.person("camille.martin")?;
//! let landing = workplace
//!     .sign_in_like_a_browser("https://…", &camille.uid, &camille.password)
//!     .await?;
//! workplace.down().await;
//! # Ok(()) }
//! ```
//!
//! Invariants:
//! - Everything listens on 127.0.0.1 or on a socket file, on ports chosen at the start.
//! - Nothing outlives the program that called `up`, however it ends: each server leads a process group of its own, and
//!   the [`guard`] kills the groups when the program is gone.
//! - Nothing is written outside the run folder and the cache folder.

#![cfg(unix)]

pub mod browser;
mod certificate;
mod description;
pub mod gateway;
pub mod guard;
pub mod options;
pub mod people;
pub mod phone;
mod ports;
pub mod process;
pub mod seed;
mod service;
mod services;
mod site;
mod snapshot;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio::task::spawn_blocking;

pub use browser::{Browser, Gestures, Landing, Refused};
pub use description::{Description, down_by_description};
pub use options::Options;
pub use people::Person;
pub use seed::Homeserver;

/// What the programs beside the product tell on the terminal. Other crates tell of keys and addresses, which nobody
/// needs there, and the Matrix SDK calls it an error when an account has no backup yet.
pub const TOLD: &str = "error,matrix_sdk=off,x=info,bench=info,desktop=info,workplace=info";
pub use services::livekit::{RELAY_LIFETIME, RELAY_PORTS};
pub use site::{CLIENT_ID, DOMAIN, PRIVATE_SCHEME, REDIRECT_PORTS, cache};

use guard::Guard;
use phone::Phone;
use service::Service;
use services::{front, livekit, oidc, organisation, sms, synapse};
use site::Site;

/// A running workplace. Dropping it kills all its servers.
pub struct Workplace {
    site: Arc<Site>,
    services: Vec<Arc<dyn Service>>,
    guard: Arc<Guard>,
    started: Instant,
}

impl Workplace {
    /// Brings everything up and returns when all of it is healthy and seeded. Needs a multi-threaded tokio runtime.
    pub async fn up(options: Options) -> Result<Self> {
        install_crypto();
        // A port that was free when we chose it may be taken when the server starts.
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::up_once(options.clone()).await {
                Err(e) if tries < 3 && lost_a_port(&e) => {
                    tracing::warn!("a port was taken meanwhile, choosing others");
                }
                result => return result,
            }
        }
    }

    async fn up_once(options: Options) -> Result<Self> {
        let workplace = spawn_blocking(move || Self::prepare(options)).await??;
        let services = workplace.services.clone();
        let site = workplace.site.clone();
        // The front first: others are asked through it whether they are healthy.
        let each = services
            .into_iter()
            .map(|service| tokio::spawn(bring_up(service, site.clone())));
        for task in each.collect::<Vec<_>>() {
            task.await??;
        }
        for service in &workplace.services {
            service.seed(&workplace.site).await.with_context(|| {
                format!(
                    "{} could not be seeded. It last said:\n{}",
                    service.name(),
                    service.crew().last_lines()
                )
            })?;
        }
        tracing::info!("up in {:.1} s", workplace.started.elapsed().as_secs_f64());
        Ok(workplace)
    }

    fn prepare(options: Options) -> Result<Self> {
        let started = Instant::now();
        let parent = options.parent.clone().unwrap_or_else(std::env::temp_dir);
        let run = tempfile::Builder::new()
            .prefix("cordee-workplace-")
            .tempdir_in(&parent)
            .with_context(|| format!("cannot make a folder in {}", parent.display()))?;
        let guard = Arc::new(Guard::post(run.path(), options.keep)?);
        // From here on the guard removes the folder.
        let run = run.keep();
        let site = Site::new(options, run)?;
        let mut services: Vec<Arc<dyn Service>> = vec![
            Arc::new(front::Front::new(&site, guard.clone())),
            Arc::new(organisation::Organisation::new(&site, guard.clone())),
        ];
        if site.options.identity {
            services.push(Arc::new(sms::Sms::new(&site, guard.clone())));
            services.push(Arc::new(oidc::Oidc::new(&site, guard.clone())));
        }
        if site.options.chat {
            services.push(Arc::new(synapse::Synapse::new(&site, guard.clone())));
        }
        if site.options.meetings {
            services.push(Arc::new(livekit::LiveKit::new(&site, guard.clone())));
        }
        let workplace = Self {
            site: Arc::new(site),
            services,
            guard,
            started,
        };
        for service in &workplace.services {
            service
                .install()
                .with_context(|| format!("{} cannot be installed", service.name()))?;
        }
        for service in &workplace.services {
            service
                .configure(&workplace.site)
                .with_context(|| format!("{} cannot be configured", service.name()))?;
        }
        Ok(workplace)
    }

    /// `saint-elme.localhost:PORT`: what a person types, alone or after the @ of an address.
    pub fn organisation(&self) -> String {
        self.site.organisation()
    }

    /// `camille.martin@saint-elme.localhost:PORT`
    pub fn address_of(&self, uid: &str) -> String {
        format!("{uid}@{}", self.organisation())
    }

    pub fn homeserver(&self) -> String {
        self.site.homeserver()
    }

    pub fn issuer(&self) -> String {
        self.site.issuer()
    }

    /// Where clients of meetings connect: `ws://127.0.0.1:PORT`.
    pub fn meetings(&self) -> String {
        livekit::address(&self.site)
    }

    /// The port of the media server's own UDP, and that of its relay.
    pub fn meeting_ports(&self) -> (u16, u16) {
        let ports = &self.site.ports;
        (ports.meetings_media, ports.meetings_relay)
    }

    /// What lets `identity` into the meeting `room`, with everything that a participant may do.
    pub fn meeting_token(&self, room: &str, identity: &str) -> Result<String> {
        self.meeting_token_for(room, identity, 3600)
    }

    /// The same for so many seconds. The server forgives a minute, so −50 is another ten seconds.
    pub fn meeting_token_for(&self, room: &str, identity: &str, seconds: i64) -> Result<String> {
        livekit::token(&self.site, room, identity, seconds)
    }

    /// What an organiser does to somebody in a meeting.
    pub async fn remove_from_meeting(&self, room: &str, identity: &str) -> Result<()> {
        let wish = serde_json::json!({ "room": room, "identity": identity });
        livekit::organise(&self.site, "RemoveParticipant", room, &wish).await
    }

    /// What an organiser does at the end.
    pub async fn close_meeting(&self, room: &str) -> Result<()> {
        let wish = serde_json::json!({ "room": room });
        livekit::organise(&self.site, "DeleteRoom", room, &wish).await
    }

    /// The port of everything that has a name.
    pub fn port(&self) -> u16 {
        self.site.ports.front
    }

    pub fn people(&self) -> &[Person] {
        &self.site.people
    }

    pub fn person(&self, uid: &str) -> Result<&Person> {
        self.people()
            .iter()
            .find(|person| person.uid == uid)
            .with_context(|| format!("nobody is called {uid}"))
    }

    /// The certificate authority, PEM, and the file that holds it.
    pub fn authority(&self) -> &str {
        &self.site.authority
    }

    pub fn authority_file(&self) -> std::path::PathBuf {
        self.site.authority_file()
    }

    pub fn run_folder(&self) -> &Path {
        &self.site.run
    }

    /// An administrator's policy that makes the client trust this workplace.
    pub fn policy_json(&self) -> String {
        serde_json::json!({ "version": 1, "certificateAuthorities": [self.authority()] })
            .to_string()
    }

    /// A client for HTTP that trusts this workplace and finds its names. It belongs to the runtime that uses it.
    pub fn http(&self) -> Result<reqwest::Client> {
        browser::client(self.authority())
    }

    /// Chat in everybody's name, for tests that need another person to do something.
    pub fn everybody(&self) -> Result<Homeserver> {
        Homeserver::new(&self.site)
    }

    /// Everything that another program needs to know, as `workplace up --json` writes it.
    pub fn description(&self) -> Description {
        Description::of(self)
    }

    // ---- people at the portal

    /// Where the phones' log ends now; see [`Workplace::sms_code_for`].
    pub fn sms_mark(&self) -> Result<u64> {
        self.phone().mark()
    }

    /// The code in the last message to this number after the mark; waits up to half a minute for it.
    pub async fn sms_code_for(&self, phone: &str, after: u64) -> Result<String> {
        self.phone().code_for(phone, after).await
    }

    /// A browser with its own cookies.
    pub fn browser(&self) -> Result<Browser> {
        Browser::new(self.authority(), self.phone())
    }

    /// Opens `address`, signs in with this password and the code from the phone, and returns the first address on
    /// this machine or of the private scheme that the browser is sent to. A refusal is a [`Refused`] error.
    pub async fn sign_in_like_a_browser(
        &self,
        address: &str,
        uid: &str,
        password: &str,
    ) -> Result<Landing> {
        let gestures = Gestures {
            password: Some(password.to_owned()),
            ..Gestures::default()
        };
        self.browser()?
            .sign_in(address, self.person(uid)?, &gestures)
            .await
    }

    /// The same with everything that can go differently.
    pub async fn sign_in_with(
        &self,
        address: &str,
        uid: &str,
        gestures: &Gestures,
    ) -> Result<Landing> {
        self.browser()?
            .sign_in(address, self.person(uid)?, gestures)
            .await
    }

    fn phone(&self) -> Phone {
        Phone::new(self.site.phone_log())
    }

    // ---- what goes wrong

    /// Ends a service in order (`front`, `sms`, `oidc`, `synapse`, `livekit`); it can be started again.
    pub async fn stop(&self, service: &str) -> Result<()> {
        let service = self.service(service)?;
        Ok(spawn_blocking(move || service.stop()).await?)
    }

    /// `kill -9` for a service, as a crash would do.
    pub async fn kill(&self, service: &str) -> Result<()> {
        let service = self.service(service)?;
        Ok(spawn_blocking(move || service.crew().kill()).await?)
    }

    /// Starts a service that was stopped or killed and waits until it is healthy.
    pub async fn start(&self, service: &str) -> Result<()> {
        bring_up(self.service(service)?, self.site.clone()).await
    }

    pub async fn restart(&self, service: &str) -> Result<()> {
        self.stop(service).await?;
        self.start(service).await
    }

    /// The processes of a service; each number is also that of its group.
    pub fn pids(&self, service: &str) -> Result<Vec<i32>> {
        Ok(self.service(service)?.crew().pids())
    }

    /// Shows a certificate from an authority that nobody trusts, or the right one again. Restarts the front.
    pub async fn show_certificate(&self, trusted: bool) -> Result<()> {
        front::show_certificate(&self.site, trusted)?;
        self.stop("front").await?;
        // Healthy means here that it listens: nobody could say more about a stranger.
        self.start("front").await
    }

    /// The organisation's document as it was published at the start.
    pub fn document(&self) -> serde_json::Value {
        organisation::document(&self.site)
    }

    /// Publishes this instead, whatever it is.
    pub fn publish(&self, document: impl AsRef<[u8]>) -> Result<()> {
        let path = organisation::pages(&self.site).join(".well-known/cordee");
        // In one step, so that nobody reads half of it.
        let fresh = path.with_extension("new");
        site::write(&fresh, document)?;
        Ok(std::fs::rename(fresh, path)?)
    }

    // ---- the end

    /// Ends all services in order and removes the run folder.
    pub async fn down(self) {
        // Whoever panics in there leaves the rest to the guard.
        let _ = spawn_blocking(move || {
            std::thread::scope(|scope| {
                for service in &self.services {
                    scope.spawn(move || service.stop());
                }
            });
        })
        .await;
    }

    fn service(&self, name: &str) -> Result<Arc<dyn Service>> {
        let found = self.services.iter().find(|service| service.name() == name);
        found
            .cloned()
            .with_context(|| format!("this workplace has no service {name}"))
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        for service in &self.services {
            service.crew().kill();
        }
        self.guard.dismiss();
    }
}

/// rustls refuses to choose between two cryptography providers that are in one program; ours is installed once.
pub fn install_crypto() {
    // Somebody else may have done it before: then theirs is used.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Starts one service and waits until it is healthy. The error holds the last lines that it wrote.
async fn bring_up(service: Arc<dyn Service>, site: Arc<Site>) -> Result<()> {
    let began = Instant::now();
    let name = service.name();
    let said = |why: anyhow::Error| {
        anyhow!(
            "{name} is not healthy: {why:#}. It last said:\n{}",
            service.crew().last_lines()
        )
    };
    let (starting, place) = (service.clone(), site.clone());
    spawn_blocking(move || starting.start(&place))
        .await?
        .map_err(&said)?;
    loop {
        let look = tokio::time::timeout(Duration::from_secs(20), service.ready(&site)).await;
        let why = match look {
            Ok(Ok(())) => break,
            Ok(Err(why)) => why,
            Err(_) => anyhow!("no answer within 20 s"),
        };
        if let Some(ended) = service.crew().ended() {
            return Err(said(anyhow!(ended)));
        }
        if began.elapsed() > site.options.deadline {
            return Err(said(why));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tracing::info!(
        "{name} is healthy after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn lost_a_port(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}").to_lowercase();
    text.contains("address already in use") || text.contains("could not bind")
}
