//! What of a request may stand in a log.

use http::{HeaderMap, header};
use url::{Host, Url};

use crate::names::is_this_machine;

/// Scheme and class of host: `https://name`, `https://address`, `https://here`. Paths and queries
/// hold rooms, people and tokens; host names tell where somebody works.
pub fn url(url: &Url) -> String {
    let class = match url.host() {
        _ if url.host_str().is_some_and(is_this_machine) => "here",
        Some(Host::Domain(_)) => "name",
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => "address",
        None => "none",
    };
    format!("{}://{class}", url.scheme())
}

/// The headers whose values are harmless, as `name: value`, in the order of the list below.
pub fn headers(headers: &HeaderMap) -> Vec<String> {
    const HARMLESS: [header::HeaderName; 5] = [
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::DATE,
        header::RETRY_AFTER,
    ];
    HARMLESS
        .iter()
        .filter_map(|name| Some((name, headers.get(name)?.to_str().ok()?)))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn only_the_scheme_and_the_class_of_the_host_stay() {
        let of = |text: &str| url(&Url::parse(text).unwrap());
        assert_eq!(
            of("https://chat.hospital.example/rooms?t=1"),
            "https://name"
        );
        assert_eq!(of("https://10.1.2.3/"), "https://address");
        assert_eq!(of("https://localhost:8448/_matrix"), "https://here");
        assert_eq!(of("cordee:/callback?code=secret"), "cordee://none");
    }

    #[test]
    fn a_header_that_is_not_known_to_be_harmless_is_left_out() {
        let mut map = HeaderMap::new();
        map.insert(header::AUTHORIZATION, "Bearer secret".parse().unwrap());
        map.insert(header::SET_COOKIE, "session=secret".parse().unwrap());
        map.insert(header::CONTENT_TYPE, "text/html".parse().unwrap());
        assert_eq!(headers(&map), ["content-type: text/html"]);
    }
}
