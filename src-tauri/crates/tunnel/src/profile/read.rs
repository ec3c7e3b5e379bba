//! From text to values, with the line and the key of what is wrong.

use std::ops::Range;

use super::Mistake;
use super::written::Written;

pub(super) fn read(text: &str) -> Result<Written, Vec<Mistake>> {
    let deserializer =
        toml::Deserializer::parse(text).map_err(|error| vec![mistake(text, "", &error)])?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        // A value that remembers its place has a level of its own.
        let path = error
            .path()
            .to_string()
            .replace(".$__serde_spanned_private_value", "");
        vec![mistake(text, &path, error.inner())]
    })
}

fn mistake(text: &str, path: &str, error: &toml::de::Error) -> Mistake {
    let span = error.span().unwrap_or(0..0);
    let message = error.message().trim();
    let key = match (path, message.strip_prefix("unknown field ")) {
        // The path ends at the table; the text at the place is the key.
        ("" | ".", Some(_)) => written_at(text, &span).to_owned(),
        (path, Some(_)) if !path.ends_with(written_at(text, &span)) => {
            format!("{path}.{}", written_at(text, &span))
        }
        ("" | ".", None) => "the file".to_owned(),
        (path, _) => path.to_owned(),
    };
    Mistake {
        line: line(text, span.start),
        key,
        what: message.replace('\n', " "),
    }
}

fn written_at<'a>(text: &'a str, span: &Range<usize>) -> &'a str {
    let at = text.get(span.clone()).unwrap_or("?");
    at.split(['\n', '=', ' '])
        .next()
        .unwrap_or(at)
        .trim_matches('"')
}

/// The line of a byte, counted from 1.
pub(super) fn line(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    1 + before
        .split(|byte| *byte == b'\n')
        .count()
        .saturating_sub(1)
}
