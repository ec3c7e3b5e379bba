//! The measures of the table, peer after peer.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use workplace::gateway::namespaces::{Net, RUN, Who};
use workplace::gateway::server::Server;
use workplace::gateway::underlay::Faults;
use workplace::gateway::wireguard::KeyPair;
use workplace::gateway::{ADDRESS, Gateway, Options};

use crate::figures::{Row, percentile};
use crate::host::{ECHO, SINK, SOURCE};
use crate::order::{Answer, Kind, Order, Setup};
use crate::peers::{Client, Peer, netstack_program};

const HOST: &str = "10.50.0.80";

/// The kernel's TCP takes its turn with CUBIC, as ours; with BBR, which does not take a loss for congestion, where the
/// line loses.
const PEERS: [(Peer, &str); 4] = [
    (Peer::Ours, "ours"),
    (Peer::Kernel("cubic"), "wireguard-go, kernel CUBIC"),
    (Peer::Kernel("bbr"), BBR),
    (Peer::Netstack, "Go netstack"),
];
const BBR: &str = "wireguard-go, kernel BBR";

/// How much is measured.
#[derive(Debug, Clone, Args)]
pub struct Plan {
    /// Rounds; every peer has its turn in each, and the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each transfer on the undisturbed line
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Seconds of each transfer on the line that loses
    #[arg(long, default_value_t = 10.0)]
    lossy_seconds: f64,
}

/// Values of each measure and peer, one per round.
#[derive(Default)]
struct Taken(BTreeMap<(usize, &'static str, &'static str), BTreeMap<&'static str, Vec<f64>>>);

impl Taken {
    fn add(
        &mut self,
        place: usize,
        measure: &'static str,
        unit: &'static str,
        peer: &'static str,
        value: f64,
    ) {
        self.0
            .entry((place, measure, unit))
            .or_default()
            .entry(peer)
            .or_default()
            .push(value);
    }
}

pub fn all(plan: &Plan) -> Result<Vec<Row>> {
    let folder = std::env::current_exe()?;
    let folder = folder.parent().context("no build folder")?;
    let bench = std::env::current_exe()?;
    let gateway = Gateway::up(&Options {
        parts: bench.clone(),
        relay: None,
        programs: vec![
            ("bench".to_owned(), bench),
            ("netstack".to_owned(), netstack_program(folder)?),
        ],
        colleagues: 0,
        rekey: 3600,
    })?;
    let mut host = gateway
        .net
        .command(Net::Inside, Who::Root, &format!("{RUN}/bin/bench"));
    host.arg("host");
    let _host = Server::start(&gateway.net, "bench-host", host)?;
    wait_for_host(&gateway)?;

    let mut taken = Taken::default();
    for round in 1..=plan.rounds.max(1) {
        for (peer, name) in PEERS {
            tracing::info!("round {round}: {name}");
            if name != BBR {
                undisturbed(plan, &gateway, peer, name, &mut taken)
                    .with_context(|| format!("{name}, round {round}"))?;
            }
            disturbed(plan, &gateway, peer, name, &mut taken)
                .with_context(|| format!("{name}, lossy line, round {round}"))?;
        }
    }
    Ok(rows(&taken))
}

/// The host inside needs a moment before it listens.
fn wait_for_host(gateway: &Gateway) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let door = format!("exec 3<>/dev/tcp/{HOST}/{ECHO}");
    loop {
        let mut knock = gateway.net.command(Net::Inside, Who::Root, "bash");
        if knock
            .args(["-c", &door])
            .stderr(Stdio::null())
            .status()?
            .success()
        {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the host inside does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Straight to the gateway.
fn undisturbed(
    plan: &Plan,
    gateway: &Gateway,
    peer: Peer,
    name: &'static str,
    taken: &mut Taken,
) -> Result<()> {
    let port = gateway.wireguard().port();
    let mut client = start(gateway, peer, port)?;
    let first = client.ask(&order(Kind::First, ECHO, 1, 0.0))?;
    if peer == Peer::Netstack || peer == Peer::Ours {
        taken.add(
            0,
            "start → first answer from inside",
            "ms",
            name,
            first.seconds * 1000.0,
        );
    }
    let transfers = [
        (1, Kind::Down, 1, "down, 1 stream", "cpu, down, 1 stream"),
        (2, Kind::Down, 8, "down, 8 streams", "cpu, down, 8 streams"),
        (3, Kind::Up, 1, "up, 1 stream", "cpu, up, 1 stream"),
        (4, Kind::Up, 8, "up, 8 streams", "cpu, up, 8 streams"),
    ];
    for (place, kind, streams, rate, cost) in transfers {
        let port = if kind == Kind::Down { SOURCE } else { SINK };
        let answer = client.ask(&order(kind, port, streams, plan.seconds))?;
        taken.add(
            place,
            rate,
            "ms/Mbit",
            name,
            milliseconds_per_megabit(&answer),
        );
        taken.add(
            place + 10,
            cost,
            "cpu-s/Gbit",
            name,
            answer.cpu / gigabits(&answer),
        );
    }
    let latency = client.ask(&order(Kind::Latency, ECHO, 1000, 0.0))?;
    taken.add(
        20,
        "echo of 32 bytes, p50",
        "ms",
        name,
        latency.median * 1000.0,
    );
    drop(client);

    let mut client = start(gateway, peer, port)?;
    client.ask(&order(Kind::First, ECHO, 1, 0.0))?;
    for (place, count, time, memory) in [
        (30, 200, "200 connections at once", "memory with 200 open"),
        (
            32,
            1000,
            "1,000 connections at once",
            "memory with 1,000 open",
        ),
    ] {
        let answer = client.ask(&order(Kind::Connections, ECHO, count, 0.0))?;
        ensure!(answer.failed == 0, "{} of {count} failed", answer.failed);
        taken.add(place, time, "s", name, answer.seconds);
        taken.add(
            place + 1,
            memory,
            "MB",
            name,
            crate::figures::megabytes(answer.memory),
        );
    }
    Ok(())
}

/// Through a line with a round trip of 20 ms that loses packets in both directions.
fn disturbed(
    plan: &Plan,
    gateway: &Gateway,
    peer: Peer,
    name: &'static str,
    taken: &mut Taken,
) -> Result<()> {
    let line = gateway.line()?;
    let mut client = start(gateway, peer, line.udp)?;
    for (place, loss, rate) in [
        (40, 0, "up, RTT 20 ms, no loss"),
        (41, 1, "up, RTT 20 ms, 0.1 % lost"),
        (42, 10, "up, RTT 20 ms, 1 % lost"),
    ] {
        gateway.faults(
            line.line,
            Faults {
                loss,
                delay: 10,
                ..Faults::default()
            },
        )?;
        let answer = client.ask(&order(Kind::Up, SINK, 1, plan.lossy_seconds))?;
        taken.add(
            place,
            rate,
            "ms/Mbit",
            name,
            milliseconds_per_megabit(&answer),
        );
    }
    Ok(())
}

fn start(gateway: &Gateway, peer: Peer, port: u16) -> Result<Client> {
    let keys = KeyPair::random();
    let (address, _) = gateway.add_peer(&keys)?;
    let setup = Setup {
        private_key: keys.private(),
        gateway_key: gateway.wireguard().public_key(),
        gateway: format!("{ADDRESS}:{port}"),
        address,
    };
    let began = Instant::now();
    let client = Client::start(&gateway.net, peer, &setup)?;
    ensure!(
        began.elapsed() < Duration::from_secs(15),
        "the client took too long"
    );
    Ok(client)
}

fn order(kind: Kind, port: u16, count: usize, seconds: f64) -> Order {
    Order {
        kind,
        to: format!("{HOST}:{port}"),
        count,
        seconds,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a measurement")]
fn gigabits(answer: &Answer) -> f64 {
    answer.bytes.max(1) as f64 * 8.0 / 1e9
}

/// A cost, as all figures of `./x bench`: 1 ms/Mbit is a gigabit per second.
fn milliseconds_per_megabit(answer: &Answer) -> f64 {
    answer.seconds / gigabits(answer)
}

/// One row per measure and peer.
fn rows(taken: &Taken) -> Vec<Row> {
    let mut rows = Vec::new();
    for ((_, measure, unit), peers) in &taken.0 {
        let Some(ours) = peers.get("ours").map(|values| percentile(values, 0.5)) else {
            continue;
        };
        for (_, name) in &PEERS[1..] {
            if let Some(values) = peers.get(name) {
                let peer = percentile(values, 0.5);
                rows.push(Row::beside(*measure, ours, Some(peer), name, unit));
            }
        }
    }
    rows
}

/// Rates are told as people know them.
pub fn print(rows: &[Row]) {
    println!(
        "{:32} {:>10} {:>10} {:>6}  unit, peer (ratio: cost of ours / cost of the peer, smaller is better)",
        "measure", "ours", "peer", "ratio"
    );
    for row in rows {
        let rate = row.unit == "ms/Mbit";
        let shown = |cost: f64| if rate { 1000.0 / cost } else { cost };
        println!(
            "{:32} {:>10.2} {:>10.2} {:>6.2}  {}, {}",
            row.measure,
            shown(row.ours),
            row.peer.map_or(f64::NAN, shown),
            row.ratio.unwrap_or(f64::NAN),
            if rate { "Mbit/s" } else { row.unit },
            row.peer_name.as_deref().unwrap_or("–"),
        );
    }
}
