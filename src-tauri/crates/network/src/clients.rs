//! The only place where an HTTP client is made.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

use crate::names::Names;
use crate::proxies::SystemProxies;
use crate::trust::{Handshake, LiveTrust, Trust, TrustError};

/// DNS, TCP and TLS together.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// A whole request to an API, answer included.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// Longest silence within a transfer.
pub const SILENCE_DEADLINE: Duration = Duration::from_secs(30);
/// Longest silence of a homeserver: longer than any long poll (30 s) with room for a slow answer.
const LONG_POLL_SILENCE: Duration = Duration::from_mins(2);

const MOST_REDIRECTS: usize = 5;

/// All HTTP clients of the program. Cheap to clone; every clone shares pools and trust.
///
/// All of them: TLS only, verified by the platform plus the organisation's authorities, HTTP/2
/// where the server has it, the system's proxy (never for this machine), gzip, no cookies at all.
/// (An identity provider that sees its own session cookie at the userinfo endpoint refuses.)
#[derive(Debug, Clone)]
pub struct Clients {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    trust: LiveTrust,
    proxies: SystemProxies,
    api: Client,
    single_step: Client,
    streaming: Client,
    matrix: Client,
    probe: Client,
    plain: Client,
}

impl Clients {
    pub fn new(trust: &Trust) -> Result<Self, TrustError> {
        let trust = LiveTrust::new(trust)?;
        let proxies = SystemProxies::read();
        let https = |handshake| -> Result<ClientBuilder, TrustError> {
            Ok(common(&proxies)
                .https_only(true)
                .tls_backend_preconfigured(trust.configuration(handshake)?))
        };
        let resuming = || https(Handshake::MayResume);
        let made = |builder: ClientBuilder| builder.build().map_err(TrustError::Client);
        let shared = Shared {
            api: made(
                resuming()?
                    .timeout(REQUEST_DEADLINE)
                    .redirect(few_redirects()),
            )?,
            single_step: made(
                resuming()?
                    .timeout(REQUEST_DEADLINE)
                    .redirect(Policy::none()),
            )?,
            streaming: made(
                resuming()?
                    .read_timeout(SILENCE_DEADLINE)
                    .redirect(few_redirects()),
            )?,
            matrix: made(
                resuming()?
                    .read_timeout(LONG_POLL_SILENCE)
                    // The sync connection is silent for long and must notice when its path died.
                    .http2_keep_alive_while_idle(true)
                    .redirect(few_redirects()),
            )?,
            // A probe that reuses a connection or a session proves less than it says.
            probe: made(
                https(Handshake::AlwaysWhole)?
                    .pool_max_idle_per_host(0)
                    .redirect(Policy::none()),
            )?,
            plain: made(
                common(&proxies)
                    .tls_backend_preconfigured(trust.configuration(Handshake::AlwaysWhole)?)
                    .pool_max_idle_per_host(0)
                    .redirect(Policy::none()),
            )?,
            trust,
            proxies,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// For every client already given away, from the next handshake on. On an error the former
    /// trust stays.
    pub fn set_trust(&self, trust: &Trust) -> Result<(), TrustError> {
        self.shared.trust.set(trust)
    }

    /// Requests with short answers: [`REQUEST_DEADLINE`] for the whole, https redirects followed.
    pub fn api(&self) -> Client {
        self.shared.api.clone()
    }

    /// Like [`Self::api`], but a redirect is an answer. For discovery and for OAuth endpoints,
    /// where following one would hand a secret to somebody else.
    pub fn single_step(&self) -> Client {
        self.shared.single_step.clone()
    }

    /// Transfers of any size: no deadline for the whole, [`SILENCE_DEADLINE`] between two reads.
    pub fn streaming(&self) -> Client {
        self.shared.streaming.clone()
    }

    /// For the Matrix SDK, which sets a deadline on each request itself and long-polls.
    pub fn matrix(&self) -> Client {
        self.shared.matrix.clone()
    }

    /// A new connection and a whole handshake each time, redirects are answers.
    pub(crate) fn probe(&self) -> Client {
        self.shared.probe.clone()
    }

    /// The only client that speaks plain HTTP, to see who answers instead of the real server.
    /// Nothing it receives is used for anything else.
    pub(crate) fn plain(&self) -> Client {
        self.shared.plain.clone()
    }

    /// Another network may have another proxy.
    pub(crate) fn network_changed(&self) {
        self.shared.proxies.read_again();
    }
}

// The one place that may.
#[allow(clippy::disallowed_methods)]
fn common(proxies: &SystemProxies) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("Cordee/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_DEADLINE)
        .dns_resolver(Names)
        .proxy(proxies.as_proxy())
        .referer(false)
        .gzip(true)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(10))
        .tcp_keepalive_interval(Duration::from_secs(5))
        .tcp_keepalive_retries(2)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .http2_adaptive_window(true)
        .pool_idle_timeout(Duration::from_secs(90))
}

fn few_redirects() -> Policy {
    Policy::custom(|attempt| {
        if attempt.url().scheme() != "https" {
            attempt.error(RedirectRefused::NotHttps)
        } else if attempt.previous().len() > MOST_REDIRECTS {
            attempt.error(RedirectRefused::TooMany)
        } else {
            attempt.follow()
        }
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum RedirectRefused {
    #[error("redirected to an address without https")]
    NotHttps,
    #[error("redirected too often")]
    TooMany,
}

#[cfg(test)]
#[path = "clients_tests.rs"]
mod tests;
