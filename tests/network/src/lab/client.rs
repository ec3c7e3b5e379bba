//! A client in the small network, from outside.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use workplace::gateway::inside::{DESKTOP, PROBE, SITE};
use workplace::gateway::namespaces::{CLIENT, Net, RUN, Who, only_child};
use workplace::gateway::underlay::Ports;

use super::{Lab, RIGHT, UP};
use crate::client::{Job, Order, Setup};

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

    /// Waits until it is up.
    pub fn up(&mut self) -> Result<Value> {
        self.wait_for("up", UP)
    }

    /// Waits until it is up, then opens a connection to the desktop inside and keeps it.
    pub fn in_use(&mut self) -> Result<()> {
        self.up()?;
        self.hold()
    }

    /// Waits for the end of "up", and is strict about how long it took.
    pub fn not_up(&mut self) -> Result<Value> {
        let began = Instant::now();
        let now = self.wait_until("end of up", 3 * RIGHT, |now| now["state"] != "up")?;
        let took = began.elapsed();
        ensure!(took <= RIGHT, "noticed after {took:?}: {}", self.story());
        Ok(now)
    }

    /// Fails when it was ever up.
    pub fn never_was_up(&self) -> Result<()> {
        let story = self.story();
        ensure!(!story.contains("up("), "{story}");
        Ok(())
    }

    /// The probe's page, over TLS on a stream of our own.
    pub fn fetch(&mut self) -> Result<()> {
        let page = self.job(Job::Fetch {
            host: SITE.to_owned(),
            path: "/probe".to_owned(),
        })?;
        ensure!(page == PROBE, "the site says: {page}");
        Ok(())
    }

    /// Opens a connection to the desktop inside and keeps it.
    pub fn hold(&mut self) -> Result<()> {
        let (name, host) = ("desktop".to_owned(), DESKTOP.to_owned());
        self.job(Job::Hold { name, host }).map(drop)
    }

    /// The kept connection lives: what it is told comes back.
    pub fn touch(&mut self) -> Result<()> {
        let name = "desktop".to_owned();
        self.job(Job::Touch { name }).map(drop)
    }

    /// Sends this many bytes to a host inside and has them back.
    pub fn echo(&mut self, host: &str, bytes: usize) -> Result<()> {
        let host = host.to_owned();
        self.job(Job::Echo { host, bytes }).map(drop)
    }

    /// Stops it where it is, as a device that sleeps; clocks go on.
    pub fn fall_asleep(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    pub fn wake_up(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Runs a program as a descendant of the client; see [`Job::Run`]. Gives what it says.
    pub fn run(&mut self, line: &str) -> Result<String> {
        let program = line.split_whitespace().map(str::to_owned).collect();
        self.job(Job::Run { program })
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

    /// The client's process.
    fn process(&self) -> Result<u32> {
        only_child(self.child.id())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = i32::try_from(self.process()?)?;
        Ok(kill(Pid::from_raw(process), signal)?)
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
