//! Files under `/etc` and the person's configuration folder.

use std::path::PathBuf;

use super::PolicyPlaces;

pub(super) fn places() -> PolicyPlaces {
    PolicyPlaces {
        system: vec![PathBuf::from("/etc/cordee/policy.json")],
        user: configuration_folder().map(|folder| folder.join("cordee/policy.json")),
        store: || Ok(None),
    }
}

/// XDG Base Directory: a relative path in the variable is to be ignored.
fn configuration_folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))
}
