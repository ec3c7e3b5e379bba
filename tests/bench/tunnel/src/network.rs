//! The small network in which all clients are measured: a gateway, and a host inside that serves the load.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use workplace::gateway::namespaces::{Namespaces, Net, RUN, Who};
use workplace::gateway::server::Server;
use workplace::gateway::wireguard::KeyPair;
use workplace::gateway::{ADDRESS, Gateway, Options};

use crate::host::ECHO;
use crate::order::{Kind, Order, Setup};
use crate::peers::{boringtun_program, netstack_program};

pub const HOST: &str = "10.50.0.80";

pub struct SmallNetwork {
    pub gateway: Gateway,
    _host: Server,
}

impl SmallNetwork {
    /// With an AnyConnect server, if there are `colleagues` who sign in to it.
    pub fn up(colleagues: usize) -> Result<Self> {
        let bench = std::env::current_exe()?;
        let folder = bench.parent().context("no build folder")?;
        let gateway = Gateway::up(&Options {
            parts: bench.clone(),
            relay: None,
            programs: vec![
                ("bench".to_owned(), bench.clone()),
                ("netstack".to_owned(), netstack_program(folder)?),
                ("boringtun".to_owned(), boringtun_program()?),
            ],
            colleagues,
            codes: false,
            rekey: 3600,
        })?;
        let mut host = gateway
            .net
            .command(Net::Inside, Who::Root, &format!("{RUN}/bin/bench"));
        host.arg("host");
        let host = Server::start(&gateway.net, "bench-host", host)?;
        wait_for_door(&gateway.net, Net::Inside, &format!("{HOST}/{ECHO}"))?;
        Ok(Self {
            gateway,
            _host: host,
        })
    }

    /// A key of its own for one client, towards this port of the gateway.
    pub fn setup(&self, port: u16) -> Result<Setup> {
        let keys = KeyPair::random();
        let (address, _) = self.gateway.add_peer(&keys)?;
        Ok(Setup {
            private_key: keys.private(),
            gateway_key: self.gateway.wireguard().public_key(),
            gateway: format!("{ADDRESS}:{port}"),
            address,
        })
    }
}

/// Waits until somebody listens at `address/port`.
pub fn wait_for_door(net: &Namespaces, place: Net, door: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut knock = net.command(place, Who::Root, "bash");
        let open = knock
            .args(["-c", &format!("exec 3<>/dev/tcp/{door}")])
            .stderr(Stdio::null())
            .status()?;
        if open.success() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "nobody listens at {door}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn order(kind: Kind, port: u16, count: usize, seconds: f64) -> Order {
    Order {
        kind,
        to: format!("{HOST}:{port}"),
        count,
        seconds,
    }
}
