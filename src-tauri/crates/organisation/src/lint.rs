//! `cordee lint FILE-OR-DOMAIN`: tells an administrator what is wrong before people find out.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use network::{Clients, Trust};
use serde_json::Value;

use crate::document::{Document, DocumentError};
use crate::{Address, Policy, PolicyPlaces};

mod live;

/// For one run; every request has its own deadline too.
const DEADLINE: Duration = Duration::from_secs(90);
/// A mistyped path must not read a whole disk.
const LARGEST_FILE: u64 = 2 * 1024 * 1024;

/// One thing to know, with its place in the document (a JSON pointer) or the address concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub place: String,
    pub sentence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It does not work.
    Error,
    /// It works, but not well, or not always.
    Warning,
    /// Good to know.
    Note,
}

impl Finding {
    fn new(severity: Severity, place: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self {
            severity,
            place: place.into(),
            sentence: sentence.into(),
        }
    }

    fn error(place: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::new(Severity::Error, place, sentence)
    }

    fn warning(place: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::new(Severity::Warning, place, sentence)
    }

    fn note(place: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::new(Severity::Note, place, sentence)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let place = if self.place.is_empty() {
            "(top)"
        } else {
            &self.place
        };
        write!(f, "{severity:<8} {place:<32} {}", self.sentence)
    }
}

/// Checks a file or a domain and writes what it found. Exit code 0: nothing wrong; 1: errors;
/// 2: nothing could be checked.
///
/// Makes its own runtime: for a program that does nothing else.
pub fn run(argument: &str, out: &mut dyn Write) -> u8 {
    let findings = if Path::new(argument).is_file() {
        match bytes(Path::new(argument)) {
            Ok(bytes) => file(argument, &bytes),
            Err(error) => {
                let _ = writeln!(out, "{argument}: {error}");
                return 2;
            }
        }
    } else {
        let Ok(address) = Address::parse(argument) else {
            let _ = writeln!(
                out,
                "{argument}: neither a file nor a domain. Try: cordee lint hospital.example"
            );
            return 2;
        };
        match live_findings(&address) {
            Ok(findings) => findings,
            Err(error) => {
                let _ = writeln!(out, "{argument}: {error}");
                return 2;
            }
        }
    };
    report(findings, out)
}

/// Findings for a document or a policy; which of the two it is shows in its content.
pub fn file(name: &str, bytes: &[u8]) -> Vec<Finding> {
    if is_policy(name, bytes) {
        policy(bytes)
    } else {
        document(bytes)
    }
}

/// Findings for a document, without looking at the servers it names.
pub fn document(bytes: &[u8]) -> Vec<Finding> {
    match Document::parse(bytes) {
        Err(error) => vec![refused(&error)],
        Ok(document) => {
            let mut findings = Vec::new();
            forgiven(&document.raw, &schema(), "", &mut findings);
            advice(&document, &mut findings);
            findings
        }
    }
}

/// Findings for a policy file.
pub fn policy(bytes: &[u8]) -> Vec<Finding> {
    match Policy::parse(bytes) {
        Err(error) => vec![refused(&error)],
        Ok(policy) if policy.decides_nothing() => {
            vec![Finding::warning("", "The policy decides nothing.")]
        }
        Ok(_) => {
            let mut findings = Vec::new();
            if let Ok(raw) = serde_json::from_slice::<Value>(bytes)
                && let Some(settings) = raw.get("settings")
            {
                let schema = &schema()["properties"]["settings"];
                forgiven(settings, schema, "/settings", &mut findings);
            }
            findings
        }
    }
}

/// Findings for a domain, its document and every service it names.
pub async fn domain(address: &Address, clients: &Clients) -> Vec<Finding> {
    match tokio::time::timeout(DEADLINE, live::domain(address, clients)).await {
        Ok(findings) => findings,
        Err(_) => vec![Finding::error(
            address.domain(),
            "The checks took longer than 90 seconds altogether.",
        )],
    }
}

fn live_findings(address: &Address) -> io::Result<Vec<Finding>> {
    network::install_crypto_provider();
    let mut findings = Vec::new();
    // The same trust as the program itself would have on this device.
    let trust = Policy::load(&PolicyPlaces::of_this_system())
        .and_then(|policy| policy.trust())
        .unwrap_or_else(|error| {
            findings.push(Finding::error("policy", format!("{error}.")));
            Trust::platform()
        });
    let clients = Clients::new(&trust).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    findings.extend(runtime.block_on(domain(address, &clients)));
    Ok(findings)
}

fn report(mut findings: Vec<Finding>, out: &mut dyn Write) -> u8 {
    findings.sort_by_key(|finding| finding.severity);
    for finding in &findings {
        let _ = writeln!(out, "{finding}");
    }
    let count = |severity| {
        findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let _ = match (errors, warnings) {
        (0, 0) => writeln!(out, "All is well."),
        _ => writeln!(out, "{errors} error(s), {warnings} warning(s)."),
    };
    u8::from(errors > 0)
}

fn bytes(file: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(file)?.len() > LARGEST_FILE {
        return Err(io::Error::other("larger than 2 MiB"));
    }
    std::fs::read(file)
}

fn is_policy(name: &str, bytes: &[u8]) -> bool {
    let named = Path::new(name)
        .file_name()
        .is_some_and(|name| name.to_string_lossy().contains("policy"));
    named
        || serde_json::from_slice::<Value>(bytes).is_ok_and(|value| {
            value.get("certificateAuthorities").is_some() || value.get("organisation").is_some()
        })
}

fn refused(error: &DocumentError) -> Finding {
    match error {
        DocumentError::TooLarge => Finding::error("", "Larger than 256 KiB: it will not be read."),
        DocumentError::Bad { place, what } => {
            let mut sentence = what.clone();
            if let Some(first) = sentence.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            Finding::error(place.as_str(), format!("{sentence}."))
        }
        DocumentError::UnsupportedVersion { version } => Finding::error(
            "/version",
            format!("Version {version} is not understood; this program reads version 1."),
        ),
    }
}

/// The published schema: one list of members for people and for this check.
fn schema() -> Value {
    serde_json::from_str(include_str!("../../../../docs/organisation.schema.json"))
        .unwrap_or(Value::Null)
}

/// What the reader forgives and the schema does not: a mistyped name of an optional member, or a
/// fixed setting of the wrong type, changes nothing and says nothing, except here.
fn forgiven(value: &Value, schema: &Value, place: &str, findings: &mut Vec<Finding>) {
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        let allowed: Vec<_> = allowed.iter().map(Value::to_string).collect();
        let sentence = format!("Not one of {}: it is ignored.", allowed.join(", "));
        findings.push(Finding::warning(place, sentence));
    }
    if schema.get("type").is_some_and(|kind| kind == "boolean") && !value.is_boolean() {
        findings.push(Finding::warning(
            place,
            "Neither true nor false: it is ignored.",
        ));
    }
    match value {
        Value::Object(members) => {
            let Some(known) = schema.get("properties").and_then(Value::as_object) else {
                return;
            };
            for (name, member) in members {
                let place = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
                match known.get(name) {
                    Some(schema) => forgiven(member, schema, &place, findings),
                    // Editors find the schema by this name.
                    None if name == "$schema" => {}
                    None => findings.push(Finding::warning(
                        place,
                        "Not a member that is known: it is ignored.",
                    )),
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    forgiven(item, schema, &format!("{place}/{index}"), findings);
                }
            }
        }
        _ => {}
    }
}

fn advice(document: &Document, findings: &mut Vec<Finding>) {
    let mut warn = |place: &str, sentence: &str| findings.push(Finding::warning(place, sentence));
    if document.identity.is_none() && document.chat.is_none() {
        warn("", "Neither identity nor chat: nobody can sign in.");
    }
    if document.help.is_none() {
        warn(
            "/help",
            "Missing: people who can't sign in are not told whom to ask.",
        );
    }
    if let Some(identity) = &document.identity {
        if !identity
            .scopes
            .iter()
            .any(|scope| scope == "offline_access")
        {
            warn(
                "/identity/scopes",
                "Without \"offline_access\": most providers then give no refresh token, and people sign in again when the first token ends.",
            );
        }
        if identity.redirect_ports.len() == 1 && identity.private_scheme.is_none() {
            warn(
                "/identity/redirectPorts",
                "One port and no private scheme: when another program uses that port, nobody can sign in.",
            );
        }
        if document
            .chat
            .as_ref()
            .is_some_and(|chat| chat.identity_provider.is_none())
        {
            warn(
                "/chat/identityProvider",
                "Missing: the homeserver may ask people to choose how to sign in.",
            );
        }
    }
    if document.connectivity_check.is_none() {
        findings.push(Finding::note(
            "/connectivityCheck",
            "Missing: the welcome page of a public network is recognised less surely.",
        ));
    }
}

#[cfg(test)]
mod tests;
