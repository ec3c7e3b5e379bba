//! The measures of the table, area after area, peer after peer.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::figures::Row;
use crate::network::SmallNetwork;
use crate::peers::Peer;
use crate::taken::{OURS, Taken};
use crate::{anyconnect, recovery, soak, speed};

const BBR: &str = "wireguard-go, kernel BBR";
const BORINGTUN: &str = "boringtun, kernel CUBIC";

/// The kernel's TCP takes its turn with CUBIC, as ours; where the line loses also with BBR, which does not take a loss
/// for congestion.
const PEERS: [(Peer, &str); 5] = [
    (Peer::Ours, OURS),
    (
        Peer::Kernel("wireguard", "cubic"),
        "wireguard-go, kernel CUBIC",
    ),
    (Peer::Kernel("wireguard", "bbr"), BBR),
    (Peer::Kernel("boringtun", "cubic"), BORINGTUN),
    (Peer::Netstack, "Go netstack"),
];

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
    /// Only these areas
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Area>,
    /// Instead of all that: one tunnel in use for so many minutes, through changes of its keys
    #[arg(long, value_name = "MINUTES")]
    pub soak: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Area {
    /// Rates, cost, latency, connections, memory
    Speed,
    /// Upload over a line with a round trip of 20 ms that loses
    Loss,
    /// AnyConnect beside openconnect with ocproxy
    Anyconnect,
    /// How soon a tunnel is back
    Recovery,
}

impl Plan {
    fn wants(&self, area: Area) -> bool {
        self.only.is_empty() || self.only.contains(&area)
    }
}

pub fn all(plan: &Plan) -> Result<Vec<Row>> {
    let mut taken = Taken::default();
    if let Some(minutes) = plan.soak {
        soak::measure(minutes, &mut taken)?;
        return Ok(taken.rows());
    }
    for round in 1..=plan.rounds.max(1) {
        beside_peers(plan, round, &mut taken)?;
        if plan.wants(Area::Recovery) {
            tracing::info!("round {round}: recovery");
            recovery::measure(&mut taken).context("recovery")?;
        }
    }
    Ok(taken.rows())
}

fn beside_peers(plan: &Plan, round: usize, taken: &mut Taken) -> Result<()> {
    let signs_in = plan.wants(Area::Anyconnect);
    if !signs_in && !plan.wants(Area::Speed) && !plan.wants(Area::Loss) {
        return Ok(());
    }
    let network = SmallNetwork::up(usize::from(signs_in))?;
    for (peer, name) in PEERS {
        tracing::info!("round {round}: {name}");
        if plan.wants(Area::Speed) && name != BBR {
            speed::undisturbed(&network, (peer, name), plan.seconds, taken)
                .with_context(|| format!("{name}, round {round}"))?;
        }
        // boringtun carries the same TCP as wireguard-go.
        if plan.wants(Area::Loss) && name != BORINGTUN {
            speed::disturbed(&network, (peer, name), plan.lossy_seconds, taken)
                .with_context(|| format!("{name}, lossy line, round {round}"))?;
        }
    }
    if signs_in {
        tracing::info!("round {round}: AnyConnect");
        anyconnect::measure(&network, plan.seconds, taken)
            .with_context(|| format!("AnyConnect, round {round}"))?;
    }
    Ok(())
}
