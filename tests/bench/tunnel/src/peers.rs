//! The clients that are measured, each a process in the client's namespace.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use nix::unistd::{SysconfVar, sysconf};
use workplace::gateway::namespaces::{CLIENT, Namespaces, Net, RUN, Who};

use crate::carriers::{Carrier, SOCKS};
use crate::order::{Answer, Order, Setup, SignIn};

/// Which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Ours, as nobody without capabilities.
    Ours,
    /// This program with a TUN as root, and the kernel's TCP with this congestion control.
    Kernel(&'static str, &'static str),
    /// wireguard-go with its own network stack, as nobody.
    Netstack,
}

/// A client that takes orders. Dropping it ends its processes.
pub struct Client {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What carries packets for the kernel's TCP.
    carrier: Option<Carrier>,
}

impl Client {
    pub fn start(net: &Namespaces, peer: Peer, setup: &Setup) -> Result<Self> {
        let user = Who::User(CLIENT);
        let (command, carrier) = match peer {
            Peer::Ours => {
                let mut command = bench(net, user);
                command.arg("ours").arg(serde_json::to_string(setup)?);
                (command, None)
            }
            Peer::Netstack => {
                let setup = Setup {
                    private_key: hex(&setup.private_key)?,
                    gateway_key: hex(&setup.gateway_key)?,
                    ..setup.clone()
                };
                let mut command = net.command(Net::Client, user, &format!("{RUN}/bin/netstack"));
                command.arg(serde_json::to_string(&setup)?);
                (command, None)
            }
            Peer::Kernel(program, congestion_control) => {
                let carrier = Carrier::wireguard(net, program, setup)?;
                // Only root of the small network may choose one that the system does not use itself.
                let mut command = bench(net, Who::Root);
                command.args(["kernel", congestion_control]);
                (command, Some(carrier))
            }
        };
        Self::spawn(command, carrier)
    }

    /// Ours with AnyConnect, as nobody without capabilities.
    pub fn anyconnect(net: &Namespaces, sign_in: &SignIn) -> Result<Self> {
        let mut command = bench(net, Who::User(CLIENT));
        command.args(["anyconnect", &serde_json::to_string(sign_in)?]);
        Self::spawn(command, None)
    }

    /// openconnect without a TUN; the load goes through ocproxy's SOCKS port.
    pub fn ocproxy(net: &Namespaces, sign_in: &SignIn) -> Result<Self> {
        let carrier = Carrier::ocproxy(net, sign_in)?;
        let mut command = bench(net, Who::User(CLIENT));
        command.args(["socks", SOCKS]);
        Self::spawn(command, Some(carrier))
    }

    fn spawn(mut command: Command, carrier: Option<Carrier>) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            input: child.stdin.take().context("a pipe was asked for")?,
            output: BufReader::new(child.stdout.take().context("a pipe was asked for")?),
            child,
            carrier,
        })
    }

    /// Waits for the answer. The processor's time is that of all processes of this client.
    pub fn ask(&mut self, order: &Order) -> Result<Answer> {
        let before = self.carried()?;
        writeln!(self.input, "{}", serde_json::to_string(order)?)?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(
            !line.is_empty(),
            "the client ended: {:?}",
            self.child.try_wait()?
        );
        let mut answer: Answer = serde_json::from_str(&line)?;
        answer.cpu += self.carried()? - before;
        for process in self.carrier.iter().flat_map(Carrier::processes) {
            answer.memory += resident_bytes(process)?;
        }
        Ok(answer)
    }

    /// Time of the processor of what carries this client's packets.
    fn carried(&self) -> Result<f64> {
        let processes = self.carrier.iter().flat_map(Carrier::processes);
        processes.map(processor_seconds).sum()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program as a client.
fn bench(net: &Namespaces, who: Who) -> Command {
    net.command(Net::Client, who, &format!("{RUN}/bin/bench"))
}

/// The Rust peer, as `./x bench tunnel` installs it from crates.io.
pub fn boringtun_program() -> Result<PathBuf> {
    let folders = std::env::var("PATH").unwrap_or_default();
    let tools = std::env::var("CORDEE_CACHE").map(|cache| Path::new(&cache).join("tools/bin"));
    let mut folders = std::env::split_paths(&folders).chain(tools);
    folders
        .find_map(|folder| Some(folder.join("boringtun-cli")).filter(|program| program.exists()))
        .context("boringtun-cli is missing: `./x bench tunnel` installs it")
}

/// The Go client, built from `tests/bench/peers/netstack`.
pub fn netstack_program(into: &Path) -> Result<PathBuf> {
    // `./x` starts in the checkout's folder.
    let source = Path::new("tests/bench/peers/netstack");
    let program = into.join("bench-netstack");
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/local/go/bin";
    let output = Command::new("go")
        .env("PATH", path)
        .current_dir(source)
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .output()
        .context("there is no Go to build the peer with")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the Go peer cannot be built: {said}"
    );
    Ok(program)
}

/// Time of the processor that a process used so far, in seconds (proc(5): `utime` and `stime`).
pub fn processor_seconds(process: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')').context("no name in stat")?;
    let ticks: u32 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u32>().unwrap_or(0))
        .sum();
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks")?;
    Ok(f64::from(ticks) / f64::from(u32::try_from(per_second)?))
}

pub fn resident_bytes(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line
        .and_then(|line| line.split_whitespace().nth(1))
        .context("no VmRSS")?;
    Ok(kib.parse::<u64>()? * 1024)
}

pub fn hex(base64: &str) -> Result<String> {
    let mut text = String::new();
    for byte in BASE64.decode(base64)? {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}
