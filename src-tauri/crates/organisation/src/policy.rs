//! What this device's administrator decided: which organisation, whose certificates, which
//! settings are not the person's to change.
//!
//! The file is small and strict: a typing mistake must not silently leave a device without the
//! rule it was given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use network::Trust;
use serde::Deserialize;
use serde_json::Value;

use crate::Address;
use crate::document::{DocumentError, Managed, Place, read};

#[cfg_attr(target_os = "linux", path = "policy/linux.rs")]
#[cfg_attr(target_os = "macos", path = "policy/macos.rs")]
#[cfg_attr(target_os = "windows", path = "policy/windows.rs")]
mod system;

/// Larger than any policy with a bundle of authorities.
const LARGEST: u64 = 1024 * 1024;

/// What is decided for this device. Empty when nobody decided anything.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    #[serde(default)]
    version: u32,
    /// Whose domain stands in the sign-in field.
    #[serde(default)]
    pub organisation: Option<Address>,
    /// PEM texts, each one certificate or a bundle.
    #[serde(default)]
    certificate_authorities: Vec<String>,
    /// By the name of the setting.
    #[serde(default)]
    pub settings: BTreeMap<String, Managed>,
}

/// Where policies are looked for; the first place that has one decides alone.
#[derive(Debug, Clone)]
pub struct PolicyPlaces {
    /// Only an administrator can write here.
    pub(crate) system: Vec<PathBuf>,
    /// The person's own, honoured when the system has none.
    pub(crate) user: Option<PathBuf>,
    /// Systems that keep policies elsewhere than in files.
    pub(crate) store: fn() -> Result<Option<Kept>, PolicyError>,
}

/// A policy from elsewhere than a file, and the name of the place.
pub struct Kept {
    pub(crate) place: String,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("{file}: can't be read ({kind})")]
    Unreadable {
        file: String,
        kind: std::io::ErrorKind,
    },
    #[error("{file}: {error}")]
    Bad { file: String, error: DocumentError },
}

impl PolicyPlaces {
    pub fn of_this_system() -> Self {
        system::places()
    }

    /// One file, for tests and for `cordee lint`.
    pub fn only(file: impl Into<PathBuf>) -> Self {
        Self {
            system: vec![file.into()],
            user: None,
            store: || Ok(None),
        }
    }
}

impl Policy {
    /// An empty policy when no place has one. An error names the file and the place in it; the
    /// caller shows it and connects nowhere: a broken policy must not be read as none.
    pub fn load(places: &PolicyPlaces) -> Result<Self, PolicyError> {
        if let Some(kept) = (places.store)()? {
            return Self::checked(&kept.value).map_err(|error| PolicyError::Bad {
                file: kept.place,
                error,
            });
        }
        for file in places.system.iter().chain(&places.user) {
            if let Some(policy) = Self::file(file)? {
                return Ok(policy);
            }
        }
        Ok(Self::default())
    }

    /// Reads a policy of untrusted origin.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        Self::checked(&read::json(bytes)?)
    }

    pub(crate) fn decides_nothing(&self) -> bool {
        self.organisation.is_none()
            && self.certificate_authorities.is_empty()
            && self.settings.is_empty()
    }

    /// The platform's authorities and those of the policy.
    pub fn trust(&self) -> Result<Trust, PolicyError> {
        self.authorities().map_err(|error| PolicyError::Bad {
            file: "policy".to_owned(),
            error,
        })
    }

    fn file(file: &Path) -> Result<Option<Self>, PolicyError> {
        let unreadable = |error: std::io::Error| PolicyError::Unreadable {
            file: file.display().to_string(),
            kind: error.kind(),
        };
        let bad = |error| PolicyError::Bad {
            file: file.display().to_string(),
            error,
        };
        match std::fs::metadata(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
            Ok(metadata) if metadata.len() > LARGEST => return Err(bad(DocumentError::TooLarge)),
            Ok(_) => {}
        }
        let bytes = std::fs::read(file).map_err(unreadable)?;
        Self::parse(&bytes).map(Some).map_err(bad)
    }

    fn checked(raw: &Value) -> Result<Self, DocumentError> {
        read::version(raw)?;
        let policy: Self = read::typed(raw)?;
        let settings = Place::default().below("settings");
        for (field, managed) in &policy.settings {
            crate::document::check::setting(managed, &settings.below(field))?;
        }
        policy.authorities()?;
        Ok(policy)
    }

    fn authorities(&self) -> Result<Trust, DocumentError> {
        let place = Place::default().below("certificateAuthorities");
        let mut trust = Trust::platform();
        for (index, pem) in self.certificate_authorities.iter().enumerate() {
            trust
                .add_pem(pem.as_bytes())
                .map_err(|error| DocumentError::at(place.below(index), error.to_string()))?;
        }
        Ok(trust)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use network::testing::Authority;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn place_of(policy: &Value) -> String {
        match Policy::parse(policy.to_string().as_bytes()) {
            Err(DocumentError::Bad { place, .. }) => place.as_str().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_whole_policy_is_understood() {
        let authority = Authority::new();
        let policy = json!({
            "version": 1,
            "organisation": "saint-elme.example",
            "certificateAuthorities": [authority.pem()],
            "settings": { "notificationContent": { "value": false, "reason": "Secret médical" } },
        });
        let policy = Policy::parse(policy.to_string().as_bytes()).unwrap();
        assert_eq!(
            policy.organisation.as_ref().unwrap().domain(),
            "saint-elme.example"
        );
        assert_eq!(policy.trust().unwrap(), authority.trust());
        assert_eq!(policy.settings["notificationContent"].value, json!(false));
    }

    #[test]
    fn each_mistake_in_a_policy_is_named_with_its_place() {
        assert_eq!(place_of(&json!({})), "/version");
        assert_eq!(
            place_of(&json!({ "version": 1, "organisation": "dupont" })),
            "/organisation"
        );
        assert_eq!(
            place_of(&json!({ "version": 1, "certificateAuthorities": ["no"] })),
            "/certificateAuthorities/0"
        );
        assert_eq!(
            place_of(&json!({ "version": 1, "settings": { "theme": { "value": "dark" } } })),
            "/settings/theme"
        );
        assert_eq!(
            place_of(&json!({ "version": 1, "settings": { "a/b": { "value": 1, "reason": "" } } })),
            "/settings/a~1b/reason"
        );
        assert_eq!(
            place_of(&json!({ "version": 1, "setings": {} })),
            "/setings"
        );
        assert_eq!(
            Policy::parse(br#"{"version":2}"#),
            Err(DocumentError::UnsupportedVersion { version: 2 })
        );
    }

    #[test]
    fn the_systems_policy_decides_alone_and_the_persons_counts_only_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let system = folder.path().join("system.json");
        let user = folder.path().join("user.json");
        let places = PolicyPlaces {
            system: vec![system.clone()],
            user: Some(user.clone()),
            store: || Ok(None),
        };
        assert_eq!(Policy::load(&places), Ok(Policy::default()));
        std::fs::write(&user, r#"{"version":1,"organisation":"user.example"}"#).unwrap();
        let domain =
            |policy: Result<Policy, PolicyError>| policy.unwrap().organisation.unwrap().domain();
        assert_eq!(domain(Policy::load(&places)), "user.example");
        std::fs::write(&system, r#"{"version":1,"organisation":"system.example"}"#).unwrap();
        assert_eq!(domain(Policy::load(&places)), "system.example");
        std::fs::write(&system, "{").unwrap();
        let error = Policy::load(&places).unwrap_err().to_string();
        assert!(
            error.contains("system.json") && error.contains("line 1"),
            "{error}"
        );
    }

    #[test]
    fn a_policy_that_is_not_a_file_is_unreadable_and_not_absent() {
        let folder = tempfile::tempdir().unwrap();
        let places = PolicyPlaces::only(folder.path());
        assert!(matches!(
            Policy::load(&places),
            Err(PolicyError::Unreadable { .. })
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_policy_reader_panic(bytes in any::<Vec<u8>>()) {
            let _ = Policy::parse(&bytes);
        }
    }
}
