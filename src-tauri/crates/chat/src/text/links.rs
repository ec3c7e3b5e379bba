//! Which addresses may be followed, and finding them in a text.

use url::Url;

use super::names;
use crate::view::Node;

/// What an address in a message leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// http, https or mailto, as it may be handed to the system.
    Web(String),
    /// A person, from a `matrix.to` or `matrix:` address.
    Person(String),
    /// Something we do not follow: other schemes, broken addresses, addresses with a password in them.
    Refused,
}

/// Longest address that is made a link.
const MAX_ADDRESS: usize = 2_048;

/// Sorts an address. `javascript:`, `data:`, `file:` and everything else unknown is refused.
pub fn target(address: &str) -> Target {
    let address = address.trim();
    if address.len() > MAX_ADDRESS || address.chars().any(names::is_trick) {
        return Target::Refused;
    }
    let Ok(url) = Url::parse(address) else {
        return Target::Refused;
    };
    match url.scheme() {
        // A name before an @ makes a foreign host look like a known one.
        "http" | "https" if url.password().is_some() || !url.username().is_empty() => {
            Target::Refused
        }
        "https" if url.host_str() == Some("matrix.to") => match person_of(&url) {
            Some(person) => Target::Person(person),
            None => Target::Web(url.into()),
        },
        "http" | "https" if url.host_str().is_some_and(|host| !host.is_empty()) => {
            Target::Web(url.into())
        }
        "mailto" if url.path().contains('@') => Target::Web(url.into()),
        "matrix" => match url.path().strip_prefix("u/") {
            Some(person) => user_id(&format!("@{person}")).map_or(Target::Refused, Target::Person),
            None => Target::Refused,
        },
        _ => Target::Refused,
    }
}

fn person_of(url: &Url) -> Option<String> {
    let fragment = url.fragment()?.trim_start_matches('/');
    let first = fragment.split(['?', '/']).next()?;
    let decoded = percent_decoded(first)?;
    decoded
        .starts_with('@')
        .then(|| user_id(&decoded))
        .flatten()
}

fn user_id(text: &str) -> Option<String> {
    matrix_sdk::ruma::UserId::parse(text)
        .ok()
        .map(|id| id.to_string())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Adds a piece of text, with the web addresses in it as links.
pub fn push_linked(text: &str, nodes: &mut Vec<Node>) {
    let mut plain = String::new();
    let mut rest = text;
    while !rest.is_empty() && nodes.len() < super::MAX_NODES {
        let Some(start) = address_start(rest) else {
            break;
        };
        let (before, from) = rest.split_at(start);
        let end = address_end(from);
        let (address, after) = from.split_at(end);
        plain.push_str(before);
        let href = if address.starts_with("www.") {
            format!("https://{address}")
        } else {
            address.to_owned()
        };
        match target(&href) {
            Target::Web(href) => {
                push_text(&mut plain, nodes);
                nodes.push(Node::Link {
                    href,
                    children: vec![Node::Text {
                        text: shown(address),
                    }],
                });
            }
            Target::Person(_) | Target::Refused => plain.push_str(address),
        }
        rest = after;
    }
    plain.push_str(rest);
    push_text(&mut plain, nodes);
}

fn push_text(text: &mut String, nodes: &mut Vec<Node>) {
    if !text.is_empty() {
        nodes.push(Node::Text { text: shown(text) });
        text.clear();
    }
}

/// Text of a message as it is drawn: overrides of the writing direction would spill over into what stands
/// beside it, other marks belong to some scripts and stay.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .filter(|letter| {
            !matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
                && (!letter.is_control() || matches!(letter, '\n' | '\t'))
        })
        .collect()
}

/// Where the next address starts: `http://`, `https://` or `www.` at the start of a word.
fn address_start(text: &str) -> Option<usize> {
    let mut before = None;
    for (at, letter) in text.char_indices() {
        let starts_word = before.is_none_or(|before: char| !before.is_alphanumeric());
        if starts_word && matches!(letter, 'h' | 'w') {
            let here = &text[at..];
            if ["https://", "http://", "www."]
                .iter()
                .any(|start| here.starts_with(start))
            {
                return Some(at);
            }
        }
        before = Some(letter);
    }
    None
}

/// Where the address ends: at a space or quote, without the full stop or bracket of the sentence around it.
fn address_end(text: &str) -> usize {
    let mut end = text
        .find(|letter: char| {
            letter.is_whitespace()
                || matches!(letter, '<' | '>' | '"' | '«' | '»' | '“' | '”' | '`')
                || names::is_trick(letter)
        })
        .unwrap_or(text.len());
    if end > MAX_ADDRESS {
        return end;
    }
    while let Some(last) = text[..end].chars().next_back() {
        let closes =
            last == ')' && text[..end].matches('(').count() < text[..end].matches(')').count();
        if closes
            || matches!(
                last,
                '.' | ',' | ';' | ':' | '!' | '?' | '\'' | ']' | '}' | '…' | '*' | '_'
            )
        {
            end -= last.len_utf8();
        } else {
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn linked(text: &str) -> Vec<Node> {
        let mut nodes = Vec::new();
        push_linked(text, &mut nodes);
        nodes
    }

    #[test]
    fn addresses_that_run_something_are_refused() {
        for address in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            " javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "vbscript:x",
            "//host/x",
            "cordee:x",
        ] {
            assert_eq!(target(address), Target::Refused, "{address}");
        }
    }

    #[test]
    fn an_address_with_a_name_before_the_host_is_refused() {
        assert_eq!(
            target("https://saint-elme.example@evil.example/"),
            Target::Refused
        );
    }

    #[test]
    fn an_address_of_a_person_is_a_mention() {
        let anne = Target::Person("@anne:saint-elme.example".to_owned());
        assert_eq!(target("https://matrix.to/#/@anne:saint-elme.example"), anne);
        assert_eq!(
            target("https://matrix.to/#/%40anne%3Asaint-elme.example?via=x"),
            anne
        );
        assert_eq!(target("matrix:u/anne:saint-elme.example"), anne);
    }

    #[test]
    fn the_full_stop_after_an_address_belongs_to_the_sentence() {
        let nodes = linked("Voir (https://example.org/a_(b)) et www.example.org.");
        let hrefs: Vec<_> = nodes
            .iter()
            .filter_map(|node| match node {
                Node::Link { href, .. } => Some(href.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(
            hrefs,
            ["https://example.org/a_(b)", "https://www.example.org/"]
        );
    }

    #[test]
    fn a_text_made_of_addresses_and_brackets_is_read_in_one_pass() {
        let begun = std::time::Instant::now();
        linked(&"www.a ".repeat(11_000));
        linked(&format!("http://a{}", ")".repeat(64_000)));
        linked(&"h".repeat(64_000));
        assert!(begun.elapsed() < std::time::Duration::from_secs(2));
    }

    #[test]
    fn text_without_an_address_stays_as_it_is() {
        assert_eq!(
            linked("xhttp://y"),
            [Node::Text {
                text: "xhttp://y".to_owned()
            }]
        );
    }
}
