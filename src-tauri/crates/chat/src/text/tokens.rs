//! HTML cut into tags and text, without judging them. Linear in the input, no recursion, never fails.

pub(super) enum Token<'a> {
    Text(&'a str),
    Open {
        name: String,
        attributes: &'a str,
        closed: bool,
    },
    Close {
        name: String,
    },
    Nothing,
}

/// Splits off the next token. An unfinished tag at the end is dropped.
pub(super) fn next_token(html: &str) -> (Token<'_>, &str) {
    let Some(inner) = html.strip_prefix('<') else {
        let end = html.find('<').unwrap_or(html.len());
        return (Token::Text(&html[..end]), &html[end..]);
    };
    if let Some(comment) = inner.strip_prefix("!--") {
        return (
            Token::Nothing,
            comment.find("-->").map_or("", |end| &comment[end + 3..]),
        );
    }
    let Some(first) = inner.chars().next() else {
        return (Token::Text(html), "");
    };
    if !(first.is_ascii_alphabetic() || matches!(first, '/' | '!' | '?')) {
        // A lonely "<", as in "3 < 4".
        let end = inner.find('<').map_or(html.len(), |end| end + 1);
        return (Token::Text(&html[..end]), &html[end..]);
    }
    let Some(end) = tag_end(inner) else {
        return (Token::Nothing, "");
    };
    let (tag, after) = (&inner[..end], &inner[end + 1..]);
    if matches!(first, '!' | '?') {
        return (Token::Nothing, after);
    }
    if let Some(name) = tag.strip_prefix('/') {
        return (
            Token::Close {
                name: tag_name(name).to_ascii_lowercase(),
            },
            after,
        );
    }
    let name = tag_name(tag);
    let token = Token::Open {
        name: name.to_ascii_lowercase(),
        attributes: &tag[name.len()..],
        closed: tag.ends_with('/'),
    };
    (token, after)
}

/// The place of the `>` that ends a tag; one inside quotes does not.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') if tag[..at].trim_end().ends_with('=') => quote = Some(byte),
            (Some(open), byte) if byte == open => quote = None,
            _ => {}
        }
    }
    None
}

fn tag_name(tag: &str) -> &str {
    let end = tag
        .find(|letter: char| letter.is_whitespace() || matches!(letter, '/' | '>'))
        .unwrap_or(tag.len());
    &tag[..end]
}

/// The value of one attribute, its entities resolved.
pub(super) fn attribute(attributes: &str, wanted: &str) -> Option<String> {
    let mut rest = attributes;
    loop {
        rest = rest.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '/');
        let end = rest
            .find(|letter: char| letter.is_whitespace() || letter == '=')
            .unwrap_or(rest.len());
        if rest.is_empty() {
            return None;
        }
        let name = &rest[..end];
        rest = rest[end..].trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            (value, rest) = match after.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    let body = &after[1..];
                    let end = body.find(quote).unwrap_or(body.len());
                    (&body[..end], body.get(end + 1..).unwrap_or_default())
                }
                _ => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
            };
        }
        if name.eq_ignore_ascii_case(wanted) {
            return Some(entities(value));
        }
        if end == 0 {
            rest = rest
                .get(rest.chars().next().map_or(0, char::len_utf8)..)
                .unwrap_or_default();
        }
    }
}

/// Resolves the entities a serialiser writes, and numbers.
pub(super) fn entities(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let mut clear = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        clear.push_str(&rest[..at]);
        let from = &rest[at + 1..];
        let end = from.bytes().take(12).position(|byte| byte == b';');
        let letter = end.and_then(|end| entity(&from[..end]));
        if let (Some(letter), Some(end)) = (letter, end) {
            clear.push(letter);
            rest = &from[end + 1..];
        } else {
            clear.push('&');
            rest = from;
        }
    }
    clear.push_str(rest);
    clear
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "hellip" => '…',
        "laquo" => '«',
        "raquo" => '»',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|letter| *letter != '\0')?
        }
    })
}
