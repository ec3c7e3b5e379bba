//! What a client carries and costs on an undisturbed line, and on one that loses.

use anyhow::{Result, ensure};
use workplace::gateway::underlay::Faults;

use crate::figures::megabytes;
use crate::host::{ECHO, SINK, SOURCE};
use crate::network::{SmallNetwork, order};
use crate::order::{Answer, Kind};
use crate::peers::{Client, Peer};
use crate::taken::{TRANSFER, Taken};

/// A transfer: direction, streams, and the rows for its rate and its cost.
pub type Transfer = (Kind, usize, (u32, &'static str), (u32, &'static str));

const TRANSFERS: [Transfer; 4] = [
    (
        Kind::Down,
        1,
        (1, "down, 1 stream"),
        (11, "cpu, down, 1 stream"),
    ),
    (
        Kind::Down,
        8,
        (2, "down, 8 streams"),
        (12, "cpu, down, 8 streams"),
    ),
    (Kind::Up, 1, (3, "up, 1 stream"), (13, "cpu, up, 1 stream")),
    (
        Kind::Up,
        8,
        (4, "up, 8 streams"),
        (14, "cpu, up, 8 streams"),
    ),
];

pub fn transfers(
    client: &mut Client,
    name: &'static str,
    transfers: &[Transfer],
    seconds: f64,
    taken: &mut Taken,
) -> Result<()> {
    for &(kind, streams, rate, cost) in transfers {
        let port = if kind == Kind::Down { SOURCE } else { SINK };
        let answer = client.ask(&order(kind, port, streams, seconds))?;
        taken.add(
            (rate.0, rate.1, TRANSFER),
            name,
            milliseconds_per_megabit(&answer),
        );
        let cpu = answer.cpu / gigabits(&answer);
        taken.add((cost.0, cost.1, "cpu-s/Gbit"), name, cpu);
    }
    Ok(())
}

/// Straight to the gateway.
pub fn undisturbed(
    network: &SmallNetwork,
    (peer, name): (Peer, &'static str),
    seconds: f64,
    taken: &mut Taken,
) -> Result<()> {
    let net = &network.gateway.net;
    let port = network.gateway.wireguard().port();
    let mut client = Client::start(net, peer, &network.setup(port)?)?;
    let first = client.ask(&order(Kind::First, ECHO, 1, 0.0))?;
    if matches!(peer, Peer::Netstack | Peer::Ours) {
        let measure = (0, "start → first answer from inside", "ms");
        taken.add(measure, name, first.seconds * 1000.0);
    }
    transfers(&mut client, name, &TRANSFERS, seconds, taken)?;
    let latency = client.ask(&order(Kind::Latency, ECHO, 1000, 0.0))?;
    taken.add(
        (20, "echo of 32 bytes, p50", "ms"),
        name,
        latency.median * 1000.0,
    );
    drop(client);

    // A process of its own: memory does not come back.
    let mut client = Client::start(net, peer, &network.setup(port)?)?;
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
        taken.add((place, time, "s"), name, answer.seconds);
        taken.add((place + 1, memory, "MB"), name, megabytes(answer.memory));
    }
    Ok(())
}

/// Through a line with a round trip of 20 ms that loses packets in both directions.
pub fn disturbed(
    network: &SmallNetwork,
    (peer, name): (Peer, &'static str),
    seconds: f64,
    taken: &mut Taken,
) -> Result<()> {
    let line = network.gateway.line()?;
    let mut client = Client::start(&network.gateway.net, peer, &network.setup(line.udp)?)?;
    for (place, loss, measure) in [
        (40, 0, "up, RTT 20 ms, no loss"),
        (41, 1, "up, RTT 20 ms, 0.1 % lost"),
        (42, 10, "up, RTT 20 ms, 1 % lost"),
    ] {
        let faults = Faults {
            loss,
            delay: 10,
            ..Faults::default()
        };
        network.gateway.faults(line.line, faults)?;
        let answer = client.ask(&order(Kind::Up, SINK, 1, seconds))?;
        let rate = milliseconds_per_megabit(&answer);
        tracing::info!("{measure}: {:.1} Mbit/s", 1000.0 / rate);
        taken.add((place, measure, TRANSFER), name, rate);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a measurement")]
fn gigabits(answer: &Answer) -> f64 {
    answer.bytes.max(1) as f64 * 8.0 / 1e9
}

fn milliseconds_per_megabit(answer: &Answer) -> f64 {
    answer.seconds / gigabits(answer)
}
