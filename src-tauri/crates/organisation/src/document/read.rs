//! Bytes to a checked document.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::{Document, LARGEST, VERSION};

/// Where in a document, as a JSON pointer (RFC 6901); the whole document is the empty text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("larger than {LARGEST} bytes")]
    TooLarge,
    /// Not JSON, a wrong type, a missing or an impossible value. `what` is in English, for
    /// administrators.
    #[error("at {place}: {what}")]
    Bad { place: Place, what: String },
    #[error("version {version} is not understood")]
    UnsupportedVersion { version: u64 },
}

impl DocumentError {
    pub(crate) fn at(place: Place, what: impl Into<String>) -> Self {
        Self::Bad {
            place,
            what: what.into(),
        }
    }
}

impl Place {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The place of member `name` (or item `name`) below this one.
    #[must_use]
    pub fn below(&self, name: impl fmt::Display) -> Self {
        let name = name.to_string().replace('~', "~0").replace('/', "~1");
        Self(format!("{}/{name}", self.0))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "the top"
        } else {
            &self.0
        })
    }
}

pub(super) fn document(bytes: &[u8]) -> Result<Document, DocumentError> {
    if bytes.len() > LARGEST {
        return Err(DocumentError::TooLarge);
    }
    let raw = json(bytes)?;
    version(&raw)?;
    let mut document: Document = typed(&raw)?;
    super::check::document(&document)?;
    document.raw = raw;
    Ok(document)
}

/// JSON whose top is an object.
pub(crate) fn json(bytes: &[u8]) -> Result<Value, DocumentError> {
    // Editors on Windows put a byte order mark first.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        DocumentError::at(
            Place::default(),
            format!(
                "not JSON (line {}, column {})",
                error.line(),
                error.column()
            ),
        )
    })?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(DocumentError::at(Place::default(), "not an object"))
    }
}

pub(crate) fn version(raw: &Value) -> Result<(), DocumentError> {
    let place = Place::default().below("version");
    match raw.get("version") {
        None => Err(DocumentError::at(place, "missing")),
        Some(value) => match value.as_u64() {
            Some(version) if version == u64::from(VERSION) => Ok(()),
            Some(version) if version > 0 => Err(DocumentError::UnsupportedVersion { version }),
            _ => Err(DocumentError::at(place, "not a whole number above 0")),
        },
    }
}

/// The value as a `T`, or the place that does not fit.
pub(crate) fn typed<T: DeserializeOwned>(raw: &Value) -> Result<T, DocumentError> {
    serde_path_to_error::deserialize(raw).map_err(|error| {
        let mut place = Place::default();
        for segment in error.path() {
            match segment {
                Segment::Seq { index } => place = place.below(index),
                Segment::Map { key } => place = place.below(key),
                Segment::Enum { variant } => place = place.below(variant),
                Segment::Unknown => {}
            }
        }
        DocumentError::at(place, error.inner().to_string())
    })
}
