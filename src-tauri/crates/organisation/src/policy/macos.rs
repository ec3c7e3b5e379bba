//! Managed preferences (a configuration profile), then a file in Application Support.

use std::path::{Path, PathBuf};

use super::{Kept, PolicyError, PolicyPlaces};
use crate::document::{DocumentError, Place};

const MANAGED: &str = "/Library/Managed Preferences/app.cordee.plist";

pub(super) fn places() -> PolicyPlaces {
    PolicyPlaces {
        system: vec![PathBuf::from(
            "/Library/Application Support/Cordee/policy.json",
        )],
        user: std::env::var_os("HOME")
            .map(|home| PathBuf::from(home).join("Library/Application Support/Cordee/policy.json")),
        store: managed_preferences,
    }
}

/// The profile's keys are those of the policy file.
fn managed_preferences() -> Result<Option<Kept>, PolicyError> {
    if !Path::new(MANAGED).exists() {
        return Ok(None);
    }
    let value = plist::from_file(MANAGED).map_err(|error| PolicyError::Bad {
        file: MANAGED.to_owned(),
        error: DocumentError::at(Place::default(), error.to_string()),
    })?;
    Ok(Some(Kept {
        place: MANAGED.to_owned(),
        value,
    }))
}
