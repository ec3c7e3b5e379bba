//! Whether everything that goes into the client may be given away under the Apache licence.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Licences that ask for no more than their text and names, and the MPL, which binds only changes to its own files.
const WELCOME: [&str; 21] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BlueOak-1.0.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "bzip2-1.0.6",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "MPL-2.0+",
    "OFL-1.1",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that name no licence where it is looked for, but bring its text.
const READ_BY_HAND: [(&str, &str); 1] = [("node_modules/svelte-toolbelt", "MIT")];

pub fn check() -> Result<bool> {
    println!("== licences of what goes into the client");
    let mut refused = crates(&metadata()?)?;
    let lock = std::fs::read("ui/package-lock.json").context("ui/package-lock.json")?;
    refused.extend(packages(&serde_json::from_slice(&lock)?)?);
    for (name, licence) in &refused {
        println!("{name}: {licence}");
    }
    Ok(refused.is_empty())
}

fn metadata() -> Result<Value> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The crates that `cordee` is made of, on any system, whose licence is not welcome. Tools that only build count not.
fn crates(metadata: &Value) -> Result<Vec<(String, String)>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| (text(&package["id"]), package))
        .collect();
    let nodes: BTreeMap<String, Value> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|node| (text(&node["id"]), node))
        .collect();
    let ours = packages
        .iter()
        .find(|(_, package)| package["name"] == "cordee")
        .map(|(id, _)| id.clone());
    let mut next = vec![ours.context("there is no package cordee")?];
    let mut seen = BTreeSet::new();
    while let Some(id) = next.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let Some(node) = nodes.get(&id) else { continue };
        for dependency in list(&node["deps"]) {
            if list(&dependency["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"].is_null())
            {
                next.push(text(&dependency["pkg"]));
            }
        }
    }
    let refused = seen.iter().filter_map(|id| {
        let package = packages.get(id)?;
        // A licence file instead of a name is for a person to read.
        let licence = package["license"].as_str().unwrap_or("no licence named");
        (!welcome(licence)).then(|| {
            (
                format!("crate {}", text(&package["name"])),
                licence.to_owned(),
            )
        })
    });
    Ok(refused.collect())
}

/// The packages that are bundled into the UI whose licence is not welcome.
fn packages(lock: &Value) -> Result<Vec<(String, String)>> {
    let packages = lock["packages"]
        .as_object()
        .context("package-lock.json lists no packages")?;
    let bundled = packages
        .iter()
        .filter(|(path, package)| !path.is_empty() && package["dev"] != true);
    let refused = bundled.filter_map(|(path, package)| {
        let by_hand = READ_BY_HAND
            .iter()
            .find(|(read, _)| read == path)
            .map(|(_, licence)| *licence);
        let named = package["license"].as_str().or(by_hand);
        let licence = named.unwrap_or("no licence named");
        (!welcome(licence)).then(|| {
            (
                format!("npm {}", path.trim_start_matches("node_modules/")),
                licence.to_owned(),
            )
        })
    });
    Ok(refused.collect())
}

/// Evaluates an SPDX expression: `OR` needs one welcome side, `AND` all of them. `/` is an old way to write `OR`.
fn welcome(expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = words.as_slice();
    any(&mut words) && words.is_empty()
}

fn any(words: &mut &[&str]) -> bool {
    let mut fine = every(words);
    while let Some(rest) = words.strip_prefix(&["OR"]) {
        *words = rest;
        fine |= every(words);
    }
    fine
}

fn every(words: &mut &[&str]) -> bool {
    let mut fine = one(words);
    while let Some(rest) = words.strip_prefix(&["AND"]) {
        *words = rest;
        fine &= one(words);
    }
    fine
}

fn one(words: &mut &[&str]) -> bool {
    let Some((&first, rest)) = words.split_first() else {
        return false;
    };
    *words = rest;
    if first == "(" {
        let fine = any(words);
        return match words.strip_prefix(&[")"]) {
            Some(rest) => {
                *words = rest;
                fine
            }
            None => false,
        };
    }
    let mut name = first.to_owned();
    if let [with, exception, rest @ ..] = *words
        && *with == "WITH"
    {
        name = format!("{first} WITH {exception}");
        *words = rest;
    }
    WELCOME.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::welcome;

    #[test]
    fn a_choice_needs_one_welcome_licence_and_a_sum_needs_all() {
        assert!(welcome("MIT OR GPL-3.0-only"));
        assert!(welcome("MIT/Apache-2.0"));
        assert!(welcome("ISC AND (Apache-2.0 OR ISC) AND OpenSSL"));
        assert!(welcome(
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT"
        ));
        assert!(!welcome("MIT AND GPL-3.0-only"));
        assert!(!welcome("(MIT OR Apache-2.0) AND LGPL-2.1"));
        assert!(!welcome("no licence named"));
        assert!(!welcome("(MIT"));
    }
}
