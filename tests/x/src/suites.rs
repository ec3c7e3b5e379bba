//! `x test`: every test, and one total.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::run::reading;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub passed: u32,
    pub failed: u32,
    pub ignored: u32,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// True when every test passed. The last line printed is `N passed, N failed`.
pub fn all(fast: bool) -> Result<bool> {
    let began = Instant::now();
    let mut total = Count::default();
    total += part(
        "UI",
        Command::new("npm")
            .args(["--prefix", "ui", "test"])
            .env("NO_COLOR", "1"),
        vitest,
    )?;
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    if fast {
        println!(
            "--fast: left out are the tests that need services or a window, and the examples in comments."
        );
        cargo.args(["--lib", "--bins"]);
    }
    total += part("Rust", &mut cargo, cargo_test)?;
    println!();
    if total.ignored > 0 {
        println!("{} ignored by their authors", total.ignored);
    }
    println!("{} s", began.elapsed().as_secs());
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(total.failed == 0)
}

/// Runs one part and adds its lines up. A part that fails as a whole, or runs nothing, counts as one failure.
fn part(name: &str, command: &mut Command, read: fn(&str) -> Option<Count>) -> Result<Count> {
    println!("== {name}");
    let mut count = Count::default();
    let status = reading(command, |line| {
        if let Some(more) = read(line) {
            count += more;
        }
    })?;
    if !status.success() && count.failed == 0 {
        println!("{name}: ended with {status}, without a failed test. The reason stands above.");
        count.failed += 1;
    } else if count.passed + count.failed == 0 {
        println!("{name}: no test ran.");
        count.failed += 1;
    }
    Ok(count)
}

/// `test result: ok. 9 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.16s`
pub fn cargo_test(line: &str) -> Option<Count> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let of = |name: &str| {
        counts
            .split(';')
            .find_map(|part| part.trim().strip_suffix(name)?.trim().parse().ok())
            .unwrap_or_default()
    };
    Some(Count {
        passed: of("passed"),
        failed: of("failed"),
        ignored: of("ignored"),
    })
}

/// `      Tests  2 failed | 341 passed | 1 skipped (344)`
fn vitest(line: &str) -> Option<Count> {
    let counts = line.trim().strip_prefix("Tests ")?;
    let counts = counts
        .rsplit_once(" (")
        .map_or(counts, |(counts, _)| counts);
    let of = |name: &str| {
        counts
            .split('|')
            .find_map(|part| part.trim().strip_suffix(name)?.trim().parse().ok())
            .unwrap_or_default()
    };
    Some(Count {
        passed: of("passed"),
        failed: of("failed"),
        ignored: of("skipped") + of("todo"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::{Count, cargo_test, vitest};

    #[test]
    fn the_totals_of_cargo_are_read() {
        let line = "test result: FAILED. 9 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.16s";
        assert_eq!(
            cargo_test(line),
            Some(Count {
                passed: 9,
                failed: 2,
                ignored: 1
            })
        );
        assert_eq!(cargo_test("test a_test ... ok"), None);
    }

    #[test]
    fn the_totals_of_vitest_are_read() {
        let count = vitest("      Tests  2 failed | 341 passed | 1 skipped (344)");
        assert_eq!(
            count,
            Some(Count {
                passed: 341,
                failed: 2,
                ignored: 1
            })
        );
        assert_eq!(
            vitest("      Tests  12 passed (12)"),
            Some(Count {
                passed: 12,
                failed: 0,
                ignored: 0
            })
        );
        assert_eq!(vitest(" Test Files  3 passed (3)"), None);
    }
}
