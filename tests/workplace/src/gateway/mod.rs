//! A gateway to the organisation's network, with what is behind it and the network in front of it.
//!
//! ```text
//!   client ── line (faults) ──┬── UDP ──▶ WireGuard ──┐
//!                             ├── TLS ──▶ relay ──────┤──▶ inside: site 443, resolvers 53, echo 3389
//!                             └── TLS ──▶ AnyConnect ─┘
//! ```
//!
//! All of it lives in network namespaces inside a user namespace ([`namespaces`]): it needs no rights, nothing on this
//! machine sees it, and nothing of it is left when the program that made it is gone. From the client's namespace there
//! is no route to what is inside.

pub mod anyconnect;
pub mod inside;
mod names;
pub mod namespaces;
pub mod parts;
mod portal;
pub mod server;
pub mod underlay;
pub mod wireguard;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::certificate;
use anyconnect::AnyConnect;
use inside::{DESKTOP, DOMAIN, Inside, PROBE, Resolver, SITE};
use namespaces::{Namespaces, Net, RUN, Who};
use server::Server;
use underlay::{Faults, Order, Ports, Report};
use wireguard::{KeyPair, WireGuard};

pub use names::OUTSIDE;

/// The gateway's name outside, for certificates; its addresses are 10.99.0.1 and `fd99::1`.
pub const NAME: &str = "vpn.saint-elme.test";
/// Its address outside.
pub const ADDRESS: &str = "10.99.0.1";
/// Where the relay for WebSockets listens in the gateway's namespace, and the path that it serves.
const RELAY: &str = "127.0.0.1:8443";
pub const RELAY_PATH: &str = "/wireguard";

/// What a gateway is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// A program that calls [`parts::main`].
    pub parts: PathBuf,
    /// The relay's program: `PROGRAM LISTEN CERTIFICATE KEY PATH TARGET`; none: there is no way through TCP 443.
    pub relay: Option<PathBuf>,
    /// More programs for the small network, by name.
    pub programs: Vec<(String, PathBuf)>,
    /// People who may sign in to the AnyConnect server; 0: there is none.
    pub colleagues: usize,
    /// Whether they sign in with a code after the password; some programs can answer only one question.
    pub codes: bool,
    /// Seconds after which AnyConnect sessions take new keys.
    pub rekey: u32,
}

/// A running gateway. Dropping it ends all of it.
pub struct Gateway {
    pub net: Namespaces,
    pub authority: String,
    wireguard: Mutex<WireGuard>,
    anyconnect: Option<Mutex<AnyConnect>>,
    inside: Inside,
    underlay: Mutex<Underlay>,
    _relay: Option<Server>,
}

struct Underlay {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Gateway {
    /// Fails with a sentence where the system has no `WireGuard`, no ocserv, or lets nobody make namespaces.
    pub fn up(options: &Options) -> Result<Self> {
        let wireguard = wireguard::find()?;
        let mut needed = vec![
            ("nginx", "nginx-light"),
            ("dnsmasq", "dnsmasq-base"),
            ("ip", "iproute2"),
        ];
        if options.colleagues > 0 {
            needed.extend([("ocserv", "ocserv"), ("ocpasswd", "ocserv")]);
        }
        for (program, package) in needed {
            crate::service::need(Path::new(program), package)?;
        }
        let mut programs: Vec<(&str, &Path)> =
            vec![("parts", &options.parts), ("wireguard", &wireguard)];
        programs.extend(options.relay.iter().map(|relay| ("relay", relay.as_path())));
        programs.extend(
            options
                .programs
                .iter()
                .map(|(name, path)| (name.as_str(), path.as_path())),
        );
        let net = Namespaces::make(&programs)?;
        let authority = certificate::make(&net.path(format!("{RUN}/tls")), DOMAIN)?;
        // What the system's own programs look at: names, resolver, trusted authorities.
        net.write(
            "hosts",
            format!("127.0.0.1 localhost\n::1 localhost\n{ADDRESS} {NAME}\n"),
        )?;
        net.write(
            "resolv.conf",
            format!("nameserver {ADDRESS}\noptions timeout:1 attempts:1\n"),
        )?;
        net.script(&format!(
            "for f in hosts resolv.conf; do [ ! -e /etc/$f ] || mount --bind {RUN}/$f $(readlink -f /etc/$f); done
             bundle=$(readlink -f /etc/ssl/certs/ca-certificates.crt); [ ! -e \"$bundle\" ] || mount --bind {RUN}/tls/ca.crt $bundle"
        ))?;
        let inside = Inside::start(&net)?;
        let mut wireguard = WireGuard::new(77, 51_900);
        wireguard.start(&net)?;
        let anyconnect = match options.colleagues {
            0 => None,
            _ => Some(Mutex::new(AnyConnect::start(&net, options)?)),
        };
        let relay = options.relay.as_ref().map(|_| {
            let mut relay = net.command(
                Net::Gateway,
                Who::User(namespaces::CLIENT),
                &format!("{RUN}/bin/relay"),
            );
            relay.args([
                RELAY,
                &format!("{RUN}/tls/server.crt"),
                &format!("{RUN}/tls/server.key"),
                RELAY_PATH,
            ]);
            relay.arg(format!("127.0.0.1:{}", wireguard.port()));
            Server::start(&net, "relay", relay)
        });
        let underlay = Underlay::start(&net)?;
        let gateway = Self {
            net,
            authority,
            wireguard: Mutex::new(wireguard),
            anyconnect,
            inside,
            underlay: Mutex::new(underlay),
            _relay: relay.transpose()?,
        };
        gateway.wait_until_healthy(options)?;
        Ok(gateway)
    }

    /// A new line to the gateway, without faults.
    pub fn line(&self) -> Result<Ports> {
        let port = lock(&self.wireguard).port();
        self.line_to(port)
    }

    /// A device's profile for this gateway, as an administrator would write it, in a file of the small network that
    /// only the client may read; gives its path in there.
    pub fn profile(
        &self,
        keys: &KeyPair,
        inside: &(String, String),
        ports: &Ports,
    ) -> Result<String> {
        let (gateway_key, echo) = {
            let wireguard = self.wireguard();
            (wireguard.public_key(), wireguard.addresses().0)
        };
        let text = format!(
            r#"version = 1
coexist = false

[wireguard]
gateway = "{NAME}:{udp}"
gateway_key = "{gateway_key}"
private_key = "{private_key}"
addresses = ["{v4}", "{v6}"]
networks = ["0.0.0.0/0", "::/0"]
echo = "{echo}"
websocket = "wss://{NAME}:{websocket}{RELAY_PATH}"
ca = "{RUN}/tls/ca.crt"

[names]
servers = ["{resolver}"]
search = ["{DOMAIN}"]

[policy]
suffixes = ["{DOMAIN}"]
networks = ["10.50.0.0/16", "fd50::/64"]
other = "refused"

[probe]
host = "{SITE}"
port = 443
path = "/probe"
expect = "{PROBE}"
ca = "{RUN}/tls/ca.crt"

[underlay]
url = "http://{ADDRESS}:{page}/"
status = 200
expect = "open"

[proxy]
listen = "127.0.0.1:0"

[[forward]]
listen = "127.0.0.1:0"
host = "{DESKTOP}"
port = 3389
"#,
            udp = ports.udp,
            private_key = keys.private(),
            v4 = inside.0,
            v6 = inside.1,
            websocket = ports.websocket,
            resolver = Resolver::Honest.v4(),
            page = ports.page,
        );
        let path = self
            .net
            .write(&format!("profile-{}.toml", ports.line), text)?;
        let client = namespaces::CLIENT;
        self.net
            .script(&format!("chown {client}:{client} {path}; chmod 600 {path}"))?;
        Ok(path)
    }

    /// A new line to another `WireGuard` gateway in the same place.
    pub fn line_to(&self, port: u16) -> Result<Ports> {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let answer = self.order(&Order::Open {
            udp: local(port),
            websocket: RELAY.parse()?,
            anyconnect: local(anyconnect::PORT),
        })?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// From now on the line does this.
    pub fn faults(&self, line: usize, faults: Faults) -> Result<()> {
        self.order(&Order::Faults { line, faults }).map(drop)
    }

    /// Sends the line's last handshake and answers once more; gives how many datagrams.
    pub fn replay(&self, line: usize) -> Result<usize> {
        let answer: Report = serde_json::from_str(&self.order(&Order::Replay { line })?)?;
        Ok(answer.replayed)
    }

    pub fn report(&self, line: usize) -> Result<Report> {
        Ok(serde_json::from_str(&self.order(&Order::Report { line })?)?)
    }

    pub fn wireguard(&self) -> MutexGuard<'_, WireGuard> {
        lock(&self.wireguard)
    }

    /// Lets this key in. Gives its addresses inside.
    pub fn add_peer(&self, keys: &KeyPair) -> Result<(String, String)> {
        self.wireguard().add_peer(&self.net, keys)
    }

    pub fn anyconnect(&self) -> Result<MutexGuard<'_, AnyConnect>> {
        self.anyconnect
            .as_ref()
            .map(lock)
            .context("this gateway has no AnyConnect server")
    }

    pub fn inside(&self) -> &Inside {
        &self.inside
    }

    fn order(&self, order: &Order) -> Result<String> {
        lock(&self.underlay).order(order)
    }

    /// Every door answers before anybody is let near: tests must not measure our start.
    fn wait_until_healthy(&self, options: &Options) -> Result<()> {
        let mut doors = vec![
            (Net::Inside, "10.50.0.80/443"),
            (Net::Inside, "10.50.0.80/3389"),
        ];
        doors.extend([
            (Net::Inside, "10.50.0.53/53"),
            (Net::Inside, "10.50.0.54/53"),
        ]);
        if options.relay.is_some() {
            doors.push((Net::Gateway, "127.0.0.1/8443"));
        }
        if options.colleagues > 0 {
            doors.push((Net::Gateway, "127.0.0.1/4443"));
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        for (net, door) in doors {
            loop {
                let open = self
                    .net
                    .command(net, Who::Root, "bash")
                    .args(["-c", &format!("exec 3<>/dev/tcp/{door}")])
                    .stderr(Stdio::null())
                    .status()?;
                if open.success() {
                    break;
                }
                if Instant::now() > deadline {
                    bail!("{door} does not answer. The logs say:\n{}", self.logs());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// The last lines of all logs.
    pub fn logs(&self) -> String {
        let Ok(files) = std::fs::read_dir(self.net.path(RUN)) else {
            return String::new();
        };
        let logs = files.filter_map(|file| Some(file.ok()?.path()));
        let logs = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        let mut text = String::new();
        for path in logs {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            text.extend([
                "== ",
                &*name,
                "\n",
                &*crate::process::last_lines(&path, 15),
                "\n",
            ]);
        }
        text
    }
}

impl Underlay {
    fn start(net: &Namespaces) -> Result<Self> {
        let mut command = net.command(Net::Gateway, Who::Root, &format!("{RUN}/bin/parts"));
        command.args([
            "underlay",
            ADDRESS,
            &format!("{RUN}/tls/stranger.crt"),
            &format!("{RUN}/tls/stranger.key"),
        ]);
        let log = std::fs::File::create(net.path(format!("{RUN}/underlay.log")))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let input = child.stdin.take().context("a pipe was asked for")?;
        let output = BufReader::new(child.stdout.take().context("a pipe was asked for")?);
        Ok(Self {
            child,
            input,
            output,
        })
    }

    fn order(&mut self, order: &Order) -> Result<String> {
        writeln!(self.input, "{}", serde_json::to_string(order)?)?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        ensure!(
            !answer.is_empty(),
            "the network between client and gateway is gone"
        );
        Ok(answer)
    }
}

impl Drop for Underlay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
