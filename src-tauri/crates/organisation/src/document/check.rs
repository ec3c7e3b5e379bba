//! What types can't say: addresses without encryption, impossible ports, names made to deceive.

use std::collections::BTreeSet;

use url::Url;

use super::read::{DocumentError, Place};
use super::{Chat, ConnectivityCheck, Document, Expected, Identity, Managed, ServiceEntry};

const LONGEST_NAME: usize = 120;
const LONGEST_LINE: usize = 500;
const MOST_SERVICES: usize = 64;
const MOST_DOMAINS: usize = 1000;
const MOST_PORTS: usize = 16;

type Checked = Result<(), DocumentError>;

pub(super) fn document(document: &Document) -> Checked {
    let top = Place::default();
    shown(&document.name, LONGEST_NAME, &top.below("name"))?;
    if let Some(domain) = &document.domain {
        domain_people_type(domain, &top.below("domain"))?;
    }
    if let Some(help) = &document.help {
        shown(help, LONGEST_LINE, &top.below("help"))?;
    }
    if let Some(accent) = &document.accent {
        colour(accent, &top.below("accent"))?;
    }
    if let Some(found) = &document.identity {
        identity(found, &top.below("identity"))?;
    }
    if let Some(found) = &document.chat {
        chat(found, &top.below("chat"))?;
    }
    services(&document.services, &top.below("services"))?;
    domains(&document.internal_domains, &top.below("internalDomains"))?;
    if let Some(found) = &document.connectivity_check {
        connectivity_check(found, &top.below("connectivityCheck"))?;
    }
    for (field, managed) in &document.settings {
        setting(managed, &top.below("settings").below(field))?;
    }
    Ok(())
}

pub(crate) fn setting(managed: &Managed, place: &Place) -> Checked {
    shown(&managed.reason, LONGEST_LINE, &place.below("reason"))
}

fn identity(identity: &Identity, place: &Place) -> Checked {
    issuer(&identity.issuer, &place.below("issuer"))?;
    shown(&identity.client_id, LONGEST_NAME, &place.below("clientId"))?;
    let ports = place.below("redirectPorts");
    if identity.redirect_ports.len() > MOST_PORTS {
        return bad(&ports, "more than 16 ports");
    }
    for (index, port) in identity.redirect_ports.iter().enumerate() {
        if *port < 1024 {
            return bad(&ports.below(index), "not between 1024 and 65535");
        }
    }
    if identity.redirect_ports.is_empty() && identity.private_scheme.is_none() {
        return bad(&ports, "empty, and there is no privateScheme either");
    }
    if let Some(scheme) = &identity.private_scheme {
        private_scheme(scheme, &place.below("privateScheme"))?;
    }
    let scopes = place.below("scopes");
    for (index, scope) in identity.scopes.iter().enumerate() {
        // RFC 6749 §3.3
        let allowed = |b: u8| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        if scope.is_empty() || !scope.bytes().all(allowed) {
            return bad(&scopes.below(index), "not a scope");
        }
    }
    if !identity.scopes.iter().any(|scope| scope == "openid") {
        return bad(&scopes, "without \"openid\"");
    }
    Ok(())
}

fn issuer(issuer: &str, place: &Place) -> Checked {
    let Ok(url) = Url::parse(issuer) else {
        return bad(place, "not an https address");
    };
    https(&url, place)?;
    if url.query().is_some() || url.fragment().is_some() {
        return bad(place, "has a query or a fragment");
    }
    Ok(())
}

fn private_scheme(scheme: &str, place: &Place) -> Checked {
    let mut bytes = scheme.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
    let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    if !first || !rest || scheme.len() > 64 {
        return bad(place, "not a scheme in lower case");
    }
    if ["http", "https", "file", "data", "javascript", "mailto"].contains(&scheme) {
        return bad(place, "a scheme that belongs to others");
    }
    Ok(())
}

fn chat(chat: &Chat, place: &Place) -> Checked {
    https(&chat.homeserver, &place.below("homeserver"))?;
    if let Some(provider) = &chat.identity_provider {
        // MSC2858 allows these, and they go into a path.
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if provider.is_empty() || provider.len() > 255 || !provider.bytes().all(allowed) {
            return bad(&place.below("identityProvider"), "not a provider's id");
        }
    }
    Ok(())
}

fn services(services: &[ServiceEntry], place: &Place) -> Checked {
    if services.len() > MOST_SERVICES {
        return bad(place, "more than 64 services");
    }
    let mut ids = BTreeSet::from(["organisation", "signIn", "chat"]);
    for (index, service) in services.iter().enumerate() {
        let place = place.below(index);
        shown(&service.id, LONGEST_NAME, &place.below("id"))?;
        if !ids.insert(&service.id) {
            return bad(&place.below("id"), "used twice, or one of Cordée's own");
        }
        if let Some(name) = &service.name {
            shown(name, LONGEST_NAME, &place.below("name"))?;
        }
        https(&service.url, &place.below("url"))?;
        expected(&service.expect, &place.below("expect"))?;
    }
    Ok(())
}

fn expected(expected: &Expected, place: &Place) -> Checked {
    match (expected.status, &expected.json_field) {
        (Some(_), Some(_)) => bad(place, "both status and jsonField"),
        (Some(code), None) => status(code, &place.below("status")),
        (None, Some(field)) => shown(field, LONGEST_NAME, &place.below("jsonField")),
        (None, None) => Ok(()),
    }
}

fn connectivity_check(check: &ConnectivityCheck, place: &Place) -> Checked {
    if check.url.scheme() != "http" {
        return bad(
            &place.below("url"),
            "not http: a portal shows itself only without encryption",
        );
    }
    without_credentials(&check.url, &place.below("url"))?;
    status(check.status, &place.below("status"))
}

fn domains(domains: &[String], place: &Place) -> Checked {
    if domains.len() > MOST_DOMAINS {
        return bad(place, "more than 1000 domains");
    }
    for (index, domain) in domains.iter().enumerate() {
        host(
            domain.strip_prefix("*.").unwrap_or(domain),
            &place.below(index),
        )?;
    }
    Ok(())
}

fn domain_people_type(text: &str, place: &Place) -> Checked {
    match crate::Address::parse(text) {
        Ok(address) if address.user().is_none() && !text.contains('/') => Ok(()),
        _ => bad(place, "not a domain"),
    }
}

fn host(text: &str, place: &Place) -> Checked {
    match crate::address::ascii_host(text) {
        Some(_) => Ok(()),
        None => bad(place, "not a host name"),
    }
}

fn https(url: &Url, place: &Place) -> Checked {
    if url.scheme() != "https" || url.host().is_none() {
        return bad(place, "not an https address");
    }
    without_credentials(url, place)
}

fn without_credentials(url: &Url, place: &Place) -> Checked {
    if !url.username().is_empty() || url.password().is_some() {
        return bad(place, "holds a user name or a password");
    }
    Ok(())
}

fn status(code: u16, place: &Place) -> Checked {
    if (100..600).contains(&code) {
        Ok(())
    } else {
        bad(place, "not an HTTP status")
    }
}

fn colour(text: &str, place: &Place) -> Checked {
    let digits = text.strip_prefix('#').unwrap_or_default();
    if digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(())
    } else {
        bad(place, "not a colour like #0b6e75")
    }
}

/// A line that people see: not empty, not endless, and nothing in it that hides or turns text
/// around (control characters, UAX #9 overrides and isolates).
fn shown(text: &str, longest: usize, place: &Place) -> Checked {
    let deceiving = |c: char| {
        c.is_control()
            || matches!(c, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    };
    if text.trim().is_empty() {
        bad(place, "empty")
    } else if text.chars().count() > longest {
        bad(place, format!("longer than {longest} characters"))
    } else if text.contains(deceiving) {
        bad(place, "holds control characters")
    } else {
        Ok(())
    }
}

fn bad(place: &Place, what: impl Into<String>) -> Checked {
    Err(DocumentError::at(place.clone(), what))
}
