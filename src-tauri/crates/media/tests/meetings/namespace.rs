//! A network of a test's own, in which ports can be closed and addresses changed: the test calls itself there.

use std::process::Command;

const INSIDE: &str = "MEETINGS_NAMESPACE";

/// Runs `inside` in a network of its own, whose only interface is the loopback. `test` is the full name of the test that
/// calls this.
pub fn alone(test: &str, inside: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        tokio::runtime::Runtime::new().unwrap().block_on(inside);
        return;
    }
    let status = unshared()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare(1) of util-linux");
    assert!(status.success());
}

/// Runs the program that is given as its arguments in a network of its own.
pub fn unshared() -> Command {
    let prepare = "ip link set lo up && exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command
        // nginx, as root, would want to be somebody else, whom there is not in the namespace.
        .args(["--user", "--map-user=1000", "--keep-caps", "--net"])
        .args(["sh", "-c", prepare]);
    command
}

/// `ip` of iproute2, in the namespace.
pub fn ip(command: &str) {
    let done = Command::new("ip").args(command.split(' ')).status();
    assert!(done.expect("ip(8) of iproute2").success(), "ip {command}");
}

/// Nothing that leaves from this UDP port arrives, except at `ports`: as behind a firewall that lets only these in.
pub fn block_udp_from(port: u16, except: Option<&std::ops::RangeInclusive<u16>>) {
    if let Some(ports) = except {
        let (first, last) = (ports.start(), ports.end());
        let allowed = format!("ipproto udp sport {port} dport {first}-{last}");
        ip(&format!("rule add pref 10 {allowed} lookup local"));
    }
    ip(&format!(
        "rule add pref 20 ipproto udp sport {port} blackhole"
    ));
}

/// Rules come before what is on this machine itself, which is all that there is here.
pub fn obey_rules() {
    ip("rule add pref 30 lookup local");
    ip("rule del pref 0");
}
