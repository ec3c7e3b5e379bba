//! The clients that are measured, each a process in the client's namespace.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use nix::unistd::{SysconfVar, sysconf};
use workplace::gateway::namespaces::{CLIENT, Namespaces, Net, RUN, Who, only_child};

use crate::order::{Answer, Order, Setup};

/// Which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Ours, as nobody without capabilities.
    Ours,
    /// wireguard-go with a TUN as root, and the kernel's TCP with this congestion control.
    Kernel(&'static str),
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

struct Carrier {
    child: Child,
    process: u32,
}

impl Client {
    pub fn start(net: &Namespaces, peer: Peer, setup: &Setup) -> Result<Self> {
        let user = Who::User(CLIENT);
        let (command, carrier) = match peer {
            Peer::Ours => {
                let mut command = net.command(Net::Client, user, &format!("{RUN}/bin/bench"));
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
            Peer::Kernel(congestion_control) => {
                let carrier = Carrier::start(net, setup)?;
                // Only root of the small network may choose one that the system does not use itself.
                let mut command = net.command(Net::Client, Who::Root, &format!("{RUN}/bin/bench"));
                command.args(["kernel", congestion_control]);
                (command, Some(carrier))
            }
        };
        Self::spawn(command, carrier)
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
        let carried = |carrier: &Option<Carrier>| match carrier {
            Some(carrier) => processor_seconds(carrier.process),
            None => Ok(0.0),
        };
        let before = carried(&self.carrier)?;
        writeln!(self.input, "{}", serde_json::to_string(order)?)?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(
            !line.is_empty(),
            "the client ended: {:?}",
            self.child.try_wait()?
        );
        let mut answer: Answer = serde_json::from_str(&line)?;
        answer.cpu += carried(&self.carrier)? - before;
        if let Some(carrier) = &self.carrier {
            answer.memory += resident_bytes(carrier.process)?;
        }
        Ok(answer)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Carrier {
    fn start(net: &Namespaces, setup: &Setup) -> Result<Self> {
        let mut command = net.command(Net::Client, Who::Root, &format!("{RUN}/bin/wireguard"));
        let child = command
            .args(["-f", "wgc"])
            .env("LOG_LEVEL", "error")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let process = only_child(child.id())?;
        let carrier = Self { child, process };
        let settings = format!(
            "private_key={}\npublic_key={}\nendpoint={}\nallowed_ip=0.0.0.0/0\npersistent_keepalive_interval=25\n",
            hex(&setup.private_key)?,
            hex(&setup.gateway_key)?,
            setup.gateway
        );
        tell(&net.path("/run/wireguard/wgc.sock"), &settings)?;
        net.script(&format!(
            "ip -n client addr add {}/32 dev wgc; ip -n client link set wgc mtu 1420 up
             ip -n client route add 10.50.0.0/16 dev wgc",
            setup.address
        ))?;
        Ok(carrier)
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its interface and routes go with it, and the next one wants the same names.
        let ours = PathBuf::from(format!("/proc/{}/stat", self.process));
        let deadline = Instant::now() + Duration::from_secs(5);
        while ours.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Settings for wireguard-go, as soon as it listens (<https://www.wireguard.com/xplatform/>).
fn tell(socket: &Path, settings: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(why) if Instant::now() > deadline => return Err(why).context("wireguard-go"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    write!(stream, "set=1\n{settings}\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    ensure!(line.trim() == "errno=0", "wireguard-go refused: {line}");
    Ok(())
}

/// The Go client, built from `tests/bench/peers/netstack`.
pub fn netstack_program(into: &Path) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers/netstack");
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

fn hex(base64: &str) -> Result<String> {
    let mut text = String::new();
    for byte in BASE64.decode(base64)? {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}
