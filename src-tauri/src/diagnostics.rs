//! What a person may hand to the support desk: the state of things, and nothing personal.

use std::{fmt::Write as _, io::Read as _, path::Path};

use network::{Connection, ServiceState};

/// Last lines of the log that go along, in bytes.
const LOG_TAIL: u64 = 16 * 1024;

/// Everything the text is made of. Host names of services are the organisation's, not the person's.
pub struct Facts<'a> {
    pub connection: &'a Connection,
    pub chat: Option<&'a chat::ChatStatus>,
    pub language: &'a str,
    pub webview: &'a str,
    pub logs: &'a Path,
}

/// The text that "copy diagnostics" puts on the clipboard.
pub fn text(facts: &Facts<'_>) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "Cordée {} ({})",
        env!("CARGO_PKG_VERSION"),
        env!("CORDEE_COMMIT")
    );
    let _ = writeln!(
        out,
        "{} {} · webview {} · {}",
        std::env::consts::OS,
        std::env::consts::ARCH,
        facts.webview,
        facts.language
    );
    let _ = writeln!(out, "connection: {:?}", facts.connection.overall);
    for service in &facts.connection.services {
        let state = match &service.status {
            ServiceState::Checking => "checking".to_owned(),
            ServiceState::Reachable { latency_ms } => format!("reachable in {latency_ms:.0} ms"),
            ServiceState::Unreachable { reason, .. } => format!("unreachable: {reason:?}"),
            ServiceState::WrongCertificate { .. } => "wrong certificate".to_owned(),
        };
        let _ = writeln!(out, "  {:?} at {}: {state}", service.kind, service.host);
    }
    if let Some(chat) = facts.chat {
        let problem = chat
            .problem
            .as_ref()
            .map_or("none", |problem| problem.code.as_str());
        let _ = writeln!(
            out,
            "chat: {:?}, recovery {:?}, {} waiting, problem {problem}, store reset {}",
            chat.sync, chat.recovery, chat.queued, chat.store_reset
        );
    }
    out.push_str("\nlog:\n");
    out.push_str(&log_tail(facts.logs));
    out
}

/// End of the newest log file; starts at a whole line.
fn log_tail(folder: &Path) -> String {
    let newest = std::fs::read_dir(folder)
        .ok()
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .max();
    let Some(mut file) = newest.and_then(|path| std::fs::File::open(path).ok()) else {
        return String::new();
    };
    let length = file.metadata().map_or(0, |about| about.len());
    let from = length.saturating_sub(LOG_TAIL);
    if std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(from)).is_err() {
        return String::new();
    }
    let mut bytes = Vec::new();
    if file.take(LOG_TAIL).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let whole = if from == 0 {
        &text[..]
    } else {
        text.split_once('\n').map_or("", |(_, rest)| rest)
    };
    whole.to_owned()
}
