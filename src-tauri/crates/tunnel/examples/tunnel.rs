//! The tunnel from the command line: `tunnel up PROFILE [--json] [--run PROGRAM ARGUMENTS…]`.
//!
//! Opens the tunnel that a profile describes, prints each state as it changes, and serves the
//! local port and the forwards of the profile until Ctrl-C. `--json` prints one object a line for
//! programs, and ends when its input ends. `--run` starts a program that may use the port without the password, because it is a
//! descendant; so does a line `run PROGRAM ARGUMENTS…` on standard input.
#![allow(clippy::print_stderr)] // It is a program for people.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Stdin};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tunnel::cstp::{Answers, AnyConnect, SignIn, Step};
use tunnel::proxy::{self, Access, Credentials};
use tunnel::{PacketSource, Probe, Profile, Settings, Snapshot, SourceProfile, State, Tunnel, Why};

#[tokio::main]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    // Two providers may be in one program; rustls then wants to be told.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    up(arguments).await
}

struct Arguments {
    profile: PathBuf,
    json: bool,
    run: Vec<String>,
}

impl Arguments {
    fn parse(mut given: impl Iterator<Item = String>) -> Result<Self> {
        let usage = "tunnel up PROFILE [--json] [--run PROGRAM ARGUMENTS…]";
        let (Some("up"), Some(profile)) = (given.next().as_deref(), given.next()) else {
            bail!(usage);
        };
        let mut arguments = Self {
            profile: profile.into(),
            json: false,
            run: Vec::new(),
        };
        while let Some(argument) = given.next() {
            match argument.as_str() {
                "--json" => arguments.json = true,
                "--run" => arguments.run = given.by_ref().collect(),
                _ => bail!(usage),
            }
        }
        Ok(arguments)
    }
}

async fn up(arguments: Arguments) -> Result<()> {
    let said = Said {
        json: arguments.json,
    };
    let profile = Profile::read(&arguments.profile)?;
    warn_if_shared(&arguments.profile);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();

    let (source, anyconnect): (Arc<dyn PacketSource>, Option<Arc<AnyConnect>>) =
        match &profile.source {
            SourceProfile::WireGuard(wireguard) => {
                let tls = match (&wireguard.websocket, &wireguard.ca) {
                    (Some(_), Some(ca)) => Some(trusting(ca)?),
                    (Some(_), None) => bail!("`websocket` needs `ca` in this program"),
                    (None, _) => None,
                };
                (Arc::new(wireguard.source(tls)?), None)
            }
            SourceProfile::AnyConnect(anyconnect) => {
                let ca = anyconnect.ca.as_ref();
                let ca = ca.context("[anyconnect] needs `ca` in this program")?;
                let gateway = anyconnect.gateway(trusting(ca)?);
                let source = Arc::new(AnyConnect::new(gateway, None));
                (source.clone(), Some(source))
            }
        };
    let probe = Probe {
        tls: trusting(&profile.probe.ca)?,
        host: profile.probe.host.clone(),
        port: profile.probe.port,
        path: profile.probe.path.clone(),
        expect: profile.probe.expect.clone(),
        every: profile.probe.every,
    };
    let tunnel = Tunnel::start(Settings {
        source,
        policy: profile.policy.clone(),
        probe,
        underlay: profile.underlay.clone(),
        coexist: profile.coexist,
        netstack: netstack::Config::default(),
    });

    let mut serving = JoinSet::new();
    let credentials = Credentials::random();
    if let Some(listen) = profile.proxy {
        let listener = bind(listen).await?;
        said.port(listener.local_addr()?, &credentials);
        let access = Access::of_this_program().or_with(credentials.clone());
        serving.spawn(proxy::serve(tunnel.dialer(), access, listener));
    }
    for forward in &profile.forwards {
        let listener = bind(forward.listen).await?;
        said.forward(
            listener.local_addr()?,
            &format!("{}:{}", forward.host, forward.port),
        );
        let access = Access::of_this_program();
        let (host, port) = (forward.host.clone(), forward.port);
        serving.spawn(proxy::forward(
            tunnel.dialer(),
            access,
            listener,
            host,
            port,
        ));
    }
    let mut children = Vec::new();
    if !arguments.run.is_empty() {
        children.push(start(&arguments.run)?);
    }
    let user = match &profile.source {
        SourceProfile::AnyConnect(anyconnect) => anyconnect.user.clone(),
        SourceProfile::WireGuard(_) => None,
    };
    let result = follow(
        &tunnel,
        &said,
        &profile,
        anyconnect,
        user,
        &mut lines,
        &mut children,
    )
    .await;
    tunnel.stop().await;
    result
}

/// Prints states, signs in when the gateway wants it, and obeys standard input, until Ctrl-C.
async fn follow(
    tunnel: &Tunnel,
    said: &Said,
    profile: &Profile,
    anyconnect: Option<Arc<AnyConnect>>,
    user: Option<String>,
    lines: &mut tokio::io::Lines<BufReader<Stdin>>,
    children: &mut Vec<Child>,
) -> Result<()> {
    let mut states = tunnel.states();
    let mut listening = true;
    loop {
        let now = states.borrow_and_update().clone();
        said.state(&now);
        if let (Some(source), SourceProfile::AnyConnect(written)) = (&anyconnect, &profile.source)
            && now.state == State::Blocked
            && matches!(now.why, Why::SignInAgain | Why::WrongCredentials)
        {
            let ca = written.ca.as_ref().context("`ca`")?;
            match sign_in(
                &written.gateway(trusting(ca)?),
                user.as_deref(),
                said,
                lines,
            )
            .await
            {
                Ok(cookie) => source.sign_in(cookie),
                Err(error) => said.failed(&error),
            }
            tunnel.retry_now();
        }
        tokio::select! {
            changed = states.changed() => changed.context("the tunnel ended")?,
            line = lines.next_line(), if listening => match line? {
                Some(line) => command(&line, tunnel, children)?,
                // Whoever drives this program is gone.
                None if said.json => return Ok(()),
                None => listening = false,
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = terminated() => return Ok(()),
        }
    }
}

/// Asks for what the gateway's forms want; secrets are not echoed by this program, but a terminal
/// shows what is typed into it.
async fn sign_in(
    gateway: &tunnel::cstp::Gateway,
    user: Option<&str>,
    said: &Said,
    lines: &mut tokio::io::Lines<BufReader<Stdin>>,
) -> Result<tunnel::cstp::Cookie> {
    let mut step = SignIn::begin(gateway).await?;
    loop {
        let dialogue = match step {
            Step::Done(cookie) => return Ok(cookie),
            Step::Form(dialogue) => dialogue,
        };
        let form = dialogue.form().clone();
        let fields: Vec<_> = form.questions().cloned().collect();
        said.form(&form);
        let mut answers = Answers::new();
        for field in fields {
            let known = user.filter(|_| field.name == "username" && form.error.is_none());
            let answer = if let Some(user) = known {
                user.to_owned()
            } else {
                said.ask(&field.label);
                lines.next_line().await?.context("no more answers")?
            };
            answers = answers.with(field.name, answer);
        }
        step = dialogue.send(&answers).await?;
    }
}

fn command(line: &str, tunnel: &Tunnel, children: &mut Vec<Child>) -> Result<()> {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match words.split_first() {
        Some((word, rest)) if word == "run" && !rest.is_empty() => children.push(start(rest)?),
        Some((word, [])) if word == "retry" => tunnel.retry_now(),
        Some(_) => eprintln!("run PROGRAM ARGUMENTS… · retry"),
        None => {}
    }
    Ok(())
}

fn start(words: &[String]) -> Result<Child> {
    let (program, arguments) = words.split_first().context("no program")?;
    Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {program}"))
}

async fn bind(listen: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut asked) => {
            asked.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}

/// In the product `network` makes TLS configurations; this program stands alone.
#[allow(clippy::disallowed_methods)]
fn trusting(ca: &Path) -> Result<Arc<rustls::ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ca)
        .with_context(|| format!("cannot read {}", ca.display()))?;
    for certificate in certificates {
        let certificate = certificate.with_context(|| format!("{} is no PEM", ca.display()))?;
        roots.add(certificate)?;
    }
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(unix)]
fn warn_if_shared(profile: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::metadata(profile).is_ok_and(|file| file.permissions().mode() & 0o077 != 0) {
        eprintln!(
            "Others may read the profile and its key: chmod 600 {}",
            profile.display()
        );
    }
}

#[cfg(not(unix))]
fn warn_if_shared(_: &Path) {}

/// What is printed: sentences for people, objects for programs.
struct Said {
    json: bool,
}

#[allow(clippy::print_stdout)]
impl Said {
    fn line(&self, text: &str, object: &Value) {
        if self.json {
            println!("{object}");
        } else {
            println!("{text}");
        }
        let _ = std::io::stdout().flush();
    }

    fn state(&self, now: &Snapshot) {
        let state = format!("{:?}", now.state).to_lowercase();
        let at = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        };
        let trip = now.round_trip.filter(|_| now.state == State::Up);
        let mut words = vec![format!("{state}: {}", now.why)];
        if now.state == State::Up {
            words.push(format!("by {}", now.way));
            words.extend(now.mtu.map(|mtu| format!("with packets of {mtu} bytes,")));
            let trip = trip.map(|trip| trip.as_secs_f64() * 1000.0);
            words.extend(trip.map(|trip| format!("{trip:.1} ms there and back")));
        }
        if let Some(retry) = now.retry_at {
            let pause = retry.duration_since(SystemTime::now()).unwrap_or_default();
            words.push(format!("(again in {:.0} s)", pause.as_secs_f64()));
        }
        let text = words.join(" ");
        self.line(
            &text,
            &json!({
                "state": state, "why": now.why.code(), "way": now.way, "mtu": now.mtu,
                "at_ms": at(SystemTime::now()), "since_ms": at(now.since),
                "retry_at_ms": now.retry_at.map(at),
                "round_trip_ms": trip.map(|trip| trip.as_secs_f64() * 1000.0),
            }),
        );
    }

    fn port(&self, listen: SocketAddr, credentials: &Credentials) {
        let Credentials { user, password } = credentials;
        self.line(
            &format!("SOCKS5 and HTTP on {listen}, user {user}, password {password}"),
            &json!({ "proxy": listen.to_string(), "user": user, "password": password }),
        );
    }

    fn forward(&self, listen: SocketAddr, to: &str) {
        self.line(
            &format!("{listen} leads to {to}"),
            &json!({ "forward": listen.to_string(), "to": to }),
        );
    }

    fn form(&self, form: &tunnel::cstp::Form) {
        let fields: Vec<&str> = form.questions().map(|field| field.name.as_str()).collect();
        let error = form.error.as_deref();
        self.line(
            &format!("{} {}", form.message, error.unwrap_or_default()),
            &json!({ "form": form.message, "error": error, "fields": fields }),
        );
    }

    fn ask(&self, label: &str) {
        if !self.json && std::io::stdin().is_terminal() {
            print!("{label} ");
            let _ = std::io::stdout().flush();
        }
    }

    fn failed(&self, error: &anyhow::Error) {
        self.line(&format!("{error}"), &json!({ "failed": error.to_string() }));
    }
}
