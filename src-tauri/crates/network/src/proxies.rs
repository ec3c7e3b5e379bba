//! The system's proxy, as it is now.
//!
//! A laptop moves between the office (proxy) and home (none) while the program runs, so the
//! system's answer is read again at each change of network. What runs on this machine is never
//! sent to a proxy: sign-in redirects and the demo live there.

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::Url;

use crate::names::is_this_machine;

#[derive(Clone)]
pub(crate) struct SystemProxies(Arc<RwLock<Matcher>>);

impl SystemProxies {
    pub(crate) fn read() -> Self {
        Self(Arc::new(RwLock::new(Matcher::from_system())))
    }

    pub(crate) fn read_again(&self) {
        let now = Matcher::from_system();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = now;
    }

    pub(crate) fn as_proxy(&self) -> reqwest::Proxy {
        let system = self.clone();
        reqwest::Proxy::custom(move |target: &Url| system.proxy_for(target))
    }

    fn proxy_for(&self, target: &Url) -> Option<Url> {
        if target.host_str().is_none_or(is_this_machine) {
            return None;
        }
        let uri = target.as_str().parse().ok()?;
        let found = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .intercept(&uri)?;
        with_credentials(&found)
    }
}

impl std::fmt::Debug for SystemProxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A proxy's address may hold a password.
        f.write_str("SystemProxies")
    }
}

/// The matcher has taken user and password out of the address; the client wants them inside.
fn with_credentials(found: &Intercept) -> Option<Url> {
    let mut proxy = Url::parse(&found.uri().to_string()).ok()?;
    let basic = found
        .basic_auth()
        .and_then(|header| header.to_str().ok()?.strip_prefix("Basic "))
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .and_then(|pair| String::from_utf8(pair).ok());
    if let Some((user, password)) = basic.as_deref().and_then(|pair| pair.split_once(':')) {
        proxy.set_username(user).ok()?;
        proxy.set_password(Some(password)).ok()?;
    }
    Some(proxy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn proxies() -> SystemProxies {
        SystemProxies(Arc::new(RwLock::new(
            Matcher::builder()
                .all("http://na:se%3Acret@proxy.example:3128")
                .no("intra.example")
                .build(),
        )))
    }

    fn proxy_for(target: &str) -> Option<String> {
        proxies()
            .proxy_for(&Url::parse(target).unwrap())
            .map(String::from)
    }

    #[test]
    fn the_systems_proxy_is_used_with_its_credentials() {
        assert_eq!(
            proxy_for("https://chat.example").as_deref(),
            Some("http://na:se%3Acret@proxy.example:3128/")
        );
    }

    #[test]
    fn what_runs_on_this_machine_and_what_the_system_excepts_never_goes_through_a_proxy() {
        assert_eq!(proxy_for("https://localhost:8448"), None);
        assert_eq!(proxy_for("https://auth.localhost"), None);
        assert_eq!(proxy_for("https://127.0.0.1:1"), None);
        assert_eq!(proxy_for("https://[::1]:1"), None);
        assert_eq!(proxy_for("https://intra.example"), None);
    }
}
