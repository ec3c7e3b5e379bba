//! The one shape in which a failure reaches the screen.
//!
//! A crate keeps its own small error enum, because its callers have to tell the cases apart.
//! At the border to the UI that enum becomes a [`Problem`]: a stable `code` the UI turns into a
//! sentence in the person's language, the values that sentence needs, when trying again makes
//! sense, and a short `log_id` that a person can read out on the telephone to find the line in the
//! log.
//!
//! ```text
//! thiserror enum of a crate ──From──▶ Problem { code, data, log_id, retry } ──IPC──▶ sentence
//!                                        └──▶ log line: code, log_id, retry (never the data)
//! ```
//!
//! It must not know any other crate of ours, any sentence, or any language.
//!
//! ```
//! use problem::{Problem, Retry};
//! let problem = Problem::new("network.server", Retry::after_seconds(5)).with("status", 503);
//! assert_eq!(problem.data["status"], "503");
//! assert_eq!(problem.log_id.len(), 6);
//! ```
//!
//! # Invariants
//! - `code` is one of the codes of the UI's contract; the UI never looks at other text.
//! - `data` may hold what the person typed or owns (a file name, a domain), therefore it is never
//!   logged.
//! - Whoever makes a problem makes it once: the same `log_id` is on screen and in the log.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};

/// What went wrong, for the screen and for the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Stable name, `area.case`, for example `organisation.notFound`.
    pub code: String,
    /// Values the sentence needs, as text, for example `status` → `503`.
    pub data: BTreeMap<String, String>,
    /// Six characters that stand in the log beside the code.
    pub log_id: String,
    /// When trying again makes sense.
    pub retry: Retry,
}

/// When trying again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, specta::Type)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Retry {
    /// As soon as the network is back.
    Network,
    /// After this many milliseconds.
    After { ms: u32 },
    /// Never: the same attempt gives the same answer.
    Permanent,
    /// After the person (or an administrator) did something.
    NeedsUser,
}

impl Retry {
    pub const fn after_seconds(seconds: u32) -> Self {
        Self::After {
            ms: seconds.saturating_mul(1000),
        }
    }

    /// Longer than 49 days is cut: nobody waits for that.
    pub fn after(pause: Duration) -> Self {
        Self::After {
            ms: u32::try_from(pause.as_millis()).unwrap_or(u32::MAX),
        }
    }
}

impl Problem {
    /// Makes the problem and writes its code, log id and retry class to the log.
    pub fn new(code: impl Into<String>, retry: Retry) -> Self {
        let problem = Self {
            code: code.into(),
            data: BTreeMap::new(),
            log_id: log_id(&mut rand::rng()),
            retry,
        };
        tracing::warn!(
            code = problem.code,
            log_id = problem.log_id,
            retry = ?problem.retry,
            "Problem"
        );
        problem
    }

    /// A defect of ours, with no better code. `what` goes to the log only and must not be personal.
    pub fn internal(what: &'static str) -> Self {
        let problem = Self::new("internal", Retry::Permanent);
        tracing::error!(log_id = problem.log_id, what, "Internal");
        problem
    }

    /// Adds a value for the sentence.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.data.insert(key.to_owned(), value.to_string());
        self
    }
}

/// For logs and assertions; what the person reads comes from the UI.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.code, self.log_id)
    }
}

impl std::error::Error for Problem {}

/// Crockford's base 32 without letters that are mistaken for digits: it is read out on the phone.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn log_id(random: &mut impl Rng) -> String {
    (0..6)
        .map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_problem_crosses_to_the_ui_in_the_shape_of_the_contract() {
        let mut problem = Problem::new("chat.tooLarge", Retry::Permanent).with("max", 50);
        problem.log_id = "7K3QF0".to_owned();
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            serde_json::json!({
                "code": "chat.tooLarge",
                "data": { "max": "50" },
                "logId": "7K3QF0",
                "retry": { "kind": "permanent" },
            })
        );
    }

    #[test]
    fn each_retry_class_has_its_kind() {
        for (retry, json) in [
            (Retry::Network, serde_json::json!({ "kind": "network" })),
            (
                Retry::after_seconds(2),
                serde_json::json!({ "kind": "after", "ms": 2000 }),
            ),
            (Retry::Permanent, serde_json::json!({ "kind": "permanent" })),
            (Retry::NeedsUser, serde_json::json!({ "kind": "needsUser" })),
        ] {
            assert_eq!(serde_json::to_value(retry).unwrap(), json);
        }
    }

    #[test]
    fn a_log_id_is_short_readable_and_not_repeated() {
        let ids: std::collections::BTreeSet<_> = (0..1000)
            .map(|_| Problem::new("internal", Retry::Permanent).log_id)
            .collect();
        assert!(ids.len() > 995);
        assert!(
            ids.iter()
                .all(|id| id.len() == 6 && id.bytes().all(|b| ALPHABET.contains(&b)))
        );
    }

    #[test]
    fn an_endless_pause_is_cut_instead_of_wrapping() {
        assert_eq!(Retry::after(Duration::MAX), Retry::After { ms: u32::MAX });
    }
}
