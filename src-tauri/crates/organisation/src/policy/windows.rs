//! The policies key of the registry. No file counts as the system's: everybody may create folders
//! in `ProgramData`.

use std::path::PathBuf;

use windows_registry::LOCAL_MACHINE;

use super::{Kept, PolicyError, PolicyPlaces};
use crate::document::read;

/// The value `Json` holds the text of a policy file.
const KEY: &str = r"Software\Policies\Cordee";
const VALUE: &str = "Json";

pub(super) fn places() -> PolicyPlaces {
    PolicyPlaces {
        system: Vec::new(),
        user: std::env::var_os("APPDATA")
            .map(|folder| PathBuf::from(folder).join(r"Cordee\policy.json")),
        store: registry,
    }
}

fn registry() -> Result<Option<Kept>, PolicyError> {
    // A missing key and a missing value are the usual case, and any other failure to open a key
    // that everybody may read means that there is none.
    let Ok(text) = LOCAL_MACHINE
        .open(KEY)
        .and_then(|key| key.get_string(VALUE))
    else {
        return Ok(None);
    };
    let place = format!(r"HKLM\{KEY}\{VALUE}");
    match read::json(text.as_bytes()) {
        Ok(value) => Ok(Some(Kept { place, value })),
        Err(error) => Err(PolicyError::Bad { file: place, error }),
    }
}
