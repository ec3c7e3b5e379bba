//! Which destinations go through the tunnel, which go past it, and which go nowhere.
//!
//! A pure rule: names and addresses in, a decision out. It is asked twice for a name: before the
//! name is resolved (which resolver may see it), and again for each address that came back.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// The split rule of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Lower case, without dots at either end. `corp.example` is that name and all below it.
    pub suffixes: Vec<String>,
    /// The organisation's networks.
    pub networks: Vec<IpNet>,
    /// Ports that may be reached inside; empty: all.
    pub ports: Vec<u16>,
    /// What happens with everything else.
    pub other: Other,
}

/// What happens with destinations that are not the organisation's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Other {
    /// Only the organisation is reached.
    #[default]
    Refused,
    /// Past the tunnel, through the system, with the system's resolver.
    Direct,
}

/// Where a connection is to go, as the caller wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    Address(IpAddr),
    /// Lower case, without a final dot.
    Name(String),
}

/// The decision about a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Through the tunnel; a name is resolved inside only.
    Inside,
    /// Past the tunnel; a name is resolved by the system only.
    Direct,
    Refused(Refused),
}

/// Why a destination is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the destination is not the organisation's")]
    Outside,
    #[error("this port is not allowed inside")]
    Port,
    /// An inside name whose address is outside, as after a lie of a resolver.
    #[error("the name leads out of the organisation's networks")]
    LeadsOutside,
    /// An outside name whose address is inside or on this device (DNS rebinding).
    #[error("the name leads into a protected network")]
    LeadsInside,
}

/// The text is neither a host name (RFC 1123 §2.1, underscores allowed) nor an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host name and not an address")]
pub struct BadHost;

impl Host {
    /// Takes a name or an address, with or without brackets around an IPv6 one.
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self::address(address));
        }
        if bare.is_some() {
            return Err(BadHost);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(BadHost);
        }
        // "127.1" and "0x7f000001" are addresses for the system's resolver, and names for nobody.
        let last = name.rsplit('.').next().unwrap_or(name);
        if last.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
            return Err(BadHost);
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }

    /// An IPv4 address in IPv6 clothes is the IPv4 address.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Policy {
    /// The decision before anything is resolved.
    pub fn route(&self, host: &Host, port: u16) -> Route {
        let inside = match host {
            Host::Address(address) => self.is_inside(*address),
            Host::Name(name) => self.is_inside_name(name),
        };
        match (inside, self.other) {
            (true, _) if !self.ports.is_empty() && !self.ports.contains(&port) => {
                Route::Refused(Refused::Port)
            }
            (true, _) => Route::Inside,
            (false, Other::Direct) => match host {
                Host::Address(address) => match self.allows_direct(*address) {
                    Ok(()) => Route::Direct,
                    Err(refused) => Route::Refused(refused),
                },
                Host::Name(_) => Route::Direct,
            },
            (false, Other::Refused) => Route::Refused(Refused::Outside),
        }
    }

    /// May an inside name lead to this address?
    pub fn allows_inside(&self, resolved: IpAddr) -> Result<(), Refused> {
        if self.is_inside(resolved) {
            Ok(())
        } else {
            Err(Refused::LeadsOutside)
        }
    }

    /// May a connection past the tunnel lead to this address?
    pub fn allows_direct(&self, resolved: IpAddr) -> Result<(), Refused> {
        let resolved = resolved.to_canonical();
        let this_device = resolved.is_loopback()
            || resolved.is_unspecified()
            || resolved.is_multicast()
            || matches!(resolved, IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.is_broadcast());
        if this_device || self.is_inside(resolved) {
            Err(Refused::LeadsInside)
        } else {
            Ok(())
        }
    }

    /// Is the address in one of the organisation's networks?
    pub fn is_inside(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    fn is_inside_name(&self, name: &str) -> bool {
        self.suffixes.iter().any(|suffix| {
            name.strip_suffix(suffix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(other: Other) -> Policy {
        Policy {
            suffixes: vec!["corp.test".to_owned()],
            networks: vec![
                "10.50.0.0/16".parse().unwrap(),
                "fd50::/32".parse().unwrap(),
            ],
            ports: Vec::new(),
            other,
        }
    }

    fn route(policy: &Policy, host: &str) -> Route {
        policy.route(&Host::parse(host).unwrap(), 443)
    }

    #[test]
    fn a_suffix_covers_itself_and_names_below_at_a_dot() {
        let policy = policy(Other::Refused);
        for inside in ["corp.test", "A.Corp.test.", "a.b.corp.test"] {
            assert_eq!(route(&policy, inside), Route::Inside, "{inside}");
        }
        for outside in ["evilcorp.test", "corp.test.evil.example", "test"] {
            assert_eq!(
                route(&policy, outside),
                Route::Refused(Refused::Outside),
                "{outside}"
            );
        }
    }

    #[test]
    fn addresses_go_by_network_in_both_families_and_in_disguise() {
        let policy = policy(Other::Refused);
        for inside in ["10.50.1.1", "::ffff:10.50.1.1", "fd50::1", "[fd50::1]"] {
            assert_eq!(route(&policy, inside), Route::Inside, "{inside}");
        }
        for outside in ["10.51.1.1", "fd51::1", "::ffff:10.51.0.1"] {
            assert_eq!(route(&policy, outside), Route::Refused(Refused::Outside));
        }
    }

    #[test]
    fn past_the_tunnel_nothing_leads_inside_or_to_this_device() {
        let policy = policy(Other::Direct);
        assert_eq!(route(&policy, "www.example.org"), Route::Direct);
        assert_eq!(route(&policy, "192.0.2.1"), Route::Direct);
        for bad in [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "::",
            "0.1.2.3",
            "::ffff:127.0.0.1",
            "10.50.0.1",
            "fd50::9",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert_eq!(
                policy.allows_direct(bad.parse().unwrap()),
                Err(Refused::LeadsInside),
                "{bad}"
            );
        }
        assert_eq!(
            route(&policy, "127.0.0.1"),
            Route::Refused(Refused::LeadsInside)
        );
    }

    #[test]
    fn an_inside_name_may_not_lead_outside() {
        let policy = policy(Other::Direct);
        assert_eq!(policy.allows_inside("10.50.7.7".parse().unwrap()), Ok(()));
        assert_eq!(
            policy.allows_inside("192.0.2.1".parse().unwrap()),
            Err(Refused::LeadsOutside)
        );
    }

    #[test]
    fn only_listed_ports_are_open_inside_when_there_is_a_list() {
        let mut policy = policy(Other::Refused);
        policy.ports = vec![443];
        let host = Host::parse("a.corp.test").unwrap();
        assert_eq!(policy.route(&host, 443), Route::Inside);
        assert_eq!(policy.route(&host, 22), Route::Refused(Refused::Port));
    }

    #[test]
    fn what_only_a_resolver_takes_for_an_address_is_no_host() {
        for bad in [
            "127.1",
            "0x7f000001",
            "2130706433",
            "010.0.0.1",
            "",
            ".",
            "a..b",
            "a b",
            "é.test",
            "[corp.test]",
            "a:1",
            "1.2.3.4.5",
        ] {
            assert_eq!(Host::parse(bad), Err(BadHost), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_host_or_refused_and_never_both_inside_and_direct(text in "\\PC{0,300}") {
            if let Ok(host) = Host::parse(&text) {
                let refused = policy(Other::Refused).route(&host, 1);
                prop_assert!(refused != Route::Direct);
                let direct = policy(Other::Direct).route(&host, 1);
                prop_assert_eq!(refused == Route::Inside, direct == Route::Inside);
            }
        }

        #[test]
        fn no_address_is_allowed_both_ways(bytes in any::<[u8; 16]>(), v4 in any::<[u8; 4]>()) {
            let policy = policy(Other::Direct);
            for address in [IpAddr::from(bytes), IpAddr::from(v4)] {
                prop_assert!(
                    policy.allows_inside(address).is_err() || policy.allows_direct(address).is_err()
                );
            }
        }
    }
}
