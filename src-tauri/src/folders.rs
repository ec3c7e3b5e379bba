//! Where Cordée keeps its files. One place decides, so that nothing is written elsewhere.

use std::path::{Path, PathBuf};

/// The folders of one person on one computer. All are created with access for that person only.
#[derive(Clone, Debug)]
pub struct Folders {
    data: PathBuf,
    config: PathBuf,
    logs: PathBuf,
}

impl Folders {
    /// The folders that the operating system names for this program.
    pub fn of(config: PathBuf, data: PathBuf, logs: PathBuf) -> std::io::Result<Self> {
        let folders = Self { data, config, logs };
        for folder in [&folders.data, &folders.config, &folders.logs] {
            create_private(folder)?;
        }
        Ok(folders)
    }

    /// Follows the XDG base directories on Linux, and the systems' own places elsewhere.
    pub fn of_this_person() -> std::io::Result<Self> {
        let home = std::env::home_dir()
            .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "no home folder"))?;
        let (config, data) = places(&home);
        let logs = data.join("logs");
        Self::of(config, data, logs)
    }

    pub fn logs(&self) -> &Path {
        &self.logs
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Preferences of the person: language, theme, notifications.
    pub fn settings(&self) -> PathBuf {
        self.config.join("settings.json")
    }

    /// Last good copies of organisations' documents.
    pub fn organisations(&self) -> PathBuf {
        self.data.join("organisations")
    }

    /// The encrypted chat store of the account at `organisation`.
    pub fn chat(&self, organisation: &str) -> PathBuf {
        self.data
            .join("accounts")
            .join(file_name_of(organisation))
            .join("chat")
    }

    /// A fresh private path for a file that another program will open. Each gets its own folder,
    /// so that two files of the same name do not meet.
    pub fn opened_file(&self, name: &str) -> std::io::Result<PathBuf> {
        let unique = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let folder = self.opened_files().join(unique.to_string());
        create_private(&folder)?;
        Ok(folder.join(name))
    }

    /// Removes what other programs were given in earlier runs.
    pub fn clear_opened_files(&self) {
        let _ = std::fs::remove_dir_all(self.opened_files());
    }

    fn opened_files(&self) -> PathBuf {
        self.data.join("opened")
    }

    /// Names the organisation that this person is signed in to; nothing personal.
    pub fn current_account(&self) -> PathBuf {
        self.data.join("account.json")
    }
}

/// A domain, perhaps with a port, as a file name on every system.
fn file_name_of(organisation: &str) -> String {
    organisation
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
                c
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(target_os = "linux")]
fn places(home: &Path) -> (PathBuf, PathBuf) {
    let of = |variable: &str, fallback: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .unwrap_or_else(|| home.join(fallback))
            .join("cordee")
    };
    (
        of("XDG_CONFIG_HOME", ".config"),
        of("XDG_DATA_HOME", ".local/share"),
    )
}

#[cfg(target_os = "macos")]
fn places(home: &Path) -> (PathBuf, PathBuf) {
    let support = home.join("Library/Application Support/Cordee");
    (support.clone(), support)
}

#[cfg(target_os = "windows")]
fn places(home: &Path) -> (PathBuf, PathBuf) {
    let of = |variable: &str, fallback: &str| {
        std::env::var_os(variable)
            .map_or_else(|| home.join(fallback), PathBuf::from)
            .join("Cordee")
    };
    (
        of("APPDATA", "AppData/Roaming"),
        of("LOCALAPPDATA", "AppData/Local"),
    )
}

fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_domain_with_a_port_becomes_one_file_name_that_stays_inside_its_folder() {
        let folder = std::env::temp_dir().join(format!("cordee-folders-{}", std::process::id()));
        let folders = Folders::of(folder.join("c"), folder.join("d"), folder.join("l")).unwrap();
        let chat = folders.chat("../../etc:8443/x");
        assert!(chat.starts_with(folders.data()));
        assert!(chat.ends_with("accounts/.._.._etc_8443_x/chat"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
