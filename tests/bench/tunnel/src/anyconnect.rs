//! AnyConnect: ours beside openconnect, whose packets end in ocproxy's network stack (lwIP).

use anyhow::Result;

use crate::host::ECHO;
use crate::network::{SmallNetwork, order};
use crate::order::{Kind, SignIn};
use crate::peers::Client;
use crate::speed::{Transfer, transfers};
use crate::taken::{OURS, Taken};

const TRANSFERS: [Transfer; 4] = [
    (
        Kind::Down,
        1,
        (50, "AnyConnect, down, 1 stream"),
        (54, "AnyConnect, cpu, down, 1 stream"),
    ),
    (
        Kind::Down,
        8,
        (51, "AnyConnect, down, 8 streams"),
        (55, "AnyConnect, cpu, down, 8 streams"),
    ),
    (
        Kind::Up,
        1,
        (52, "AnyConnect, up, 1 stream"),
        (56, "AnyConnect, cpu, up, 1 stream"),
    ),
    (
        Kind::Up,
        8,
        (53, "AnyConnect, up, 8 streams"),
        (57, "AnyConnect, cpu, up, 8 streams"),
    ),
];

pub fn measure(network: &SmallNetwork, seconds: f64, taken: &mut Taken) -> Result<()> {
    let net = &network.gateway.net;
    let port = network.gateway.line()?.anyconnect;
    let user = network.gateway.anyconnect()?.colleagues[0].name.clone();
    let sign_in = SignIn { port, user };
    for name in [OURS, "openconnect, ocproxy"] {
        tracing::info!("{name}");
        let mut client = if name == OURS {
            Client::anyconnect(net, &sign_in)?
        } else {
            Client::ocproxy(net, &sign_in)?
        };
        client.ask(&order(Kind::First, ECHO, 1, 0.0))?;
        transfers(&mut client, name, &TRANSFERS, seconds, taken)?;
        let answer = client.ask(&order(Kind::Connections, ECHO, 200, 0.0))?;
        #[expect(clippy::cast_precision_loss, reason = "at most 200")]
        let failed = answer.failed as f64;
        let measure = (58, "AnyConnect, 200 connections at once", "failed");
        taken.add(measure, name, failed);
    }
    Ok(())
}
