//! Our tunnel as a client: the WireGuard source and the network stack, without rights.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use netstack::{Config, Netstack, TcpStream};
use tunnel::cstp::{Answers, AnyConnect, Cookie, Gateway, SignIn as CstpSignIn, Step};
use tunnel::{Carrier, Ended, Inside, Key, PacketSource, Udp, WireGuard, WireGuardConfig};
use workplace::gateway::NAME;
use workplace::gateway::anyconnect::PASSWORD;
use workplace::gateway::namespaces::RUN;

use crate::load::{self, Dial};
use crate::order::{Setup, SignIn};

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

/// The same with AnyConnect.
pub async fn anyconnect(sign_in: &str) -> Result<()> {
    let began = Instant::now();
    let sign_in: SignIn = serde_json::from_str(sign_in)?;
    let tls = network_tests::client::tls(&format!("{RUN}/tls/ca.crt"))?;
    let gateway = Gateway::new(NAME, sign_in.port, tls);
    let cookie = cookie(&gateway, &sign_in.user).await?;
    let source = AnyConnect::new(gateway, Some(cookie));
    let inside = source
        .open()
        .await
        .map_err(|ended| anyhow::anyhow!("{ended:?}"))?;
    let (stack, link) = Netstack::new(Config {
        v4: inside.v4,
        mtu: usize::from(inside.mtu),
        ..Config::default()
    });
    tokio::spawn(async move { source.run(link).await });
    load::serve(Stack(stack), began).await
}

/// Answers every question with the name or the password.
async fn cookie(gateway: &Gateway, user: &str) -> Result<Cookie> {
    let failed = |ended: Ended| anyhow::anyhow!("the sign-in ended: {ended}");
    let mut step = CstpSignIn::begin(gateway).await.map_err(failed)?;
    loop {
        match step {
            Step::Done(cookie) => return Ok(cookie),
            Step::Form(dialogue) => {
                let answers = dialogue
                    .form()
                    .questions()
                    .fold(Answers::new(), |answers, field| {
                        let answer = if field.name == "username" {
                            user
                        } else {
                            PASSWORD
                        };
                        answers.with(field.name.clone(), answer)
                    });
                step = dialogue.send(&answers).await.map_err(failed)?;
            }
        }
    }
}

struct Stack(Netstack);

impl Dial for Stack {
    type Stream = TcpStream;

    async fn dial(&self, to: SocketAddr) -> Result<TcpStream> {
        Ok(self.0.tcp_connect(to).await?)
    }
}
