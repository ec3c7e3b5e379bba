//! The XML of the sign-in: what the gateway asks ([`parse`]) and what we say ([`begin`], [`answer`]).
//!
//! Source: draft-mavrogiannopoulos-openconnect-04 §2.1, and what ocserv and Cisco's gateways send. Any bytes are
//! accepted; what is not understood is an error with its reason, never a panic.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::escape::{escape, resolve_predefined_entity};
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::form::{Answers, Choice, Field, FieldKind, Form};

/// Longest answer that is read, bytes.
pub const LONGEST: usize = 256 * 1024;
const MOST_FIELDS: usize = 32;
const MOST_CHOICES: usize = 512;

/// What the gateway said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It asks for this.
    Asks(Asked),
    /// Signed in. Cisco's gateways put the cookie's value here, ocserv into `Set-Cookie`.
    Complete { token: Option<String> },
    /// It wants a certificate of the device. We have none and may say so.
    WantsCertificate,
}

/// A form, and what has to come back with its answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    pub form: Form,
    /// Path that the answers go to; empty: where the question came from.
    pub action: String,
    /// An element that goes back as it came, with its tags.
    pub opaque: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    #[error("it is no XML")]
    Malformed,
    #[error("it is too long")]
    TooLong,
    #[error("it has too many fields")]
    TooManyFields,
    #[error("it is no answer to a sign-in")]
    Unexpected,
}

/// Reads one answer of the gateway.
pub fn parse(text: &str) -> Result<Said, XmlError> {
    if text.len() > LONGEST {
        return Err(XmlError::TooLong);
    }
    let mut page = Page::default();
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    loop {
        let before = position(&reader);
        match reader.read_event().map_err(|_| XmlError::Malformed)? {
            Event::Start(tag) if tag.local_name().as_ref() == "opaque" => {
                let empty = text
                    .get(before..position(&reader))
                    .is_some_and(|raw| raw.ends_with("/>"));
                reader
                    .read_to_end(tag.name())
                    .map_err(|_| XmlError::Malformed)?;
                let end = position(&reader);
                page.asked.opaque = text.get(before..end).filter(|_| !empty).map(str::to_owned);
            }
            Event::Start(tag) => page.open(&tag)?,
            Event::End(tag) => page.close(tag.local_name().as_ref()),
            Event::Text(words) => page.text.push_str(&words.xml10_content()),
            Event::CData(words) => page.text.push_str(&words.xml10_content()),
            Event::GeneralRef(entity) => {
                let sign = entity.resolve_char_ref().map_err(|_| XmlError::Malformed)?;
                match sign {
                    Some(sign) => page.text.push(sign),
                    None => page.text.push_str(
                        resolve_predefined_entity(&entity.xml10_content()).unwrap_or_default(),
                    ),
                }
            }
            // A document type can hold nothing that we would want to expand.
            Event::DocType(_) => return Err(XmlError::Unexpected),
            Event::Eof => break,
            _ => {}
        }
    }
    page.said()
}

/// Where the reader is; texts of this length fit into memory.
fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// What was read so far.
#[derive(Default)]
struct Page {
    kind: String,
    seen_root: bool,
    asked: Asked,
    id: String,
    token: Option<String>,
    wants_certificate: bool,
    /// Texts and values that `%s` stands for, of the element that is open.
    text: String,
    parameters: Vec<String>,
}

impl Page {
    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), XmlError> {
        let attributes = Attributes::of(tag)?;
        self.text.clear();
        match tag.local_name().as_ref() {
            "config-auth" => {
                self.seen_root = true;
                self.kind = attributes.get("type");
            }
            // Older gateways send the form without what is around it.
            "auth" => {
                self.seen_root = true;
                self.id = attributes.get("id");
            }
            "message" | "error" => {
                self.parameters = vec![attributes.get("param1"), attributes.get("param2")];
            }
            "client-cert-request" => self.wants_certificate = true,
            "form" => self.asked.action = attributes.get("action"),
            "input" | "select" => self.field(tag.local_name().as_ref(), &attributes)?,
            "option" => self.option(&attributes)?,
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, name: &str) {
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        match name {
            "message" if !text.is_empty() => {
                let message = &mut self.asked.form.message;
                if !message.is_empty() {
                    message.push('\n');
                }
                message.push_str(&filled(text, &self.parameters));
            }
            "error" if !text.is_empty() => {
                self.asked.form.error = Some(filled(text, &self.parameters));
            }
            "session-token" if !text.is_empty() => self.token = Some(text.to_owned()),
            "option" => {
                if let Some(Field {
                    kind: FieldKind::Choice { options, .. },
                    ..
                }) = self.asked.form.fields.last_mut()
                    && let Some(last) = options.last_mut()
                {
                    text.clone_into(&mut last.label);
                    if last.value.is_empty() {
                        text.clone_into(&mut last.value);
                    }
                }
            }
            _ => {}
        }
    }

    fn field(&mut self, element: &str, attributes: &Attributes) -> Result<(), XmlError> {
        let kind = match (element, attributes.get("type").as_str()) {
            ("select", _) => FieldKind::Choice {
                options: Vec::new(),
                selected: 0,
            },
            (_, "hidden") => FieldKind::Hidden {
                value: attributes.get("value"),
            },
            (_, "password") => FieldKind::Secret,
            (_, "submit" | "reset" | "button") => return Ok(()),
            _ => FieldKind::Text {
                filled: attributes.get("value"),
            },
        };
        let name = attributes.get("name");
        if name.is_empty() {
            return Ok(());
        }
        if self.asked.form.fields.len() >= MOST_FIELDS {
            return Err(XmlError::TooManyFields);
        }
        let label = attributes.get("label");
        self.asked.form.fields.push(Field { name, label, kind });
        Ok(())
    }

    fn option(&mut self, attributes: &Attributes) -> Result<(), XmlError> {
        let Some(Field {
            kind: FieldKind::Choice { options, selected },
            ..
        }) = self.asked.form.fields.last_mut()
        else {
            return Ok(());
        };
        if options.len() >= MOST_CHOICES {
            return Err(XmlError::TooManyFields);
        }
        if matches!(attributes.get("selected").as_str(), "true" | "selected") {
            *selected = options.len();
        }
        options.push(Choice {
            value: attributes.get("value"),
            label: String::new(),
        });
        Ok(())
    }

    fn said(self) -> Result<Said, XmlError> {
        if self.kind == "complete" || self.id == "success" {
            return Ok(Said::Complete { token: self.token });
        }
        if self.wants_certificate && self.asked.form.fields.is_empty() {
            return Ok(Said::WantsCertificate);
        }
        let asks = self.seen_root && matches!(self.kind.as_str(), "auth-request" | "");
        // A page without a question and without a word of refusal leads nowhere.
        if !asks || (self.asked.form.fields.is_empty() && self.asked.form.error.is_none()) {
            return Err(XmlError::Unexpected);
        }
        Ok(Said::Asks(self.asked))
    }
}

/// The attributes of one tag, unescaped.
struct Attributes(Vec<(String, String)>);

impl Attributes {
    fn of(tag: &BytesStart<'_>) -> Result<Self, XmlError> {
        let read = tag.attributes().map(|attribute| {
            let attribute = attribute.map_err(|_| XmlError::Malformed)?;
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|_| XmlError::Malformed)?;
            Ok((
                attribute.key.local_name().as_ref().to_owned(),
                value.into_owned(),
            ))
        });
        Ok(Self(read.collect::<Result<_, XmlError>>()?))
    }

    fn get(&self, name: &str) -> String {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

/// Puts the parameters in the places of `%s`.
fn filled(text: &str, parameters: &[String]) -> String {
    let mut text = Cow::Borrowed(text);
    for parameter in parameters.iter().filter(|parameter| !parameter.is_empty()) {
        text = Cow::Owned(text.replacen("%s", parameter, 1));
    }
    text.into_owned()
}

/// The first thing that we say: who we are, and for which address and group.
pub fn begin(address: &str, group: Option<&str>, no_certificate: bool) -> String {
    let group = group.map_or_else(String::new, |group| {
        format!("<group-select>{}</group-select>", escape(group))
    });
    let fail = if no_certificate {
        "<client-cert-fail/>"
    } else {
        ""
    };
    format!(
        r#"{HEAD}<config-auth client="vpn" type="init"{VERSION}{group}<group-access>{}</group-access>{fail}</config-auth>"#,
        escape(address)
    )
}

/// The answers to a form. Fields without an answer go back with what was filled in.
pub fn answer(asked: &Asked, answers: &Answers) -> String {
    let mut group = String::new();
    let mut auth = String::new();
    for field in &asked.form.fields {
        let given = answers.get(&field.name);
        let value = match &field.kind {
            FieldKind::Hidden { value } => value.as_str(),
            FieldKind::Text { filled } => given.unwrap_or(filled),
            FieldKind::Secret => given.unwrap_or_default(),
            FieldKind::Choice { options, selected } => given
                .or_else(|| options.get(*selected).map(|choice| choice.value.as_str()))
                .unwrap_or_default(),
        };
        let value = escape(value);
        match (&field.kind, field.name.as_str()) {
            (FieldKind::Choice { .. }, "group_list") => {
                group = format!("<group-select>{value}</group-select>");
            }
            // Cisco's gateways read these under another name, and never the repetition of a new password.
            (_, "answer" | "whichpin" | "new_password") => {
                auth.push_str(&["<password>", &value, "</password>"].concat());
            }
            (_, "verify_pin" | "verify_password") => {}
            (_, name) if is_name(name) => {
                auth.push_str(&["<", name, ">", &value, "</", name, ">"].concat());
            }
            _ => {}
        }
    }
    let opaque = asked.opaque.as_deref().unwrap_or_default();
    format!(
        r#"{HEAD}<config-auth client="vpn" type="auth-reply"{VERSION}{opaque}<auth>{auth}</auth>{group}</config-auth>"#
    )
}

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
const VERSION: &str = concat!(
    r#"><version who="vpn">"#,
    env!("CARGO_PKG_VERSION"),
    "</version><device-id>",
    "linux-64",
    "</device-id>"
);

/// True when a field's name can be an element's name: it comes from outside.
fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.'))
}

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
