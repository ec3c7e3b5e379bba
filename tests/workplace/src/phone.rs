//! Everybody's phone: the log of the simulated phone network.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Longest wait for a message; it takes a quarter of a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Phone {
    log: PathBuf,
}

impl Phone {
    pub fn new(log: PathBuf) -> Self {
        Self { log }
    }

    /// Where the log ends now. What arrives later is after this mark.
    pub fn mark(&self) -> Result<u64> {
        match std::fs::metadata(&self.log) {
            Ok(log) => Ok(log.len()),
            // No phone network in a workplace without the SMS step.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(e).context("cannot read the phones' log"),
        }
    }

    /// The six digits of the last message to `number` after the mark; waits for it.
    pub async fn code_for(&self, number: &str, mark: u64) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read(&self.log).context("cannot read the phones' log")?;
            let fresh = log.get(usize::try_from(mark)?..).unwrap_or_default();
            if let Some(code) = last_code(&String::from_utf8_lossy(fresh), number) {
                return Ok(code);
            }
            if Instant::now() > deadline {
                bail!(
                    "no message arrived at the phone within {} s",
                    PATIENCE.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

/// Lines look like `… Got message 3: <SAINT-ELME +33639981000 text … : 123456>`.
fn last_code(log: &str, number: &str) -> Option<String> {
    log.lines().rev().find_map(|line| {
        let (_, message) = line.split_once("Got message ")?;
        let mut words = message.split_once('<')?.1.split(' ');
        if words.nth(1)? != number {
            return None;
        }
        let text = message.rsplit_once(" text ")?.1.trim_end_matches('>');
        let code: String = text
            .chars()
            .skip(text.chars().count().checked_sub(6)?)
            .collect();
        code.bytes().all(|b| b.is_ascii_digit()).then_some(code)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::last_code;

    #[test]
    fn the_last_code_for_a_number_is_found_among_others() {
        let log = "x Got message 1: <SAINT-ELME +33639981000 text Cliniques, votre code : 111111>\n\
                   x Got message 2: <SAINT-ELME +33639981001 text Cliniques, votre code : 222222>\n\
                   x Got message 3: <SAINT-ELME +33639981000 text Cliniques, votre code : 333333>\n";
        assert_eq!(last_code(log, "+33639981000").as_deref(), Some("333333"));
        assert_eq!(last_code(log, "+33639981001").as_deref(), Some("222222"));
        assert_eq!(last_code(log, "+33639981002"), None);
    }
}
