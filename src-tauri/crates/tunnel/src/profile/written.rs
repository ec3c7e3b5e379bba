//! The profile as it is written: types of single values, without what holds them together.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use toml::Spanned;

use crate::policy::Host;
use crate::wireguard::Key;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) version: Spanned<u32>,
    #[serde(default = "yes")]
    pub(super) coexist: bool,
    pub(super) wireguard: Option<Spanned<WireGuard>>,
    pub(super) anyconnect: Option<Spanned<AnyConnect>>,
    #[serde(default)]
    pub(super) names: Names,
    pub(super) policy: Policy,
    pub(super) probe: Probe,
    pub(super) underlay: Option<Underlay>,
    pub(super) proxy: Option<Proxy>,
    #[serde(default)]
    pub(super) forward: Vec<Forward>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireGuard {
    pub(super) gateway: Text<Place>,
    #[serde(default)]
    pub(super) other_ports: Vec<Spanned<u16>>,
    pub(super) gateway_key: Text<Key>,
    pub(super) private_key: Text<Key>,
    pub(super) preshared_key: Option<Text<Key>>,
    pub(super) addresses: Spanned<Vec<Text<IpAddr>>>,
    #[serde(default)]
    pub(super) networks: Vec<Text<Network>>,
    pub(super) keepalive: Option<Spanned<u16>>,
    pub(super) mtu: Option<Spanned<u16>>,
    pub(super) echo: Option<Spanned<Text<IpAddr>>>,
    pub(super) websocket: Option<Text<SecureSocket>>,
    pub(super) ca: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnyConnect {
    pub(super) gateway: Text<PlaceOr443>,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    pub(super) ca: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Names {
    #[serde(default)]
    pub(super) servers: Vec<Spanned<Text<IpAddr>>>,
    #[serde(default)]
    pub(super) search: Vec<Text<Suffix>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    #[serde(default)]
    pub(super) suffixes: Vec<Text<Suffix>>,
    pub(super) networks: Spanned<Vec<Text<Network>>>,
    #[serde(default)]
    pub(super) ports: Vec<Spanned<u16>>,
    #[serde(default)]
    pub(super) other: Other,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Other {
    #[default]
    Refused,
    Direct,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probe {
    pub(super) host: Spanned<Text<Host>>,
    #[serde(default = "https")]
    pub(super) port: Spanned<u16>,
    pub(super) path: Text<AbsolutePath>,
    pub(super) expect: Spanned<String>,
    pub(super) ca: PathBuf,
    pub(super) every_ms: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Underlay {
    pub(super) url: Text<PlainUrl>,
    #[serde(default = "ok")]
    pub(super) status: u16,
    #[serde(default)]
    pub(super) expect: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proxy {
    pub(super) listen: Spanned<Text<SocketAddr>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forward {
    pub(super) listen: Spanned<Text<SocketAddr>>,
    pub(super) host: Spanned<Text<Host>>,
    pub(super) port: Spanned<u16>,
}

const fn yes() -> bool {
    true
}

const fn ok() -> u16 {
    200
}

fn https() -> Spanned<u16> {
    Spanned::new(0..0, 443)
}

/// A text that means something.
#[derive(Clone)]
pub(super) struct Text<T>(pub(super) T);

impl<'de, T> Deserialize<'de> for Text<T>
where
    T: FromStr,
    T::Err: Display,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// `host:port` of a gateway outside.
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text
            .rsplit_once(':')
            .ok_or("a port is missing: `host:port`")?;
        place(host, port)
    }
}

/// The same; without a port it is 443.
pub(super) struct PlaceOr443(pub(super) Place);

impl FromStr for PlaceOr443 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (text, "443"),
        };
        place(host, port).map(Self)
    }
}

fn place(host: &str, port: &str) -> Result<Place, String> {
    let port: u16 = port
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or("the port has to be a number from 1 to 65535")?;
    if host.contains(':') && !host.starts_with('[') {
        return Err("an IPv6 address stands in brackets: `[fd00::1]:51820`".to_owned());
    }
    let host = Host::parse(host).map_err(|error| error.to_string())?;
    Ok(Place {
        host: host.to_string(),
        port,
    })
}

/// A network without host bits.
#[derive(Clone, Copy)]
pub(super) struct Network(pub(super) IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network: IpNet = text
            .parse()
            .map_err(|_| "a network is written `10.50.0.0/16` or `fd50::/32`")?;
        if network.trunc() == network {
            Ok(Self(network))
        } else {
            Err(format!(
                "the address has bits behind its prefix; the network is `{}`",
                network.trunc()
            ))
        }
    }
}

/// A domain whose names are inside.
#[derive(Clone)]
pub(super) struct Suffix(pub(super) String);

impl FromStr for Suffix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Host::parse(text) {
            Ok(Host::Name(name)) => Ok(Self(name)),
            _ => {
                Err("a domain is written `corp.example`, without a dot or star in front".to_owned())
            }
        }
    }
}

/// A path for a request, without spaces or line ends.
pub(super) struct AbsolutePath(pub(super) String);

impl FromStr for AbsolutePath {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a path begins with `/` and has no spaces")
        }
    }
}

/// `http://host[:port]/path`.
pub(super) struct PlainUrl {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

impl FromStr for PlainUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("http://")
            .ok_or("portals are recognised over plain http: `http://host/path`")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, "80"),
        };
        let place = place(host, port)?;
        let AbsolutePath(path) = if path.is_empty() { "/" } else { path }.parse()?;
        Ok(Self {
            host: place.host,
            port: place.port,
            path,
        })
    }
}

/// `wss://host[:port]/path`.
pub(super) struct SecureSocket(pub(super) String);

impl FromStr for SecureSocket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("wss://")
            .ok_or("the address has to begin with `wss://`")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let _: PlaceOr443 = authority.parse()?;
        let _: AbsolutePath = if path.is_empty() { "/" } else { path }.parse()?;
        Ok(Self(text.to_owned()))
    }
}
