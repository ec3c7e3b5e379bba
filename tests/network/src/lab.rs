//! What a test holds: the small network with its gateway.

mod client;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use workplace::gateway::inside::Resolver;
use workplace::gateway::namespaces::{Net, RUN, Who};
use workplace::gateway::underlay::{Faults, Ports, Report};
use workplace::gateway::wireguard::{KeyPair, WireGuard};
use workplace::gateway::{ADDRESS, Gateway, NAME, Options, RELAY_PATH};

use crate::client::{Setup, Source};
pub use client::Client;

/// A state has to be right after this long.
pub const RIGHT: Duration = Duration::from_secs(3);
/// The way up from nothing, on a busy machine.
pub const UP: Duration = Duration::from_secs(10);

/// People who may sign in. Each test takes one of its own.
const COLLEAGUES: usize = 12;
/// Seconds after which AnyConnect sessions take new keys.
pub const REKEY: u32 = 6;

pub struct Lab {
    pub gateway: Gateway,
    next_colleague: AtomicUsize,
}

/// Everything about one client that a test may want otherwise.
pub struct Wanted {
    pub keys: KeyPair,
    /// Addresses inside.
    pub inside: (String, String),
    pub setup: Setup,
    pub ports: Ports,
}

impl Lab {
    /// The one lab of this test program.
    ///
    /// # Panics
    /// On a machine that cannot make it, with a sentence that says why: that fails the test.
    pub fn shared() -> &'static Self {
        static LAB: OnceLock<Lab> = OnceLock::new();
        // Whoever cannot make a network of its own cannot test this; the sentence says why.
        #[allow(clippy::expect_used)]
        LAB.get_or_init(|| Self::up().expect("the lab"))
    }

    pub fn up() -> Result<Self> {
        let gateway = Gateway::up(&Options {
            parts: built("lab-parts")?,
            relay: Some(built("lab-relay")?),
            programs: vec![
                ("client".to_owned(), built("lab-client")?),
                ("tunnel".to_owned(), built("lab-tunnel")?),
            ],
            colleagues: COLLEAGUES,
            codes: true,
            rekey: REKEY,
        })?;
        Ok(Self {
            gateway,
            next_colleague: AtomicUsize::new(0),
        })
    }

    /// A colleague that no other test has: name and place.
    pub fn colleague(&self) -> usize {
        self.next_colleague.fetch_add(1, Ordering::Relaxed)
    }

    /// The setup of a `WireGuard` client with a line and a key of its own, let in by the gateway.
    pub fn wireguard(&self) -> Result<Wanted> {
        let keys = KeyPair::random();
        let inside = self.gateway.add_peer(&keys)?;
        let ports = self.gateway.line()?;
        let gateway_key = self.gateway.wireguard().public_key();
        let echo = self.gateway.wireguard().addresses().0;
        Ok(self.wanted(keys, ports, gateway_key, inside, echo))
    }

    /// The same for any gateway key, addresses and line.
    pub fn wanted(
        &self,
        keys: KeyPair,
        ports: Ports,
        gateway_key: String,
        inside: (String, String),
        echo: String,
    ) -> Wanted {
        let source = Source::WireGuard {
            private_key: keys.private(),
            gateway_key,
            udp: format!("{ADDRESS}:{}", ports.udp),
            websocket: Some(format!("wss://{NAME}:{}{RELAY_PATH}", ports.websocket)),
            v4: inside.0.clone(),
            v6: inside.1.clone(),
            dns: vec![Resolver::Honest.v4()],
            echo: Some(echo),
        };
        Wanted {
            keys,
            inside,
            setup: setup(source, &ports),
            ports,
        }
    }

    /// The setup of an AnyConnect client with a line of its own.
    pub fn anyconnect(&self) -> Result<(Setup, Ports)> {
        let ports = self.gateway.line()?;
        let source = Source::AnyConnect {
            host: NAME.to_owned(),
            port: ports.anyconnect,
        };
        Ok((setup(source, &ports), ports))
    }

    /// A profile file for this client; gives its path where the client is.
    pub fn profile(&self, wanted: &Wanted) -> Result<String> {
        self.gateway
            .profile(&wanted.keys, &wanted.inside, &wanted.ports)
    }

    /// A `WireGuard` client on this line; give it faults before or afterwards.
    pub fn client(&self, wanted: &Wanted) -> Result<Client> {
        Client::start(self, &wanted.setup, wanted.ports.clone())
    }

    /// A `WireGuard` client that is up, with a connection to the desktop inside that is kept.
    pub fn client_in_use(&self) -> Result<Client> {
        let mut client = self.client(&self.wireguard()?)?;
        client.in_use()?;
        Ok(client)
    }

    /// A second gateway, for tests that harm it: with the network `10.NUMBER.0.0/16`, without a
    /// WebSocket. And a client of it in use.
    pub fn gateway_to_harm(&self, number: u8, port: u16) -> Result<(WireGuard, Client)> {
        let net = &self.gateway.net;
        let mut wireguard = WireGuard::new(number, port);
        let keys = KeyPair::random();
        let inside = wireguard.add_peer(net, &keys)?;
        wireguard.start(net)?;
        let ports = self.gateway.line_to(wireguard.port())?;
        let key = wireguard.public_key();
        let mut wanted = self.wanted(keys, ports, key, inside, wireguard.addresses().0);
        if let Source::WireGuard { websocket, .. } = &mut wanted.setup.source {
            // The relay leads to the lab's first gateway.
            *websocket = None;
        }
        let mut client = self.client(&wanted)?;
        client.in_use()?;
        Ok((wireguard, client))
    }

    /// Any program in the client's namespace, as this user. It gets half a minute.
    pub fn run(&self, who: Who, program: &[&str]) -> Result<std::process::Output> {
        let [name, arguments @ ..] = program else {
            bail!("a program is wanted")
        };
        let mut command = self.gateway.net.command(Net::Client, who, "timeout");
        Ok(command
            .arg("30")
            .arg(name)
            .args(arguments)
            .stdin(Stdio::null())
            .output()?)
    }

    /// curl(1) in the client's namespace, through this proxy.
    pub fn curl(
        &self,
        who: Who,
        proxy: &str,
        password: Option<&str>,
        url: &str,
    ) -> Result<std::process::Output> {
        let mut curl = vec!["curl", "-sS", "--max-time", "10", "-x", proxy];
        curl.extend(password.iter().flat_map(|password| ["-U", password]));
        curl.push(url);
        self.run(who, &curl)
    }

    /// The device of all clients changes its addresses outside, as from one Wi-Fi to another:
    /// 10.99.0.HOST and `fd99::HOST` instead of what it has.
    pub fn device_moves_to(&self, host: u8) -> Result<()> {
        self.gateway.net.script(&format!(
            "ip -n client addr flush dev eth0 scope global
             ip -n client addr add 10.99.0.{host}/24 dev eth0
             ip -n client addr add fd99::{host}/64 dev eth0 nodad"
        ))
    }

    pub fn faults(&self, ports: &Ports, faults: Faults) -> Result<()> {
        self.gateway.faults(ports.line, faults)
    }

    pub fn report(&self, ports: &Ports) -> Result<Report> {
        self.gateway.report(ports.line)
    }
}

fn setup(source: Source, ports: &Ports) -> Setup {
    Setup {
        source,
        authority: format!("{RUN}/tls/ca.crt"),
        page: Some(format!("http://{ADDRESS}:{}/", ports.page)),
        other_direct: false,
        bare: false,
    }
}

/// `user:password` of an event that tells about the port.
pub fn password(port: &serde_json::Value) -> String {
    let text = |key: &str| port[key].as_str().unwrap_or_default().to_owned();
    format!("{}:{}", text("user"), text("password"))
}

/// A program of this package.
pub fn built(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let folder = here.parent().context("no build folder")?;
    // A test is target/debug/deps/TEST; a measurement lies beside the program.
    let deps = folder.ends_with("deps").then(|| folder.parent()).flatten();
    let program = deps.unwrap_or(folder).join(name);
    ensure!(
        program.exists(),
        "{} is missing: cargo build -p network-tests",
        program.display()
    );
    Ok(program)
}
