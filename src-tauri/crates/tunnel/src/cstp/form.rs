//! What the gateway asks a person, as a typed dialogue.

use zeroize::Zeroizing;

/// One page of questions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Form {
    /// What the gateway wants to say, for the person, in the gateway's own words.
    pub message: String,
    /// What was wrong with the answer before, in the gateway's own words.
    pub error: Option<String>,
    /// The questions in order. Hidden ones are answered by the dialogue itself.
    pub fields: Vec<Field>,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The gateway's name for it: `username`, `password`, `group_list`, …
    pub name: String,
    /// What stands in front of it on the screen.
    pub label: String,
    pub kind: FieldKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldKind {
    /// Anybody may see it while it is typed. Holds what is filled in already.
    Text { filled: String },
    /// A password or a code.
    Secret,
    /// One of these, the first unless `selected` says otherwise.
    Choice {
        options: Vec<Choice>,
        selected: usize,
    },
    /// Goes back as it came.
    Hidden { value: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub value: String,
    pub label: String,
}

impl Form {
    /// The questions that a person answers.
    pub fn questions(&self) -> impl Iterator<Item = &Field> {
        let asked = |field: &&Field| !matches!(field.kind, FieldKind::Hidden { .. });
        self.fields.iter().filter(asked)
    }
}

/// A person's answers, by field name. They are wiped from memory when dropped.
#[derive(Default, Clone)]
pub struct Answers(Vec<(String, Zeroizing<String>)>);

impl Answers {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with(mut self, field: impl Into<String>, answer: impl Into<String>) -> Self {
        self.0.push((field.into(), Zeroizing::new(answer.into())));
        self
    }

    /// The last answer that was given to this field.
    pub fn get(&self, field: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(name, _)| name == field);
        found.map(|(_, answer)| answer.as_str())
    }
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// The proof that somebody signed in; opens sessions until the gateway forgets it. Wiped from memory when dropped,
/// never written to a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie(Zeroizing<String>);

impl Cookie {
    /// Takes the value of the cookie `webvpn`; `None` when it can't be one (RFC 6265 §4.1.1).
    pub fn new(value: impl Into<String>) -> Option<Self> {
        let value = Zeroizing::new(value.into());
        let fits =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
        (!value.is_empty() && value.len() <= 8192 && value.bytes().all(fits)).then_some(Self(value))
    }

    pub(super) fn value(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cookie(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn answers_and_cookies_never_show_what_they_hold() {
        let answers = Answers::new()
            .with("password", "Secret-1")
            .with("password", "Secret-2");
        assert_eq!(answers.get("password"), Some("Secret-2"));
        let cookie = Cookie::new("Secret-3").unwrap();
        assert!(!format!("{answers:?} {cookie:?}").contains("Secret"));
    }

    #[test]
    fn a_cookie_cannot_smuggle_a_header() {
        assert!(Cookie::new("a\r\nX: y").is_none());
        assert!(Cookie::new("a; b=c").is_none());
        assert!(Cookie::new("").is_none());
    }
}
