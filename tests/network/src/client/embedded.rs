//! The whole tunnel, as a program embeds it.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::net::TcpListener;
use tunnel::proxy::{self, Access, Credentials};
use tunnel::{Host, Other, Policy, Probe, Settings, Snapshot, Tunnel, UnderlayCheck};
use workplace::gateway::inside::{DESKTOP, DOMAIN, PROBE, SITE};

use super::Setup;
use super::jobs::{Dial, Jobs, Port};
use super::say;
use super::source::Made;

pub async fn start(
    made: &Made,
    setup: &Setup,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<(Jobs, Tunnel)> {
    let underlay = match &setup.page {
        Some(page) => Some(check(page)?),
        None => None,
    };
    let tunnel = Tunnel::start(Settings {
        source: made.source.clone(),
        policy: Policy {
            suffixes: vec![DOMAIN.to_owned()],
            networks: vec!["10.50.0.0/16".parse()?, "fd50::/64".parse()?],
            ports: Vec::new(),
            other: if setup.other_direct {
                Other::Direct
            } else {
                Other::Refused
            },
        },
        probe: Probe {
            tls: tls.clone(),
            host: Host::parse(SITE)?,
            port: 443,
            path: "/probe".to_owned(),
            expect: PROBE.to_owned(),
            every: None,
        },
        underlay,
        coexist: false,
        netstack: netstack::Config::default(),
    });
    let mut states = tunnel.states();
    tokio::spawn(async move {
        loop {
            tell(&states.borrow_and_update().clone());
            if states.changed().await.is_err() {
                return;
            }
        }
    });
    let port = open_port(&tunnel).await?;
    Ok((
        Jobs::new(Dial::Tunnel(tunnel.dialer()), tls.clone(), Some(port)),
        tunnel,
    ))
}

fn tell(now: &Snapshot) {
    let state = format!("{:?}", now.state).to_lowercase();
    say(
        &json!({ "event": "state", "state": state, "why": now.why.code(), "way": now.way, "mtu": now.mtu,
        "retry": now.retry_at.is_some() }),
    );
}

/// The local port, for this program's family and for who knows the password, and a forward to the desktop inside.
async fn open_port(tunnel: &Tunnel) -> Result<Port> {
    let credentials = Credentials::random();
    let access = Access::of_this_program().or_with(credentials.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(proxy::serve(tunnel.dialer(), access, listener));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let forward = listener.local_addr()?;
    let desktop = Host::parse(DESKTOP)?;
    // A forward asks for no password: only the family may use it.
    tokio::spawn(proxy::forward(
        tunnel.dialer(),
        Access::of_this_program(),
        listener,
        desktop,
        3389,
    ));
    say(
        &json!({ "event": "port", "address": address, "forward": forward, "user": credentials.user,
        "password": credentials.password }),
    );
    Ok(Port {
        address,
        forward,
        user: credentials.user.clone(),
        password: credentials.password.clone(),
    })
}

/// `http://HOST:PORT/`
fn check(page: &str) -> Result<UnderlayCheck> {
    let place = page
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix('/'));
    let (host, port) = place
        .and_then(|place| place.rsplit_once(':'))
        .context("a page without TLS")?;
    Ok(UnderlayCheck {
        host: host.to_owned(),
        port: port.parse()?,
        path: "/".to_owned(),
        status: 200,
        expect: "open".to_owned(),
    })
}
