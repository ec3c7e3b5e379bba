//! Names to addresses.
//!
//! `localhost` and every name below it are this machine (RFC 6761 §6.3), whatever the system's
//! resolver says about them; everything else goes to the system's resolver.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// True for `localhost`, names below it, and loopback addresses (brackets allowed).
pub fn is_this_machine(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => is_localhost_name(bare),
    }
}

fn is_localhost_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

#[derive(Debug, Default)]
pub(crate) struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            if is_localhost_name(name.as_str()) {
                // IPv4 first: most local servers listen there only, and the other costs a refusal.
                let addresses = [
                    SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                    SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
                ];
                return Ok(Box::new(addresses.into_iter()) as Addrs);
            }
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn localhost_and_all_below_it_are_this_machine() {
        for host in [
            "localhost",
            "LOCALHOST.",
            "chat.saint-elme.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "::1",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["localhost.example", "notlocalhost", "10.0.0.1", "", "[::2]"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[tokio::test]
    async fn a_name_below_localhost_resolves_without_the_system_ipv4_first() {
        let addresses: Vec<_> = Names
            .resolve("files.localhost".parse().unwrap())
            .await
            .unwrap()
            .collect();
        assert_eq!(addresses[0].ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(addresses[1].ip(), IpAddr::V6(Ipv6Addr::LOCALHOST));
    }
}
