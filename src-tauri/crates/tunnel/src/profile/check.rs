//! What the values of a profile have to do with each other.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;

use super::written::{self, AnyConnect, Other, Place, Text, Written};
use super::{
    AnyConnectProfile, Forward, Mistake, ProbeProfile, Profile, SourceProfile, WireGuardProfile,
    inside, read,
};
use crate::policy::{self, Host, Policy, Route};
use crate::probe::UnderlayCheck;
use crate::wireguard::WireGuardConfig;

/// Smallest size of packets that is any use, and the largest of an Ethernet, bytes.
const SIZES: std::ops::RangeInclusive<u16> = 1000..=1500;
/// Shortest and longest pause between probes, milliseconds.
const PAUSES: std::ops::RangeInclusive<u64> = 250..=60_000;

pub(super) fn checked(
    text: &str,
    written: Written,
    folder: &Path,
) -> Result<Profile, Vec<Mistake>> {
    let mut found = Found {
        text,
        mistakes: Vec::new(),
    };
    if *written.version.get_ref() != 1 {
        found.at(
            &written.version.span(),
            "version",
            "this program reads version 1",
        );
    }
    let policy = policy(&written.policy, &mut found);
    let source = source(&written, &policy, folder, &mut found);
    let probe = probe(written.probe, &policy, folder, &mut found);
    let forwards = forwards(written.forward, &policy, &mut found);
    let proxy = written.proxy.map(|proxy| {
        let Text(listen) = proxy.listen.get_ref();
        found.loopback(&proxy.listen.span(), "proxy.listen", *listen);
        *listen
    });
    let underlay = written.underlay.map(|underlay| UnderlayCheck {
        host: underlay.url.0.host,
        port: underlay.url.0.port,
        path: underlay.url.0.path,
        status: underlay.status,
        expect: underlay.expect,
    });
    match source {
        Some(source) if found.mistakes.is_empty() => Ok(Profile {
            source,
            policy,
            probe,
            underlay,
            coexist: written.coexist,
            proxy,
            forwards,
        }),
        _ => Err(found.mistakes),
    }
}

struct Found<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
}

impl Found<'_> {
    fn at(&mut self, span: &Range<usize>, key: &str, what: impl Into<String>) {
        self.mistakes.push(Mistake {
            line: read::line(self.text, span.start),
            key: key.to_owned(),
            what: what.into(),
        });
    }

    /// Nobody but this device may use our ports.
    fn loopback(&mut self, span: &Range<usize>, key: &str, listen: SocketAddr) {
        if !listen.ip().is_loopback() {
            self.at(span, key, "only 127.0.0.1 and [::1] are allowed");
        }
    }

    fn port(&mut self, port: &Spanned<u16>, key: &str) {
        if *port.get_ref() == 0 {
            self.at(&port.span(), key, "a port is a number from 1 to 65535");
        }
    }
}

fn policy(written: &written::Policy, found: &mut Found<'_>) -> Policy {
    let networks: Vec<IpNet> = written
        .networks
        .get_ref()
        .iter()
        .map(|Text(network)| network.0)
        .collect();
    if networks.is_empty() {
        found.at(
            &written.networks.span(),
            "policy.networks",
            "at least one network is needed: names may only lead into one",
        );
    }
    for port in &written.ports {
        found.port(port, "policy.ports");
    }
    Policy {
        suffixes: written
            .suffixes
            .iter()
            .map(|Text(name)| name.0.clone())
            .collect(),
        networks,
        ports: written.ports.iter().map(|port| *port.get_ref()).collect(),
        other: match written.other {
            Other::Refused => policy::Other::Refused,
            Other::Direct => policy::Other::Direct,
        },
    }
}

fn source(
    written: &Written,
    policy: &Policy,
    folder: &Path,
    found: &mut Found<'_>,
) -> Option<SourceProfile> {
    match (&written.wireguard, &written.anyconnect) {
        (Some(wireguard), None) => Some(SourceProfile::WireGuard(Box::new(wireguard_profile(
            wireguard.get_ref(),
            &written.names,
            policy,
            folder,
            found,
        )))),
        (None, Some(anyconnect)) => {
            if let Some(server) = written.names.servers.first() {
                let what = "the AnyConnect gateway says which resolvers there are";
                found.at(&server.span(), "names.servers", what);
            }
            Some(SourceProfile::AnyConnect(anyconnect_profile(
                anyconnect.get_ref(),
                folder,
            )))
        }
        (Some(_), Some(second)) => {
            found.at(
                &second.span(),
                "anyconnect",
                "one profile has one way in: [wireguard] or [anyconnect]",
            );
            None
        }
        (None, None) => {
            found.at(
                &(0..0),
                "the file",
                "a table [wireguard] or [anyconnect] is missing",
            );
            None
        }
    }
}

fn wireguard_profile(
    written: &written::WireGuard,
    names: &written::Names,
    policy: &Policy,
    folder: &Path,
    found: &mut Found<'_>,
) -> WireGuardProfile {
    let addresses: Vec<IpAddr> = written
        .addresses
        .get_ref()
        .iter()
        .map(|Text(address)| *address)
        .collect();
    let of = |v4: bool| {
        addresses
            .iter()
            .filter(|address| address.is_ipv4() == v4)
            .count()
    };
    if addresses.is_empty() || of(true) > 1 || of(false) > 1 {
        let what = "one address inside is needed, or one of each family";
        found.at(&written.addresses.span(), "wireguard.addresses", what);
    }
    if let Some(mtu) = &written.mtu
        && !SIZES.contains(mtu.get_ref())
    {
        found.at(
            &mtu.span(),
            "wireguard.mtu",
            "a size from 1000 to 1500 bytes",
        );
    }
    if let Some(keepalive) = &written.keepalive
        && *keepalive.get_ref() == 0
    {
        found.at(
            &keepalive.span(),
            "wireguard.keepalive",
            "a number of seconds; leave it out to send none",
        );
    }
    for port in &written.other_ports {
        found.port(port, "wireguard.other_ports");
    }
    let mut networks: Vec<IpNet> = written.networks.iter().map(|Text(net)| net.0).collect();
    if networks.is_empty() {
        networks.clone_from(&policy.networks);
    }
    let mut reachable = |key: &str, span: Range<usize>, address: IpAddr| {
        if addresses.is_empty() {
            // That was said already.
        } else if of(address.is_ipv4()) == 0 {
            found.at(&span, key, "there is no own address of this family");
        } else if !networks.iter().any(|network| network.contains(&address)) {
            found.at(
                &span,
                key,
                "the address is in none of the networks of the tunnel",
            );
        }
    };
    for server in &names.servers {
        reachable("names.servers", server.span(), server.get_ref().0);
    }
    if let Some(echo) = &written.echo {
        reachable("wireguard.echo", echo.span(), echo.get_ref().0);
    }
    let Place { host, port } = &written.gateway.0;
    let others = written.other_ports.iter().map(|port| *port.get_ref());
    WireGuardProfile {
        config: WireGuardConfig {
            private_key: written.private_key.0.clone(),
            gateway_key: written.gateway_key.0.clone(),
            preshared_key: written.preshared_key.as_ref().map(|Text(key)| key.clone()),
            keepalive: written.keepalive.as_ref().map(|seconds| *seconds.get_ref()),
            networks,
            inside: inside(
                &addresses,
                names
                    .servers
                    .iter()
                    .map(|server| server.get_ref().0)
                    .collect(),
                names
                    .search
                    .iter()
                    .map(|Text(name)| name.0.clone())
                    .collect(),
                written.mtu.as_ref().map(|mtu| *mtu.get_ref()),
                written.echo.as_ref().map(|echo| echo.get_ref().0),
            ),
        },
        host: host.clone(),
        ports: std::iter::once(*port).chain(others).collect(),
        websocket: written.websocket.as_ref().map(|Text(url)| url.0.clone()),
        ca: written.ca.as_ref().map(|path| folder.join(path)),
    }
}

fn anyconnect_profile(written: &AnyConnect, folder: &Path) -> AnyConnectProfile {
    let Place { host, port } = &written.gateway.0.0;
    AnyConnectProfile {
        host: host.clone(),
        port: *port,
        user: written.user.clone(),
        group: written.group.clone(),
        ca: written.ca.as_ref().map(|path| folder.join(path)),
    }
}

fn probe(
    written: written::Probe,
    policy: &Policy,
    folder: &Path,
    found: &mut Found<'_>,
) -> ProbeProfile {
    let span = written.host.span();
    let Text(host) = written.host.into_inner();
    let port = *written.port.get_ref();
    found.port(&written.port, "probe.port");
    match policy.route(&host, port) {
        Route::Inside => {}
        _ => found.at(&span, "probe.host", "the policy does not lead inside"),
    }
    if written.expect.get_ref().is_empty() {
        let what = "what the answer has to contain; anybody gives an empty one";
        found.at(&written.expect.span(), "probe.expect", what);
    }
    if let Some(every) = &written.every_ms
        && !PAUSES.contains(every.get_ref())
    {
        found.at(
            &every.span(),
            "probe.every_ms",
            "a pause from 250 to 60000 ms",
        );
    }
    ProbeProfile {
        host,
        port,
        path: written.path.0.0,
        expect: written.expect.into_inner(),
        ca: folder.join(written.ca),
        every: written
            .every_ms
            .map(|every| Duration::from_millis(every.into_inner())),
    }
}

fn forwards(
    written: Vec<written::Forward>,
    policy: &Policy,
    found: &mut Found<'_>,
) -> Vec<Forward> {
    let mut taken: Vec<SocketAddr> = Vec::new();
    written
        .into_iter()
        .map(|forward| {
            let Text(listen) = *forward.listen.get_ref();
            found.loopback(&forward.listen.span(), "forward.listen", listen);
            if listen.port() != 0 && taken.contains(&listen) {
                let what = "another forward listens here already";
                found.at(&forward.listen.span(), "forward.listen", what);
            }
            taken.push(listen);
            found.port(&forward.port, "forward.port");
            let span = forward.host.span();
            let Text(host) = forward.host.into_inner();
            let port = forward.port.into_inner();
            if port != 0 && policy.route(&host, port) != Route::Inside {
                found.at(&span, "forward.host", "the policy does not lead inside");
            }
            Forward { listen, host, port }
        })
        .collect()
}

impl std::str::FromStr for Host {
    type Err = policy::BadHost;

    fn from_str(text: &str) -> Result<Self, policy::BadHost> {
        Self::parse(text)
    }
}
