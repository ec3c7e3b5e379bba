//! One tunnel in use for hours: no stall, no growth.

use std::time::Duration;

use anyhow::Result;

use crate::figures::megabytes;
use crate::host::ECHO;
use crate::network::{SmallNetwork, order};
use crate::order::Kind;
use crate::peers::{Client, Peer};
use crate::taken::{OURS, Taken};

/// `WireGuard` takes new keys every two minutes by itself.
pub fn measure(minutes: u32, taken: &mut Taken) -> Result<()> {
    let network = SmallNetwork::up(0)?;
    let port = network.gateway.wireguard().port();
    let mut client = Client::start(&network.gateway.net, Peer::Ours, &network.setup(port)?)?;
    let seconds = Duration::from_mins(u64::from(minutes.max(1))).as_secs_f64();
    let answer = client.ask(&order(Kind::Soak, ECHO, 1, seconds))?;
    let grown = megabytes(answer.memory) - megabytes(answer.memory_early);
    taken.add((70, "longest wait for an echo", "s"), OURS, answer.longest);
    taken.add(
        (71, "memory at the end", "MB"),
        OURS,
        megabytes(answer.memory),
    );
    taken.add(
        (72, "memory grown since the first minute", "MB"),
        OURS,
        grown,
    );
    Ok(())
}
