//! What the gateway assigns in its answer to `CONNECT /CSCOSSLC/tunnel`: addresses, resolvers, networks, times.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;

use crate::source::{Ended, Refusal};

/// Longest answer that is read, bytes. A large policy has some thousand networks.
pub const LONGEST: usize = 256 * 1024;
const MOST_HEADERS: usize = 4096;
/// A gateway that wants to be asked more often than this is asked this often.
const SHORTEST_PAUSE: u64 = 2;

/// The session's parameters. Unknown headers are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assigned {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
    pub dns: Vec<IpAddr>,
    pub search: Vec<String>,
    /// Networks behind the gateway; empty: it does not say (everything).
    pub networks: Vec<IpNet>,
    /// Largest IP packet, bytes.
    pub mtu: Option<u16>,
    /// Silence after which the peer is asked whether it is there.
    pub dpd: Option<Duration>,
    /// Pause after which something is sent, so that middle boxes keep the connection.
    pub keepalive: Option<Duration>,
    /// Age at which the session takes new keys.
    pub rekey: Option<Duration>,
}

/// The answer's head, if all of it is there: what was assigned, and how many bytes it takes. Any bytes are accepted;
/// what is no answer is an error.
pub fn parse(received: &[u8]) -> Result<Option<(Assigned, usize)>, Ended> {
    // httparse starts over with each call; without this a slow head would cost quadratic time.
    if !ends(received) {
        return if received.len() > LONGEST {
            Err(Ended::Protocol("the answer to CONNECT is too long"))
        } else if starts_like_http(received) {
            Ok(None)
        } else {
            Err(Ended::Protocol("the answer to CONNECT is no HTTP"))
        };
    }
    let mut headers = vec![httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let size = match response.parse(received) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Ended::Protocol("the answer to CONNECT is no HTTP")),
    };
    match response.code {
        Some(200) => {}
        // 401: the cookie is unknown or over (ocserv and ASA); 403: the account lost its right to connect.
        Some(401) => return Err(Ended::Refused(Refusal::SignInAgain)),
        Some(403) => return Err(Ended::Refused(Refusal::NotAllowed)),
        // ocserv answers 503 to a cookie that it does not understand, and when there is no address left.
        Some(503) => return Err(Ended::Refused(refusal(&response))),
        _ => return Err(Ended::Protocol("CONNECT was answered with another status")),
    }
    let mut assigned = Assigned::default();
    for header in response.headers.iter() {
        if let Ok(value) = std::str::from_utf8(header.value) {
            assigned.take(header.name, value.trim());
        }
    }
    if assigned.v4.is_none() && assigned.v6.is_none() {
        return Err(Ended::Protocol("the gateway assigned no address"));
    }
    Ok(Some((assigned, size)))
}

impl Assigned {
    fn take(&mut self, name: &str, value: &str) {
        let seconds = || {
            let read: Option<u64> = value.parse().ok().filter(|seconds| *seconds > 0);
            read.map(|seconds| Duration::from_secs(seconds.max(SHORTEST_PAUSE)))
        };
        match name.to_ascii_lowercase().as_str() {
            "x-cstp-address" => match value.parse() {
                Ok(IpAddr::V4(v4)) => self.v4 = Some(v4),
                Ok(IpAddr::V6(v6)) => self.v6 = Some(v6),
                Err(_) => {}
            },
            // With the length of the prefix behind it.
            "x-cstp-address-ip6" => {
                let address = value.split('/').next().unwrap_or_default();
                self.v6 = address.parse().ok().or(self.v6);
            }
            "x-cstp-dns" | "x-cstp-dns-ip6" => self.dns.extend(value.parse::<IpAddr>()),
            // Several in one header are divided by spaces or commas.
            "x-cstp-default-domain" | "x-cstp-split-dns" => {
                let names = value.split([' ', ',']).map(|name| name.trim_matches('.'));
                for name in names.filter(|name| !name.is_empty()) {
                    if !self
                        .search
                        .iter()
                        .any(|known| known.eq_ignore_ascii_case(name))
                    {
                        self.search.push(name.to_ascii_lowercase());
                    }
                }
            }
            "x-cstp-split-include" | "x-cstp-split-include-ip6" => {
                self.networks.extend(network(value));
            }
            "x-cstp-mtu" => {
                // RFC 791 asks for 576, RFC 8200 for 1280; less is a mistake.
                self.mtu = value.parse().ok().filter(|mtu| *mtu >= 576);
            }
            "x-cstp-dpd" => self.dpd = seconds(),
            "x-cstp-keepalive" => self.keepalive = seconds(),
            "x-cstp-rekey-time" => self.rekey = seconds(),
            // X-CSTP-Rekey-Method says `ssl` (renegotiation, which TLS 1.3 no longer has) or `new-tunnel`; a new
            // tunnel with the same cookie serves both, and nothing else says "never".
            "x-cstp-rekey-method" if value.eq_ignore_ascii_case("none") => self.rekey = None,
            _ => {}
        }
    }
}

/// `10.50.0.0/255.255.0.0`, `10.50.0.0/16`, `fd50::/64`
fn network(value: &str) -> Option<IpNet> {
    let (address, mask) = value.split_once('/')?;
    let address: IpAddr = address.trim().parse().ok()?;
    let mask = mask.trim();
    let net = match mask.parse::<u8>() {
        Ok(length) => IpNet::new(address, length).ok()?,
        Err(_) => IpNet::with_netmask(address, mask.parse().ok()?).ok()?,
    };
    Some(net.trunc())
}

fn ends(received: &[u8]) -> bool {
    received.windows(4).any(|four| four == b"\r\n\r\n")
        || received.windows(2).any(|two| two == b"\n\n")
}

fn starts_like_http(received: &[u8]) -> bool {
    let start = b"HTTP/1.";
    let seen = received.len().min(start.len());
    received[..seen] == start[..seen]
}

fn refusal(response: &httparse::Response<'_, '_>) -> Refusal {
    let reason = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("x-reason"))
        .map(|header| String::from_utf8_lossy(header.value).to_lowercase());
    match reason {
        Some(text) if text.contains("cookie") => Refusal::SignInAgain,
        Some(text) if text.contains("simultaneous") || text.contains("too many") => {
            Refusal::TooManySessions
        }
        _ => Refusal::SignInAgain,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &str = "HTTP/1.1 200 CONNECTED\r\nX-CSTP-Version: 1\r\nX-CSTP-DPD: 30\r\nX-CSTP-Default-Domain: inside.test\r\nX-CSTP-Address: 10.88.0.77\r\nX-CSTP-Netmask: 255.255.255.0\r\nX-CSTP-Address-IP6: fd88::4d/64\r\nX-CSTP-DNS: 10.50.0.53\r\nX-CSTP-DNS-IP6: fd50::53\r\nX-CSTP-Split-Include: 10.50.0.0/255.255.0.0\r\nX-CSTP-Split-Include-IP6: fd50::/64\r\nX-CSTP-Keepalive: 32400\r\nX-CSTP-Rekey-Time: 172810\r\nX-CSTP-Rekey-Method: ssl\r\nX-CSTP-MTU: 1434\r\n\r\nSTF";

    #[test]
    fn the_answer_of_ocserv_is_read() {
        let (assigned, size) = parse(ANSWER.as_bytes()).unwrap().unwrap();
        assert_eq!(&ANSWER[size..], "STF");
        assert_eq!(
            assigned,
            Assigned {
                v4: Some([10, 88, 0, 77].into()),
                v6: Some("fd88::4d".parse().unwrap()),
                dns: vec!["10.50.0.53".parse().unwrap(), "fd50::53".parse().unwrap()],
                search: vec!["inside.test".to_owned()],
                networks: vec![
                    "10.50.0.0/16".parse().unwrap(),
                    "fd50::/64".parse().unwrap()
                ],
                mtu: Some(1434),
                dpd: Some(Duration::from_secs(30)),
                keepalive: Some(Duration::from_hours(9)),
                rekey: Some(Duration::from_secs(172_810)),
            }
        );
    }

    #[test]
    fn an_answer_is_complete_only_with_its_empty_line() {
        let end = ANSWER.find("STF").unwrap();
        for cut in 0..end {
            assert_eq!(parse(&ANSWER.as_bytes()[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn refusals_say_what_the_person_can_do() {
        let of = |head: &str| parse(head.as_bytes()).unwrap_err();
        assert_eq!(
            of("HTTP/1.1 401 Unauthorized\r\nX-Reason: Cookie is not acceptable\r\n\r\n"),
            Ended::Refused(Refusal::SignInAgain)
        );
        assert_eq!(
            of("HTTP/1.1 403 Forbidden\r\n\r\n"),
            Ended::Refused(Refusal::NotAllowed)
        );
        assert!(matches!(of("HTTP/1.1 200 OK\r\n\r\n"), Ended::Protocol(_)));
        assert!(matches!(
            of("HTTP/1.1 302 Found\r\n\r\n"),
            Ended::Protocol(_)
        ));
        assert!(matches!(of("SSH-2.0"), Ended::Protocol(_)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_damaged_answer_never_panics(at in 0..ANSWER.len(), byte in any::<u8>(), cut in 0..ANSWER.len()) {
            let mut bytes = ANSWER.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = parse(&bytes);
            let _ = parse(&bytes[..cut]);
        }

        #[test]
        fn whatever_stands_in_the_headers_never_panics(name in "(x-cstp-)?[a-z-]{1,20}", value in "[ -~]{0,60}") {
            let head = format!("HTTP/1.1 200 OK\r\nX-CSTP-Address: 10.0.0.1\r\n{name}: {value}\r\n\r\n");
            let _ = parse(head.as_bytes());
        }
    }
}
