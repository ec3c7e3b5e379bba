//! Relays (TURN, RFC 8656), for networks that let nothing else out. The stack speaks TURN, but only over UDP; what goes
//! over TCP or TLS is carried by `stream`.

mod frames;
mod stream;

use std::net::{Ipv4Addr, SocketAddr};

pub(super) use stream::Streams;

/// TURN's own port, and that of TURN over TLS (RFC 7065 §3.1).
const PORT: u16 = 3478;
const TLS_PORT: u16 = 5349;

/// One relay that the server offered.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Relay {
    over: Over,
    host: String,
    port: u16,
    username: String,
    credential: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Udp,
    Tcp,
    Tls,
}

impl Relay {
    /// `None` for addresses of anything else (RFC 7065 §3.1): STUN alone, for example, tells nothing that the server
    /// does not see by itself.
    pub fn offered(url: &str, username: &str, credential: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once(':')?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let transport = query.strip_prefix("transport=");
        let over = match (scheme, transport) {
            ("turn", None | Some("udp")) => Over::Udp,
            ("turn", Some("tcp")) => Over::Tcp,
            ("turns", None | Some("tcp")) => Over::Tls,
            _ => return None,
        };
        let usual = if over == Over::Tls { TLS_PORT } else { PORT };
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        let port = port.map_or(Some(usual), |port| port.parse().ok())?;
        // The stack would end the whole connection over one that it cannot use.
        let usable = !host.is_empty() && !username.is_empty() && !credential.is_empty();
        usable.then(|| Self {
            over,
            host: host.to_owned(),
            port,
            username: username.to_owned(),
            credential: credential.to_owned(),
        })
    }

    /// Whether it is the same one, whatever lets us use it.
    fn is(&self, other: &Self) -> bool {
        self.over == other.over && self.host == other.host && self.port == other.port
    }

    /// Whether it can be used only by somebody who knows whom to trust.
    pub fn over_tls(&self) -> bool {
        self.over == Over::Tls
    }

    /// What the stack is to know of it. `stand_in` is the address by which it sends what a stream carries.
    fn server(&self, stand_in: SocketAddr) -> rtc::peer_connection::transport::RTCIceServer {
        let Self { host, port, .. } = self;
        let url = match self.over {
            Over::Udp if host.contains(':') => format!("turn:[{host}]:{port}?transport=udp"),
            Over::Udp => format!("turn:{host}:{port}?transport=udp"),
            Over::Tcp | Over::Tls => format!("turn:{stand_in}?transport=udp"),
        };
        rtc::peer_connection::transport::RTCIceServer {
            urls: vec![url],
            username: self.username.clone(),
            credential: self.credential.clone(),
        }
    }
}

/// Stands for the relay with this number. No packet ever goes to one of these addresses (RFC 5737 §3).
fn stand_in(number: usize) -> SocketAddr {
    let last = u8::try_from(number + 1).unwrap_or(u8::MAX);
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), PORT))
}

/// Tells nothing that lets anybody use it.
impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Relay({:?})", self.over)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn relays_are_read_as_servers_write_them() {
        let read = |url: &str| {
            let relay = Relay::offered(url, "user", "secret")?;
            Some((relay.over, relay.host, relay.port))
        };
        let expected = |over, host: &str, port| Some((over, host.to_owned(), port));
        assert_eq!(
            read("turn:192.0.2.7:443?transport=udp"),
            expected(Over::Udp, "192.0.2.7", 443)
        );
        assert_eq!(
            read("turns:turn.saint-elme.example:443?transport=tcp"),
            expected(Over::Tls, "turn.saint-elme.example", 443)
        );
        assert_eq!(
            read("turns:saint-elme.example"),
            expected(Over::Tls, "saint-elme.example", TLS_PORT)
        );
        assert_eq!(
            read("turn:[2001:db8::7]?transport=tcp"),
            expected(Over::Tcp, "2001:db8::7", PORT)
        );
        assert_eq!(read("stun:192.0.2.7:3478"), None);
        assert_eq!(read("turns:192.0.2.7?transport=udp"), None);
        assert_eq!(read("turn:192.0.2.7:70000"), None);
        assert_eq!(read("turn:"), None);
        assert_eq!(Relay::offered("turn:192.0.2.7", "", ""), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(scheme in "turns?:|", rest: String) {
            if let Some(relay) = Relay::offered(&(scheme + &rest), "user", "secret") {
                relay.server(stand_in(0));
            }
        }
    }
}
