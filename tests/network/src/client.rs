//! What runs in the client's namespace: a tunnel, its port, and the small jobs that a test asks for.

mod bare;
mod embedded;
mod jobs;
mod source;

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tunnel::Tunnel;

use bare::Bare;

pub use jobs::Job;

/// What a test wants to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Setup {
    pub source: Source,
    /// Certificate authority of the organisation, a PEM file.
    pub authority: String,
    /// Where the network outside says `open`.
    pub page: Option<String>,
    /// Whether other destinations are reached past the tunnel.
    pub other_direct: bool,
    /// Without the state machine: the source and a network stack alone.
    pub bare: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    WireGuard {
        private_key: String,
        gateway_key: String,
        udp: String,
        websocket: Option<String>,
        v4: String,
        v6: String,
        dns: Vec<String>,
        /// Answers echo requests inside.
        echo: Option<String>,
    },
    AnyConnect {
        host: String,
        port: u16,
    },
}

/// A line of a test.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Answers to the form that was shown last.
    Answers(Vec<(String, String)>),
    /// Begin a sign-in; its forms follow.
    SignIn,
    /// Without the state machine: open another session and say what the gateway assigned.
    Reopen,
    /// Forget the session, here and at the gateway.
    SignOut,
    RetryNow,
    NetworkChanged,
    Job {
        id: u64,
        job: Job,
    },
}

/// Serves the orders on the input until it ends.
pub async fn main() -> Result<()> {
    let setup = std::env::args().nth(1).context("a setup is wanted")?;
    let setup: Setup = serde_json::from_str(&setup).context("the setup")?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let tls = tls(&setup.authority)?;
    let source = source::make(&setup.source, &tls, &mut orders).await?;
    let (jobs, tunnel, bare) = if setup.bare {
        let (jobs, bare) = Bare::start(&source, &tls).await?;
        (jobs, None, Some(bare))
    } else {
        let (jobs, tunnel) = embedded::start(&source, &setup, &tls).await?;
        (jobs, Some(tunnel), None)
    };
    let jobs = Arc::new(jobs);
    while let Some(line) = orders.next_line().await? {
        match serde_json::from_str(&line).context("an order")? {
            Order::Answers(_) => anyhow::bail!("nobody asked"),
            Order::SignIn => {
                source.sign_in(&mut orders).await?;
                tunnel.iter().for_each(Tunnel::retry_now);
            }
            Order::SignOut => {
                source.sign_out().await;
                say(&serde_json::json!({ "event": "signedOut" }));
            }
            Order::Reopen => {
                let bare = bare.as_ref().context("the state machine does that")?;
                bare.reopen().await?;
            }
            Order::RetryNow => tunnel.iter().for_each(Tunnel::retry_now),
            Order::NetworkChanged => tunnel.iter().for_each(Tunnel::network_changed),
            Order::Job { id, job } => {
                let jobs = jobs.clone();
                tokio::spawn(async move { jobs.run(id, job).await });
            }
        }
    }
    if let Some(tunnel) = tunnel {
        tunnel.stop().await;
    }
    Ok(())
}

/// One line for the test.
pub(crate) fn say(event: &serde_json::Value) {
    let mut output = std::io::stdout().lock();
    // A test that is gone needs no answer.
    let _ = writeln!(output, "{event}");
    let _ = output.flush();
}

/// What trusts this authority, a PEM file, alone.
pub fn tls(authority: &str) -> Result<Arc<rustls::ClientConfig>> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls::pki_types::CertificateDer::pem_file_iter(authority)? {
        roots.add(certificate?)?;
    }
    // The engines take a configuration from whoever embeds them; here that is us.
    #[allow(clippy::disallowed_methods)]
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
