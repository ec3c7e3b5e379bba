//! What carries packets for clients whose TCP is elsewhere.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use workplace::gateway::NAME;
use workplace::gateway::anyconnect::PASSWORD;
use workplace::gateway::namespaces::{CLIENT, Namespaces, Net, RUN, Who, only_child};

use crate::network::wait_for_door;
use crate::order::{Setup, SignIn};
use crate::peers::hex;

/// Where ocproxy listens in the client's namespace.
pub const SOCKS: &str = "127.0.0.1:1093";

/// Dropping it ends its processes.
pub struct Carrier {
    child: Child,
    process: u32,
}

impl Carrier {
    /// `program` is one of the small network's: wireguard-go or boringtun, with a TUN as root.
    pub fn wireguard(net: &Namespaces, program: &str, setup: &Setup) -> Result<Self> {
        let mut command = net.command(Net::Client, Who::Root, &format!("{RUN}/bin/{program}"));
        command.args(["-f", "wgc"]);
        if program == "boringtun" {
            command.arg("--disable-drop-privileges");
        }
        let child = command
            .env("LOG_LEVEL", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let carrier = Self::of(child)?;
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

    /// openconnect with ocproxy behind it, as nobody.
    pub fn ocproxy(net: &Namespaces, sign_in: &SignIn) -> Result<Self> {
        let mut command = net.command(Net::Client, Who::User(CLIENT), "openconnect");
        let log = std::fs::File::create(net.path(format!("{RUN}/openconnect.log")))?;
        let port = SOCKS.rsplit(':').next().unwrap_or_default();
        let mut child = command
            .args(["--protocol=anyconnect", "--non-inter", "--passwd-on-stdin"])
            .args([
                "--user",
                &sign_in.user,
                "--cafile",
                &format!("{RUN}/tls/ca.crt"),
            ])
            .args(["--script-tun", "--script", &format!("ocproxy -D {port}")])
            .arg(format!("https://{NAME}:{}", sign_in.port))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut input = child.stdin.take().context("a pipe was asked for")?;
        writeln!(input, "{PASSWORD}")?;
        drop(input);
        let carrier = Self::of(child)?;
        let door = SOCKS.replace(':', "/");
        wait_for_door(net, Net::Client, &door).with_context(|| {
            let log = std::fs::read_to_string(net.path(format!("{RUN}/openconnect.log")));
            format!("openconnect says: {}", log.unwrap_or_default())
        })?;
        Ok(carrier)
    }

    fn of(child: Child) -> Result<Self> {
        let process = only_child(child.id())?;
        Ok(Self { child, process })
    }

    /// The program and those that it started.
    pub fn processes(&self) -> Vec<u32> {
        let mut all = vec![self.process];
        let mut next = 0;
        while let Some(parent) = all.get(next) {
            let children =
                std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
            let children = children.unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
            next += 1;
        }
        all
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let processes = self.processes();
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Interface, routes and port go with them, and the next one wants the same.
        let left = |process: &u32| Path::new("/proc").join(process.to_string()).exists();
        let deadline = Instant::now() + Duration::from_secs(5);
        while processes.iter().any(left) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Settings, as soon as it listens (<https://www.wireguard.com/xplatform/>).
fn tell(socket: &Path, settings: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(why) if Instant::now() > deadline => {
                return Err(why).context("no WireGuard listens");
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    write!(stream, "set=1\n{settings}\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    ensure!(
        line.trim() == "errno=0",
        "the settings were refused: {line}"
    );
    Ok(())
}
