//! The source of packets that a test asked for.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::io::{BufReader, Lines, Stdin};
use tunnel::cstp::{Answers, AnyConnect, Form, Gateway, SignIn, Step};
use tunnel::websocket::WebSocket;
use tunnel::{Carrier, Ended, Inside, Key, PacketSource, Udp, WireGuard, WireGuardConfig};

use super::{Order, Source, say};

pub struct Made {
    pub source: Arc<dyn PacketSource>,
    anyconnect: Option<Arc<AnyConnect>>,
}

impl Made {
    /// Leads through another sign-in.
    pub async fn sign_in(&self, orders: &mut Lines<BufReader<Stdin>>) -> Result<()> {
        let anyconnect = self
            .anyconnect
            .as_ref()
            .context("this source knows no sign-in")?;
        anyconnect.sign_in(sign_in(anyconnect.gateway(), orders).await?);
        Ok(())
    }

    pub async fn sign_out(&self) {
        if let Some(anyconnect) = &self.anyconnect {
            anyconnect.sign_out().await;
        }
    }
}

pub async fn make(
    source: &Source,
    tls: &Arc<rustls::ClientConfig>,
    orders: &mut Lines<BufReader<Stdin>>,
) -> Result<Made> {
    match source {
        Source::WireGuard {
            private_key,
            gateway_key,
            udp,
            websocket,
            v4,
            v6,
            dns,
            echo,
        } => {
            let key = |text: &str| text.parse::<Key>().map_err(|why| anyhow::anyhow!("{why}"));
            let (host, port) = udp.rsplit_once(':').context("host:port")?;
            let mut carriers: Vec<Arc<dyn Carrier>> = vec![Arc::new(Udp::new(host, port.parse()?))];
            if let Some(url) = websocket {
                carriers.push(Arc::new(WebSocket::new(url, tls.clone())?));
            }
            let config = WireGuardConfig {
                private_key: key(private_key)?,
                gateway_key: key(gateway_key)?,
                preshared_key: None,
                keepalive: Some(25),
                networks: vec!["0.0.0.0/0".parse()?, "::/0".parse()?],
                inside: Inside {
                    v4: Some(v4.parse()?),
                    v6: Some(v6.parse()?),
                    dns: dns
                        .iter()
                        .map(|dns| dns.parse())
                        .collect::<Result<_, _>>()?,
                    search: Vec::new(),
                    mtu: 1420,
                    echo: echo.as_ref().map(|echo| echo.parse()).transpose()?,
                    networks: Vec::new(),
                },
            };
            Ok(Made {
                source: Arc::new(WireGuard::new(config, carriers)),
                anyconnect: None,
            })
        }
        Source::AnyConnect { host, port } => {
            let gateway = Gateway::new(host.clone(), *port, tls.clone());
            let cookie = sign_in(&gateway, orders).await?;
            let anyconnect = Arc::new(AnyConnect::new(gateway, Some(cookie)));
            Ok(Made {
                source: anyconnect.clone(),
                anyconnect: Some(anyconnect),
            })
        }
    }
}

/// Shows each form to the test and sends what it answers, from the beginning again after a refusal.
async fn sign_in(
    gateway: &Gateway,
    orders: &mut Lines<BufReader<Stdin>>,
) -> Result<tunnel::cstp::Cookie> {
    loop {
        match dialogue(gateway, orders).await? {
            Ok(cookie) => return Ok(cookie),
            Err(ended) => {
                say(&serde_json::json!({ "event": "signInRefused", "why": format!("{ended:?}") }));
            }
        }
    }
}

async fn dialogue(
    gateway: &Gateway,
    orders: &mut Lines<BufReader<Stdin>>,
) -> Result<Result<tunnel::cstp::Cookie, Ended>> {
    let mut step = SignIn::begin(gateway).await;
    loop {
        match step {
            Err(ended @ Ended::Refused(_)) => return Ok(Err(ended)),
            Err(ended) => bail!("the sign-in ended: {ended}"),
            Ok(Step::Done(cookie)) => return Ok(Ok(cookie)),
            Ok(Step::Form(dialogue)) => {
                show(dialogue.form());
                let line = orders.next_line().await?.context("the test left")?;
                let Order::Answers(given) = serde_json::from_str(&line)? else {
                    bail!("answers are wanted");
                };
                let answers = given
                    .into_iter()
                    .fold(Answers::new(), |answers, (field, answer)| {
                        answers.with(field, answer)
                    });
                step = dialogue.send(&answers).await;
            }
        }
    }
}

fn show(form: &Form) {
    let fields: Vec<_> = form.questions().map(|field| field.name.clone()).collect();
    say(
        &serde_json::json!({ "event": "form", "message": form.message, "error": form.error, "fields": fields }),
    );
}
