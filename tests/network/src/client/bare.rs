//! A source and a network stack without the state machine around them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use netstack::{Config, Netstack};
use tokio::time::timeout;

use super::jobs::{Dial, Jobs};
use super::say;
use super::source::Made;

pub async fn start(made: &Made, tls: &Arc<rustls::ClientConfig>) -> Result<Jobs> {
    let source = made.source.clone();
    let inside = timeout(Duration::from_secs(10), source.open()).await??;
    say(
        &serde_json::json!({ "event": "opened", "v4": inside.v4, "v6": inside.v6, "dns": inside.dns,
        "search": inside.search, "mtu": inside.mtu, "networks": inside.networks }),
    );
    let config = Config {
        v4: inside.v4,
        v6: inside.v6,
        mtu: usize::from(inside.mtu),
        dns: inside.dns,
        search: inside.search,
        ..Config::default()
    };
    let (stack, link) = Netstack::new(config);
    let mut sessions = source.sessions();
    tokio::spawn(async move {
        while sessions.changed().await.is_ok() {
            let count = *sessions.borrow_and_update();
            say(&serde_json::json!({ "event": "session", "count": count }));
        }
    });
    tokio::spawn(async move {
        let ended = source.run(link).await;
        say(&serde_json::json!({ "event": "ended", "why": format!("{ended:?}") }));
    });
    Ok(Jobs::new(Dial::Stack(stack), tls.clone(), None))
}
