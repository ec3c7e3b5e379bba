//! As much of HTTP/1.1 (RFC 9112) as a browser's GET needs, without I/O.

use std::collections::BTreeMap;

use url::Url;

use super::pages::{self, Pages};
use super::{Reply, Visit};

/// Codes and tokens in addresses reach some KB.
const LARGEST_HEAD: usize = 32 * 1024;
const MOST_PARAMETERS: usize = 64;

pub enum Read {
    More,
    Bad(u16),
    Visit(Visit),
}

/// Reads a request's head as far as it has been `received`. `host` is what its `Host` must be.
pub fn read(received: &[u8], host: &str) -> Read {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if received.len() > LARGEST_HEAD {
            Read::Bad(431)
        } else {
            Read::More
        };
    };
    if end > LARGEST_HEAD {
        return Read::Bad(431);
    }
    let Ok(head) = std::str::from_utf8(&received[..end]) else {
        return Read::Bad(400);
    };
    let mut lines = head.split("\r\n");
    let mut request = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) = (
        request.next(),
        request.next(),
        request.next(),
        request.next(),
    ) else {
        return Read::Bad(400);
    };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Read::Bad(505);
    }
    if method != "GET" {
        return Read::Bad(405);
    }
    let mut hosts = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    if hosts.next() != Some(host) || hosts.next().is_some() {
        return Read::Bad(421);
    }
    if !target.starts_with('/') {
        return Read::Bad(400);
    }
    match Url::parse(&format!("http://{host}{target}")) {
        Ok(url) => Read::Visit(visit(&url)),
        Err(_) => Read::Bad(400),
    }
}

/// The path and query of an address that came back, by the loopback or by the private scheme.
pub fn visit(url: &Url) -> Visit {
    let mut query = BTreeMap::new();
    for (key, value) in url.query_pairs().take(MOST_PARAMETERS) {
        // RFC 6749 §3.1: parameters must not be repeated; the first one stands.
        query
            .entry(key.into_owned())
            .or_insert_with(|| value.into_owned());
    }
    Visit {
        path: url.path().to_owned(),
        query,
    }
}

pub fn response(reply: &Reply, pages: &Pages) -> Vec<u8> {
    match reply {
        Reply::Done => page("200 OK", &pages::html(&pages.language, &pages.done)),
        Reply::Refused => page("200 OK", &pages::html(&pages.language, &pages.refused)),
        Reply::NotFound => refusal(404),
        Reply::Continue(url) => with_head("302 Found", &format!("Location: {url}\r\n"), ""),
    }
}

pub fn refusal(status: u16) -> Vec<u8> {
    let line = match status {
        404 => "404 Not Found",
        405 => "405 Method Not Allowed",
        421 => "421 Misdirected Request",
        431 => "431 Request Header Fields Too Large",
        505 => "505 HTTP Version Not Supported",
        _ => "400 Bad Request",
    };
    with_head(line, "", "")
}

fn page(status: &str, html: &str) -> Vec<u8> {
    with_head(status, "Content-Type: text/html; charset=utf-8\r\n", html)
}

/// Nothing here may be kept, framed, scripted, or told to the next site (the address holds a code).
fn with_head(status: &str, more: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; \
         frame-ancestors 'none'\r\n\r\n{body}",
        length = body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "127.0.0.1:47811";

    fn bad(request: &str) -> u16 {
        match read(request.as_bytes(), HOST) {
            Read::Bad(status) => status,
            Read::More => 0,
            Read::Visit(_) => 200,
        }
    }

    #[test]
    fn a_browsers_get_is_read_with_its_parameters_decoded() {
        let request = format!(
            "GET /callback?code=a%2Bb&state=s+t&code=again HTTP/1.1\r\nhost: {HOST}\r\n\r\n"
        );
        let Read::Visit(visit) = read(request.as_bytes(), HOST) else {
            panic!()
        };
        assert_eq!(visit.path, "/callback");
        assert_eq!(visit.query["code"], "a+b");
        assert_eq!(visit.query["state"], "s t");
    }

    #[test]
    fn a_page_that_rebinds_its_name_to_this_machine_is_turned_away() {
        for host in [
            "evil.example:47811",
            "localhost:47811",
            "127.0.0.1",
            "127.0.0.1:47812",
        ] {
            assert_eq!(
                bad(&format!("GET /callback HTTP/1.1\r\nHost: {host}\r\n\r\n")),
                421
            );
        }
        assert_eq!(bad("GET / HTTP/1.1\r\n\r\n"), 421);
        let twice = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: evil\r\n\r\n");
        assert_eq!(bad(&twice), 421);
    }

    #[test]
    fn only_get_is_answered_and_only_http_1() {
        assert_eq!(
            bad(&format!("POST /callback HTTP/1.1\r\nHost: {HOST}\r\n\r\n")),
            405
        );
        assert_eq!(
            bad(&format!("GET /callback HTTP/2.0\r\nHost: {HOST}\r\n\r\n")),
            505
        );
        assert_eq!(
            bad(&format!("GET http://a/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n")),
            400
        );
        assert_eq!(bad("\u{16}\u{3}\u{1}\r\n\r\n"), 400);
    }

    #[test]
    fn an_endless_head_is_refused_and_not_collected() {
        assert_eq!(bad(&"a".repeat(LARGEST_HEAD + 1)), 431);
        assert_eq!(bad(&"a".repeat(LARGEST_HEAD)), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_from_outside_can_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes, HOST);
            let mut finished = bytes.clone();
            finished.extend_from_slice(b"\r\n\r\n");
            let _ = read(&finished, HOST);
        }
    }
}
