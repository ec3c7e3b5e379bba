//! Our tunnel as a client: the WireGuard source and the network stack, without rights.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use netstack::{Config, Netstack, TcpStream};
use tunnel::{Carrier, Inside, Key, PacketSource, Udp, WireGuard, WireGuardConfig};

use crate::load::{self, Dial};
use crate::order::Setup;

/// Serves orders until the input ends.
pub async fn run(setup: &str) -> Result<()> {
    let began = Instant::now();
    let setup: Setup = serde_json::from_str(setup)?;
    let gateway: SocketAddr = setup.gateway.parse()?;
    let key = |text: &str| text.parse::<Key>().map_err(|why| anyhow::anyhow!("{why}"));
    let inside = Inside {
        v4: Some(setup.address.parse()?),
        v6: None,
        dns: Vec::new(),
        search: Vec::new(),
        mtu: 1420,
        echo: None,
        networks: Vec::new(),
    };
    let (stack, link) = Netstack::new(Config {
        v4: inside.v4,
        mtu: usize::from(inside.mtu),
        ..Config::default()
    });
    let carriers: Vec<Arc<dyn Carrier>> =
        vec![Arc::new(Udp::new(gateway.ip().to_string(), gateway.port()))];
    let source = WireGuard::new(
        WireGuardConfig {
            private_key: key(&setup.private_key)?,
            gateway_key: key(&setup.gateway_key)?,
            preshared_key: None,
            keepalive: Some(25),
            networks: vec!["0.0.0.0/0".parse()?],
            inside,
        },
        carriers,
    );
    source
        .open()
        .await
        .map_err(|ended| anyhow::anyhow!("{ended:?}"))?;
    tokio::spawn(async move { source.run(link).await });
    load::serve(Stack(stack), began).await
}

struct Stack(Netstack);

impl Dial for Stack {
    type Stream = TcpStream;

    async fn dial(&self, to: SocketAddr) -> Result<TcpStream> {
        Ok(self.0.tcp_connect(to).await?)
    }
}
