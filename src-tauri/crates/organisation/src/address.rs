//! What a person types to find the organisation.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::discover::DiscoverError;

/// A host, a port when one was typed, and the name before the `@` of a mail address.
///
/// Hosts are ASCII: `hôpital.example` becomes `xn--hpital-ixa.example`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

/// RFC 5321 §4.5.3.1: 64 for the name, 255 for the domain, and `https://` and a port around them.
const LONGEST: usize = 512;

impl Address {
    /// Accepts a work e-mail address, a domain, `host:port`, and an `https://` address.
    pub fn parse(typed: &str) -> Result<Self, DiscoverError> {
        let typed = typed.trim();
        if typed.is_empty() || typed.len() > LONGEST || typed.contains(char::is_control) {
            return Err(DiscoverError::BadAddress);
        }
        let rest = match typed.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => {
                // Only the host counts: people paste the address of a page.
                rest.split(['/', '?', '#']).next().unwrap_or(rest)
            }
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => {
                return Err(DiscoverError::Insecure);
            }
            Some(_) => return Err(DiscoverError::BadAddress),
            None => typed.strip_suffix('/').unwrap_or(typed),
        };
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(mailbox(user)?), place),
            None => (None, rest),
        };
        let (host, port) = host_and_port(place)?;
        Ok(Self { user, host, port })
    }

    /// The name before the `@`, as typed.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The host without the port, in ASCII; IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Host and, when one was typed, port: what the person recognises as the organisation.
    pub fn domain(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// `https://DOMAIN/.well-known/cordee`
    pub fn document_url(&self) -> Option<Url> {
        self.https("/.well-known/cordee")
    }

    /// An address on the organisation's domain; `path` begins with `/`.
    pub(crate) fn https(&self, path: &str) -> Option<Url> {
        Url::parse(&format!("https://{}{path}", self.domain())).ok()
    }

    /// `https://DOMAIN/.well-known/webfinger` for the person, or for the domain itself (RFC 7033).
    pub(crate) fn webfinger_url(&self) -> Option<Url> {
        let mut url = self.https("/.well-known/webfinger")?;
        let resource = match &self.user {
            Some(user) => format!("acct:{user}@{}", self.domain()),
            None => format!("https://{}", self.domain()),
        };
        url.query_pairs_mut()
            .append_pair("resource", &resource)
            .append_pair("rel", crate::fallback::OIDC_ISSUER);
        Some(url)
    }

    /// The same organisation without the person, which is what is kept.
    #[must_use]
    pub fn without_user(&self) -> Self {
        Self {
            user: None,
            ..self.clone()
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.domain())
    }
}

impl TryFrom<String> for Address {
    type Error = DiscoverError;

    fn try_from(text: String) -> Result<Self, DiscoverError> {
        Self::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

fn mailbox(user: &str) -> Result<String, DiscoverError> {
    let strange = |c: char| c.is_whitespace() || "@:/\\<>()[],;\"".contains(c);
    if user.is_empty() || user.contains(strange) {
        return Err(DiscoverError::BadAddress);
    }
    Ok(user.to_owned())
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), DiscoverError> {
    // An IPv6 address has colons of its own.
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or(DiscoverError::BadAddress)?;
            (host, Some(port))
        }
        _ => (place, None),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let host = ascii_host(host).ok_or(DiscoverError::BadAddress)?;
    // One word alone is somebody's name typed where the address belongs.
    let lone = !host.contains(['.', ':']) && host != "localhost";
    if lone {
        return Err(DiscoverError::BadAddress);
    }
    Ok((host, port))
}

/// A host name in ASCII or an IP address (IPv6 in brackets); `None` when it can't be one
/// (RFC 1123 §2.1).
pub(crate) fn ascii_host(text: &str) -> Option<String> {
    let host = Host::parse(text).ok()?;
    if let Host::Domain(name) = &host {
        let good_label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if name.len() > 253 || !name.split('.').all(good_label) {
            return None;
        }
    }
    Some(host.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_type_is_understood() {
        for (typed, domain, user) in [
            (
                "nathalie@saint-elme.example",
                "saint-elme.example",
                Some("nathalie"),
            ),
            ("  Saint-Elme.EXAMPLE \n", "saint-elme.example", None),
            ("localhost:8443", "localhost:8443", None),
            ("a.b@localhost:8443", "localhost:8443", Some("a.b")),
            (
                "https://saint-elme.example/accueil?x=1#y",
                "saint-elme.example",
                None,
            ),
            (
                "HTTPS://saint-elme.example:444",
                "saint-elme.example:444",
                None,
            ),
            ("saint-elme.example.", "saint-elme.example", None),
            ("saint-elme.example/", "saint-elme.example", None),
            ("hôpital.example", "xn--hpital-ixa.example", None),
            (
                "élise@hôpital.example",
                "xn--hpital-ixa.example",
                Some("élise"),
            ),
            ("127.0.0.1:8443", "127.0.0.1:8443", None),
            ("[::1]:8443", "[::1]:8443", None),
            ("[::1]", "[::1]", None),
        ] {
            let address = Address::parse(typed).unwrap_or_else(|e| panic!("{typed}: {e}"));
            assert_eq!(address.domain(), domain, "{typed}");
            assert_eq!(address.user(), user, "{typed}");
            assert_eq!(
                address.document_url().unwrap().as_str(),
                format!("https://{domain}/.well-known/cordee")
            );
        }
    }

    #[test]
    fn what_can_not_be_an_address_is_refused() {
        let long = format!("{}.example", "a".repeat(600));
        let label = format!("{}.example", "a".repeat(64));
        for typed in [
            "",
            "   ",
            "dupont",
            "@saint-elme.example",
            "a b@saint-elme.example",
            "saint elme.example",
            "saint-elme.example:0",
            "saint-elme.example:99999",
            "saint-elme.example:x",
            "saint..elme.example",
            "-saint.example",
            "ftp://saint-elme.example",
            "a@b@saint-elme.example",
            "saint-elme.example/page",
            "nathalie@",
            "saint\u{0}elme.example",
            "<script>.example",
            &long,
            &label,
        ] {
            assert_eq!(
                Address::parse(typed),
                Err(DiscoverError::BadAddress),
                "{typed}"
            );
        }
    }

    #[test]
    fn an_address_without_encryption_is_refused_as_such() {
        assert_eq!(
            Address::parse("http://saint-elme.example"),
            Err(DiscoverError::Insecure)
        );
    }

    #[test]
    fn an_address_survives_being_written_and_read() {
        for typed in [
            "nathalie@saint-elme.example:444",
            "[::1]:8443",
            "saint-elme.example",
        ] {
            let address = Address::parse(typed).unwrap();
            assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_address_reader_panic(text in any::<String>()) {
            if let Ok(address) = Address::parse(&text) {
                prop_assert!(address.document_url().is_some(), "{}", address);
                prop_assert!(address.webfinger_url().is_some(), "{}", address);
            }
        }

        #[test]
        fn no_almost_address_makes_it_panic(text in "[a-zé@:.\\[\\]/0-9 %-]{0,40}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert!(address.document_url().is_some(), "{}", address);
            }
        }
    }
}
