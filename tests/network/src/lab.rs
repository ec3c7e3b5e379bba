//! What a test holds: the small network with its gateway, and clients in it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use workplace::gateway::inside::Resolver;
use workplace::gateway::namespaces::{CLIENT, Net, RUN, Who, only_child};
use workplace::gateway::underlay::{Faults, Ports, Report};
use workplace::gateway::wireguard::KeyPair;
use workplace::gateway::{ADDRESS, Gateway, NAME, Options, RELAY_PATH};

use crate::client::{Job, Order, Setup, Source};

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

    /// A `WireGuard` client as it should be.
    pub fn wireguard_client(&self) -> Result<Client> {
        let wanted = self.wireguard()?;
        Client::start(self, &wanted.setup, wanted.ports)
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

/// A program of this package.
pub fn built(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    // target/debug/deps/TEST → target/debug/NAME
    let folder = here
        .parent()
        .and_then(|deps| deps.parent())
        .context("no build folder")?;
    let program = folder.join(name);
    ensure!(
        program.exists(),
        "{} is missing: cargo build -p network-tests",
        program.display()
    );
    Ok(program)
}

/// A client in the lab. Dropping it kills it.
pub struct Client {
    child: Child,
    input: ChildStdin,
    events: Receiver<Value>,
    /// What happened so far, with when.
    pub seen: Vec<(Instant, Value)>,
    pub ports: Ports,
    done: HashMap<u64, Value>,
    peeked: Option<Value>,
    next_job: u64,
}

impl Client {
    /// Starts one as nobody, without any right.
    pub fn start(lab: &Lab, setup: &Setup, ports: Ports) -> Result<Self> {
        let mut command =
            lab.gateway
                .net
                .command(Net::Client, Who::User(CLIENT), &format!("{RUN}/bin/client"));
        command
            .arg(serde_json::to_string(setup)?)
            .env("RUST_BACKTRACE", "0")
            .env("HOME", format!("{RUN}/home"));
        Self::spawn(command, ports)
    }

    /// The same for another program that speaks the same lines.
    pub fn spawn(mut command: Command, ports: Ports) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("a pipe was asked for")?;
        let output = child.stdout.take().context("a pipe was asked for")?;
        let (tell, events) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else {
                    continue;
                };
                if tell.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            input,
            events,
            seen: Vec::new(),
            ports,
            done: HashMap::new(),
            peeked: None,
            next_job: 0,
        })
    }

    pub fn order(&mut self, order: &Order) -> Result<()> {
        Ok(writeln!(self.input, "{}", serde_json::to_string(order)?)?)
    }

    /// Does a job and waits for its end. The error is what the job says.
    pub fn job(&mut self, job: Job) -> Result<String> {
        let id = self.begin(job)?;
        self.end(id)
    }

    /// Begins a job; [`Client::end`] waits for it.
    pub fn begin(&mut self, job: Job) -> Result<u64> {
        self.next_job += 1;
        let id = self.next_job;
        self.order(&Order::Job { id, job })?;
        Ok(id)
    }

    pub fn end(&mut self, id: u64) -> Result<String> {
        let deadline = Instant::now() + Duration::from_secs(35);
        loop {
            if let Some(event) = self.done.remove(&id) {
                let text = event["text"].as_str().unwrap_or_default().to_owned();
                return if event["ok"] == true {
                    Ok(text)
                } else {
                    Err(anyhow::Error::msg(text))
                };
            }
            self.next(deadline)
                .with_context(|| format!("job {id} has no end"))?;
        }
    }

    /// Waits for an event of this name after those that were waited for before.
    pub fn event(&mut self, name: &str, within: Duration) -> Result<Value> {
        let deadline = Instant::now() + within;
        loop {
            let event = self
                .next(deadline)
                .with_context(|| format!("no event {name} within {within:?}"))?;
            if event["event"] == name {
                return Ok(event);
            }
        }
    }

    /// Waits for the next event that has one of these names.
    pub fn next_of(&mut self, names: &[&str], within: Duration) -> Result<Value> {
        let deadline = Instant::now() + within;
        loop {
            let event = match self.peeked.take() {
                Some(event) => event,
                None => self
                    .next(deadline)
                    .with_context(|| format!("none of {names:?} within {within:?}"))?,
            };
            if names.iter().any(|name| event["event"] == *name) {
                return Ok(event);
            }
        }
    }

    /// Waits for the next event that has this key.
    pub fn next_with(&mut self, key: &str, within: Duration) -> Result<Value> {
        let deadline = Instant::now() + within;
        loop {
            let event = self
                .next(deadline)
                .with_context(|| format!("nothing about {key} within {within:?}"))?;
            if !event[key].is_null() {
                return Ok(event);
            }
        }
    }

    /// As [`Client::next_of`], which gives it once more.
    pub fn peek_of(&mut self, names: &[&str], within: Duration) -> Result<Value> {
        let event = self.next_of(names, within)?;
        self.peeked = Some(event.clone());
        Ok(event)
    }

    /// Waits until the state is this one; it may be already. Gives the state's event.
    pub fn wait_for(&mut self, state: &str, within: Duration) -> Result<Value> {
        self.wait_until(&format!("state {state}"), within, |event| {
            event["state"] == state
        })
    }

    /// Waits until the state satisfies this; it may do so already.
    pub fn wait_until(
        &mut self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(now) = self.state()
                && wanted(now)
            {
                return Ok(now.clone());
            }
            let story = self.story();
            self.next(deadline)
                .with_context(|| format!("no {what} within {within:?}. States so far: {story}"))?;
        }
    }

    /// The present state, as far as it was read.
    pub fn state(&self) -> Option<&Value> {
        self.seen
            .iter()
            .rev()
            .map(|(_, event)| event)
            .find(|event| event["state"].is_string())
    }

    /// Fails when the state becomes another one within this time.
    pub fn stays(&mut self, state: &str, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        loop {
            let now = self.state().cloned().unwrap_or_default();
            ensure!(
                now["state"] == state,
                "the state is {now}, not {state}. States so far: {}",
                self.story()
            );
            if self.next(deadline).is_err() {
                ensure!(Instant::now() >= deadline, "the client ended");
                return Ok(());
            }
        }
    }

    /// All states so far, for messages.
    pub fn story(&self) -> String {
        let states = self
            .seen
            .iter()
            .filter(|(_, event)| event["state"].is_string());
        let words = states.map(|(_, event)| {
            format!(
                "{}({})",
                event["state"].as_str().unwrap_or("?"),
                event["why"].as_str().unwrap_or("?")
            )
        });
        words.collect::<Vec<_>>().join(" → ")
    }

    /// The client's process, for signals.
    pub fn process(&self) -> Result<u32> {
        only_child(self.child.id())
    }

    fn next(&mut self, deadline: Instant) -> Result<Value> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.events.recv_timeout(left) {
            Ok(event) => {
                ensure!(
                    event["event"] != "failed",
                    "the client failed: {}",
                    event["why"]
                );
                if event["event"] == "done"
                    && let Some(id) = event["id"].as_u64()
                {
                    self.done.insert(id, event.clone());
                }
                self.seen.push((Instant::now(), event.clone()));
                Ok(event)
            }
            Err(RecvTimeoutError::Timeout) => bail!("time is over"),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the client ended: {:?}", self.child.wait())
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
