//! `x check`: what a change must satisfy beside its tests.

use std::process::Command;

use anyhow::Result;

use crate::licences;
use crate::run::reading;
use crate::suites::cargo_test;

/// True when every check is content. All run, so that one run tells everything.
pub fn all() -> Result<bool> {
    let checks = [
        ("format", command("cargo fmt --all --check")?),
        (
            "lints",
            command("cargo clippy --quiet --workspace --all-targets -- -D warnings")?,
        ),
        ("UI types", command("npm --prefix ui run check")?),
        ("UI lints", command("npm --prefix ui run lint")?),
        (
            "translations",
            command("npm --prefix ui run check:messages")?,
        ),
        ("bindings", bindings()?),
        ("licences", licences::check()?),
    ];
    println!();
    for (name, content) in checks {
        println!("{} {name}", if content { "ok    " } else { "NOT OK" });
    }
    Ok(checks.iter().all(|(_, content)| *content))
}

fn command(line: &str) -> Result<bool> {
    println!("== {line}");
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    Ok(command.args(words).status()?.success())
}

/// The test that compares the committed bindings with freshly made ones; it has "bindings" in its name.
fn bindings() -> Result<bool> {
    println!("== the bindings of the UI are those of the program");
    let mut compared = 0;
    let mut command = Command::new("cargo");
    let status = reading(
        command.args(["test", "--quiet", "--workspace", "--lib", "--", "bindings"]),
        |line| {
            compared += cargo_test(line).unwrap_or_default().passed;
        },
    )?;
    if compared == 0 {
        println!("No test compares the bindings.");
    }
    Ok(status.success() && compared > 0)
}
