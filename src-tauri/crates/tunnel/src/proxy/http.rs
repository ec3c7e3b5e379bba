//! HTTP proxy requests: CONNECT (RFC 9110 §9.3.6) and absolute form (RFC 9112 §3.2.2).

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::{Shared, more};
use crate::dialer::ConnectError;
use crate::policy::Host;
use crate::stream::Stream;

/// Longest head of a request, bytes. Browsers send cookies of up to 16 KiB.
const LONGEST: usize = 64 * 1024;
/// Most header lines.
const MOST_LINES: usize = 128;

/// Headers that are between the client and us (RFC 9110 §7.6.1), and those that we write anew.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "host",
];

/// What a proxy request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub host: Host,
    pub port: u16,
    pub method: Method,
    /// The value of `Proxy-Authorization`, if there is one.
    pub authorization: Option<Vec<u8>>,
}

/// How the destination is talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// Bytes as they come.
    Connect,
    /// One request: this head goes to the destination in place of the one that came.
    Forward(Vec<u8>),
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("not an HTTP/1 request")]
    Syntax,
    #[error("too many or too long header lines")]
    TooLong,
    #[error("no absolute form of http: as a proxy is asked")]
    Form,
    #[error("the destination is no host")]
    Host,
}

impl Head {
    /// Reads a head from the front of `bytes`; answers it with its length, or `None` when more
    /// bytes are needed.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        let mut lines = [httparse::EMPTY_HEADER; MOST_LINES];
        let mut request = httparse::Request::new(&mut lines);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() >= LONGEST => {
                return Err(HeadError::TooLong);
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLong),
            Err(_) => return Err(HeadError::Syntax),
        };
        if length > LONGEST {
            return Err(HeadError::TooLong);
        }
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(HeadError::Syntax);
        };
        let authorization = value(request.headers, "proxy-authorization").map(<[u8]>::to_vec);
        let head = if method == "CONNECT" {
            let (host, port) = authority(target, None)?;
            Self {
                host,
                port,
                method: Method::Connect,
                authorization,
            }
        } else {
            let rest = target
                .split_at_checked(7)
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("http://"))
                .map(|(_, rest)| rest)
                .ok_or(HeadError::Form)?;
            let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
            let (place, path) = rest.split_at(path_at);
            let (host, port) = authority(place, Some(80))?;
            Self {
                host,
                port,
                method: Method::Forward(rewritten(method, place, path, request.headers)),
                authorization,
            }
        };
        Ok(Some((head, length)))
    }
}

/// `host:port`, `[v6]:port`; the port may be missing when there is a usual one. User names in
/// front of it are refused (RFC 9110 §4.2.4).
fn authority(text: &str, usual: Option<u16>) -> Result<(Host, u16), HeadError> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse().map_err(|_| HeadError::Host)?
        }
        Some(_) => return Err(HeadError::Host),
        None => usual.ok_or(HeadError::Host)?,
    };
    // Without brackets a colon can only be a mistake.
    if port == 0 || (host.contains(':') && !host.starts_with('[')) {
        return Err(HeadError::Host);
    }
    Ok((Host::parse(host).map_err(|_| HeadError::Host)?, port))
}

/// The head for the destination: origin form, without what was meant for us, one request only.
fn rewritten(method: &str, place: &str, path: &str, headers: &[httparse::Header<'_>]) -> Vec<u8> {
    // Names listed in Connection are meant for us, too (RFC 9110 §7.6.1).
    let listed: Vec<String> = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("connection"))
        .flat_map(|header| header.value.split(|b| *b == b','))
        .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
        .collect();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut head =
        format!("{method} {slash}{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n")
            .into_bytes();
    for header in headers {
        let name = header.name.to_ascii_lowercase();
        let framing = name == "content-length" || name == "transfer-encoding";
        if HOP_BY_HOP.contains(&name.as_str()) || (listed.contains(&name) && !framing) {
            continue;
        }
        head.extend_from_slice(header.name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(header.value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn value<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a [u8]> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

/// Lets a client in and opens what it wants. `None`: it was told why not.
pub(super) async fn enter(
    shared: &Shared,
    client: &mut TcpStream,
    entering: OwnedSemaphorePermit,
) -> io::Result<Option<Stream>> {
    let mut buffer = Vec::with_capacity(1024);
    let (head, length) = loop {
        match Head::parse(&buffer) {
            Ok(Some(parsed)) => break parsed,
            Ok(None) => more(client, &mut buffer, LONGEST).await?,
            Err(error) => {
                let status = match error {
                    HeadError::TooLong => "431 Request Header Fields Too Large",
                    _ => "400 Bad Request",
                };
                return refuse(client, status, "").await.map(|()| None);
            }
        }
    };
    let access = &shared.access;
    let known = match &head.authorization {
        Some(value) => access.is_right_header(value),
        None => false,
    };
    if !known && !access.is_ours(client).await {
        tracing::warn!("A foreign process tried the local port");
        let ask = "Proxy-Authenticate: Basic realm=\"Cordee\", charset=\"UTF-8\"\r\n";
        return refuse(client, "407 Proxy Authentication Required", ask)
            .await
            .map(|()| None);
    }
    drop(entering);
    let behind = buffer.get(length..).unwrap_or_default();
    match shared.dialer.connect(&head.host, head.port).await {
        Ok(mut stream) => {
            match &head.method {
                Method::Connect => {
                    client
                        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                        .await?;
                }
                Method::Forward(head) => stream.write_all(head).await?,
            }
            stream.write_all(behind).await?;
            stream.flush().await?;
            Ok(Some(stream))
        }
        Err(error) => {
            let (status, reason) = status(error);
            // RFC 9209: what the proxy knows, for programs.
            let header = format!("Proxy-Status: cordee; error={reason}\r\n");
            refuse(client, status, &header).await.map(|()| None)
        }
    }
}

async fn refuse(client: &mut TcpStream, status: &str, header: &str) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 {status}\r\n{header}Content-Length: 0\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n"
    );
    client.write_all(answer.as_bytes()).await
}

/// The status, and the error type of RFC 9209 §2.3.
const fn status(error: ConnectError) -> (&'static str, &'static str) {
    match error {
        ConnectError::Refused(_) => ("403 Forbidden", "http_request_denied"),
        ConnectError::NotConnected(_) => ("503 Service Unavailable", "proxy_configuration_error"),
        ConnectError::NoSuchName => ("502 Bad Gateway", "dns_error"),
        ConnectError::NamesUnavailable => ("504 Gateway Timeout", "dns_timeout"),
        ConnectError::ConnectionRefused => ("502 Bad Gateway", "connection_refused"),
        ConnectError::Unreachable => ("502 Bad Gateway", "destination_ip_unroutable"),
        ConnectError::TimedOut => ("504 Gateway Timeout", "connection_timeout"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Option<(Head, usize)>, HeadError> {
        Head::parse(text.as_bytes())
    }

    #[test]
    fn connect_names_its_destination() {
        for (target, host, port) in [
            ("a.corp.test:443", "a.corp.test", 443),
            ("10.50.0.80:22", "10.50.0.80", 22),
            ("[fd50::1]:443", "fd50::1", 443),
        ] {
            let text = format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\nrest");
            let (head, length) = parse(&text).unwrap().unwrap();
            assert_eq!(head.host, Host::parse(host).unwrap());
            assert_eq!((head.port, head.method), (port, Method::Connect));
            assert_eq!(&text[length..], "rest");
        }
    }

    #[test]
    fn absolute_form_is_rewritten_for_the_destination() {
        let (head, _) = parse(
            "GET HTTP://A.corp.test:8080?q=1 HTTP/1.1\r\nHost: lies.example\r\n\
             Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\n\
             Connection: keep-alive, X-Hop, Content-Length\r\nX-Hop: 1\r\nContent-Length: 0\r\n\
             Accept: */*\r\n\r\n",
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            (&head.host, head.port),
            (&Host::parse("a.corp.test").unwrap(), 8080)
        );
        assert_eq!(head.authorization.as_deref(), Some(&b"Basic eA=="[..]));
        let Method::Forward(head) = head.method else {
            panic!("a request")
        };
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "GET /?q=1 HTTP/1.1\r\nHost: A.corp.test:8080\r\nConnection: close\r\n\
             Content-Length: 0\r\nAccept: */*\r\n\r\n"
        );
    }

    #[test]
    fn what_a_proxy_is_not_asked_is_refused() {
        for (text, error) in [
            ("GET / HTTP/1.1\r\n\r\n", HeadError::Form),
            ("GET https://a.test/ HTTP/1.1\r\n\r\n", HeadError::Form),
            ("GET ftp://a.test/ HTTP/1.1\r\n\r\n", HeadError::Form),
            ("CONNECT a.test HTTP/1.1\r\n\r\n", HeadError::Host),
            ("CONNECT a.test:0 HTTP/1.1\r\n\r\n", HeadError::Host),
            ("CONNECT a.test:+1 HTTP/1.1\r\n\r\n", HeadError::Host),
            ("CONNECT a.test:65536 HTTP/1.1\r\n\r\n", HeadError::Host),
            ("CONNECT fd50::1:443 HTTP/1.1\r\n\r\n", HeadError::Host),
            ("CONNECT u@a.test:1 HTTP/1.1\r\n\r\n", HeadError::Host),
            ("GET http://u:p@a.test/ HTTP/1.1\r\n\r\n", HeadError::Host),
            ("GET http:/// HTTP/1.1\r\n\r\n", HeadError::Host),
            ("\x16\x03\x01\x02", HeadError::Syntax),
            (
                "GET http://a.test/ HTTP/1.1\r\nA B: c\r\n\r\n",
                HeadError::Syntax,
            ),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_head_without_end_is_refused_at_its_limit() {
        let mut text = "GET http://a.test/ HTTP/1.1\r\n".to_owned();
        assert_eq!(parse(&text), Ok(None));
        text += &"A: b\r\n".repeat(MOST_LINES + 1);
        assert_eq!(parse(&text), Err(HeadError::TooLong));
        let long = format!("GET http://a.test/{} HTTP/1.1\r\n", "x".repeat(LONGEST));
        assert_eq!(parse(&long), Err(HeadError::TooLong));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(Some((_, length))) = Head::parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn what_is_forwarded_is_one_valid_request_to_the_same_host(
            method in "[A-Z]{1,8}",
            host in "[a-z0-9.-]{1,20}|\\[[0-9a-f:]{2,12}\\]",
            port in "(:[0-9]{0,6})?",
            path in "[!-~]{0,30}",
            lines in proptest::collection::vec(("[A-Za-z-]{1,18}", "[ -~]{0,30}"), 0..10),
        ) {
            prop_assume!(method != "CONNECT");
            let mut text = format!("{method} http://{host}{port}/{path} HTTP/1.1\r\n");
            for (name, value) in &lines {
                text.push_str(&[name, ": ", value, "\r\n"].concat());
            }
            text += "\r\n";
            if let Ok(Some((head, length))) = Head::parse(text.as_bytes()) {
                prop_assert_eq!(length, text.len());
                let Method::Forward(forwarded) = head.method else {
                    return Err(TestCaseError::fail("a request"));
                };
                let mut lines = [httparse::EMPTY_HEADER; MOST_LINES];
                let mut request = httparse::Request::new(&mut lines);
                let parsed = request.parse(&forwarded).unwrap();
                prop_assert_eq!(parsed, httparse::Status::Complete(forwarded.len()));
                prop_assert!(request.path.unwrap().starts_with('/'));
                let place = value(request.headers, "host").unwrap();
                let (again, _) =
                    authority(std::str::from_utf8(place).unwrap(), Some(80)).unwrap();
                prop_assert_eq!(again, head.host);
            }
        }
    }
}
