//! A source and a network stack without the state machine around them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use netstack::{Config, Link, Netstack};
use serde_json::json;
use tokio::time::timeout;
use tunnel::{Inside, PacketSource};

use super::jobs::{Dial, Jobs};
use super::say;
use super::source::Made;

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs one session after the other on one network stack.
pub struct Bare {
    source: Arc<dyn PacketSource>,
    link: Link,
}

impl Bare {
    pub async fn start(made: &Made, tls: &Arc<rustls::ClientConfig>) -> Result<(Jobs, Self)> {
        let source = made.source.clone();
        let inside = timeout(PATIENCE, source.open()).await??;
        let (stack, link) = Netstack::new(Config {
            v4: inside.v4,
            v6: inside.v6,
            mtu: usize::from(inside.mtu),
            dns: inside.dns.clone(),
            search: inside.search.clone(),
            ..Config::default()
        });
        let mut sessions = source.sessions();
        tokio::spawn(async move {
            while sessions.changed().await.is_ok() {
                let count = *sessions.borrow_and_update();
                say(&json!({ "event": "session", "count": count }));
            }
        });
        let bare = Self { source, link };
        bare.run(&inside);
        Ok((Jobs::new(Dial::Stack(stack), tls.clone(), None), bare))
    }

    /// Opens another session, with the cookie that is there.
    pub async fn reopen(&self) -> Result<()> {
        match timeout(PATIENCE, self.source.open()).await? {
            Ok(inside) => self.run(&inside),
            Err(ended) => say(&json!({ "event": "refused", "why": format!("{ended:?}") })),
        }
        Ok(())
    }

    fn run(&self, inside: &Inside) {
        say(
            &json!({ "event": "opened", "v4": inside.v4, "v6": inside.v6, "dns": inside.dns,
            "search": inside.search, "mtu": inside.mtu, "networks": inside.networks }),
        );
        let (source, link) = (self.source.clone(), self.link.clone());
        tokio::spawn(async move {
            let ended = source.run(link).await;
            say(&json!({ "event": "ended", "why": format!("{ended:?}") }));
        });
    }
}
