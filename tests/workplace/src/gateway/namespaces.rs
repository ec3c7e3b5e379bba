//! A small network of its own: three network namespaces inside a user namespace, so that nobody needs to be root.
//!
//! ```text
//!   client 10.99.0.2 ──── 10.99.0.1 gateway 10.50.0.1 ──── 10.50.0.80 inside
//!          fd99::2        fd99::1           fd50::1        fd50::80
//! ```
//!
//! The first process of a PID namespace holds all of it and ends when its input ends, which happens when our process is
//! gone, however it went. The kernel then kills every process in there and takes the interfaces, mounts and files with
//! it: they live in memory.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::process::command;

/// Where files of the small network are, as seen from inside it.
pub const RUN: &str = "/run/lab";
/// Nobody, without any right: the client.
pub const CLIENT: u32 = 65_534;

/// A network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    Client,
    Gateway,
    Inside,
}

impl Net {
    const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Inside => "inside",
        }
    }
}

/// As whom a program runs in there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Root of the user namespace, with every right in there.
    Root,
    /// This user, without capabilities, unable to gain any, and without `/dev/net/tun`.
    User(u32),
}

/// Mounts come first: what is in them must not outlive us.
const SET_UP: &str = r#"
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/netns /run/wireguard /run/lab/bin /run/lab/home
chmod 1777 /run/lab/home
while [ $# -gt 0 ]; do : >"/run/lab/bin/$1"; mount --bind "$2" "/run/lab/bin/$1"; shift 2; done
mount -t tmpfs -o mode=1777 tmp /tmp
for n in client gateway inside; do
  ip netns add $n; ip -n $n link set lo up
  ip netns exec $n sh -c 'echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad'
done
join() { # netns, interface, netns, interface
  ip link add "v$2" type veth peer name "v$4"
  ip link set "v$2" netns "$1" name "$2"; ip link set "v$4" netns "$3" name "$4"
  ip -n "$1" link set "$2" up; ip -n "$3" link set "$4" up
}
join client eth0 gateway outer
join gateway inner inside eth1
ip -n client addr add 10.99.0.2/24 dev eth0; ip -n client addr add fd99::2/64 dev eth0 nodad
ip -n gateway addr add 10.99.0.1/24 dev outer; ip -n gateway addr add fd99::1/64 dev outer nodad
ip -n gateway addr add 10.50.0.1/16 dev inner; ip -n gateway addr add fd50::1/64 dev inner nodad
for a in 80 53 54 55; do
  ip -n inside addr add 10.50.0.$a/16 dev eth1; ip -n inside addr add fd50::$a/64 dev eth1 nodad
done
ip -n inside route add default via 10.50.0.1; ip -n inside route add default via fd50::1
ip netns exec gateway sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
echo ready
exec cat >/dev/null
"#;

/// Runs in the client's namespace before what an unprivileged user starts.
const WITHOUT_TUN: &str = r#"[ ! -d /dev/net ] || mount -t tmpfs -o ro none /dev/net; exec "$@""#;

/// The small network. Dropping it ends everything in it.
pub struct Namespaces {
    unshare: Child,
    /// Closing it ends the first process.
    input: Option<ChildStdin>,
    first: u32,
}

impl Namespaces {
    /// Makes it, with these programs (name, path) as `/run/lab/bin/NAME`. The error says what this machine lacks.
    pub fn make(programs: &[(&str, &Path)]) -> Result<Self> {
        let mut shell = command("unshare");
        // The shell waits until its user namespace has its users.
        let hold = "echo $$; read -r go; exec unshare --net --mount --pid --ipc --fork --kill-child=KILL sh -c \"$@\"";
        shell.args(["--user", "sh", "-c", hold, "sh", SET_UP, "lab"]);
        for (name, path) in programs {
            shell.arg(name).arg(path);
        }
        let mut unshare = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start unshare(1) of util-linux")?;
        let mut input = unshare.stdin.take().context("a pipe was asked for")?;
        let output = unshare.stdout.take().context("a pipe was asked for")?;
        let mut lines = BufReader::new(output).lines();
        let mut says = move || lines.next().and_then(Result::ok).unwrap_or_default();
        let made = (|| {
            ensure!(!says().is_empty(), "no user namespace can be made");
            give_users(unshare.id())?;
            writeln!(input, "go")?;
            ensure!(says() == "ready", "the namespaces cannot be set up");
            only_child(unshare.id())
        })();
        match made {
            Ok(first) => Ok(Self {
                unshare,
                input: Some(input),
                first,
            }),
            Err(why) => {
                drop(input);
                let _ = unshare.kill();
                let said = unshare.wait_with_output().map(|output| output.stderr);
                bail!(
                    "This machine makes no network of its own, and without one the tunnel cannot be tested: {why:#}. \
                     Needed are user and network namespaces (an ordinary user also needs the package uidmap and a line \
                     in /etc/subuid and /etc/subgid). The system said: {}",
                    String::from_utf8_lossy(&said.unwrap_or_default()).trim()
                )
            }
        }
    }

    /// A program in there. It is killed when the process that this command starts is killed.
    pub fn command(&self, net: Net, who: Who, program: &str) -> Command {
        let mut inside = self.enter();
        inside.args(["ip", "netns", "exec", net.name()]);
        if let Who::User(uid) = who {
            let uid = uid.to_string();
            inside.args([
                "sh",
                "-c",
                WITHOUT_TUN,
                "sh",
                "setpriv",
                "--pdeathsig",
                "KILL",
            ]);
            inside.args(["--reuid", &uid, "--regid", &uid, "--clear-groups"]);
            inside.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
        } else {
            inside.args(["setpriv", "--pdeathsig", "KILL"]);
        }
        inside.args(["--", program]);
        inside
    }

    /// Runs a script as root of the small network, outside its three namespaces, to its end.
    pub fn script(&self, text: &str) -> Result<()> {
        let output = self.enter().args(["sh", "-ec", text]).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "a step of the set-up failed: {said}"
        );
        Ok(())
    }

    /// Where a file of the small network is for programs outside.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        let inside = inside.strip_prefix("/").unwrap_or(inside);
        Path::new("/proc")
            .join(self.first.to_string())
            .join("root")
            .join(inside)
    }

    /// Writes a file below [`RUN`] that everybody in there may read, and gives its path in there.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Result<String> {
        let inside = format!("{RUN}/{name}");
        crate::site::write(&self.path(&inside), text)?;
        Ok(inside)
    }

    /// The number of the first process: it lives as long as the small network.
    pub fn first_process(&self) -> u32 {
        self.first
    }

    fn enter(&self) -> Command {
        let mut enter = command("nsenter");
        enter.args(["--target", &self.first.to_string()]);
        enter.args([
            "--user",
            "--mount",
            "--pid",
            "--ipc",
            "--preserve-credentials",
            "--",
        ]);
        enter.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        enter.current_dir("/");
        enter
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.unshare.wait();
    }
}

/// The program that a command of [`Namespaces::command`] runs, as a process number of this machine.
pub fn only_child(parent: u32) -> Result<u32> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    loop {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
        if let Some(child) = children.split_whitespace().next() {
            return Ok(child.parse()?);
        }
        let ended = crate::process::has_ended(parent);
        ensure!(
            !ended && std::time::Instant::now() < deadline,
            "process {parent} has no child"
        );
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Fills the user namespace: root may give all users, others give their own and the ones that belong to them.
fn give_users(process: u32) -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{process}/{map}"), "0 0 65536")
                .context("the user namespace takes no users")?;
        }
        return Ok(());
    }
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid())?.context("we have no name")?;
    let groups = ("newgidmap", "/etc/subgid", user.gid.as_raw());
    for (program, file, own) in [("newuidmap", "/etc/subuid", user.uid.as_raw()), groups] {
        let (first, count) = belonging(file, &user.name, user.uid.as_raw())?;
        let output = command(program)
            .arg(process.to_string())
            .args(["0", &own.to_string(), "1"])
            .args(["1", &first.to_string(), &(count - 1).to_string()])
            .output()
            .with_context(|| format!("{program} of the package uidmap is missing"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program}: {said}");
    }
    Ok(())
}

/// subuid(5): `name:first:count`; nobody (65534) has to be among them.
fn belonging(file: &str, name: &str, id: u32) -> Result<(u32, u32)> {
    let text = fs::read_to_string(file).with_context(|| format!("{file} is missing"))?;
    let own = text.lines().find_map(|line| {
        let mut parts = line.trim().split(':');
        let who = parts.next()?;
        let own = who == name || who == id.to_string();
        let first = parts.next()?.parse().ok()?;
        let count: u32 = parts.next()?.parse().ok()?;
        (own && count >= 65_535).then_some((first, count.min(65_536)))
    });
    own.with_context(|| format!("{file} gives {name} no range of 65,536 numbers"))
}
