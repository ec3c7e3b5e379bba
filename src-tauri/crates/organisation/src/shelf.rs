//! The last good copy of each organisation's document, on disk.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{fmt::Write as _, fs};

use serde::{Deserialize, Serialize};

use crate::Address;
use crate::document::Document;

/// A folder with one file per organisation. The file name is made from the domain, so nothing
/// typed becomes a path.
#[derive(Debug, Clone)]
pub struct Shelf {
    folder: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    #[error("the copy can't be written or read")]
    Io(#[from] io::Error),
    #[error("the copy can't be put into words")]
    Json(#[from] serde_json::Error),
}

/// A copy with what is needed to ask whether it is still current.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Copy {
    pub(crate) document: Document,
    pub(crate) etag: Option<String>,
    pub(crate) fetched_at: f64,
}

/// The file, version 1.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    version: u32,
    address: Address,
    etag: Option<String>,
    fetched_at: f64,
    /// The document's own text: it is checked again when it is read.
    document: String,
}

impl Shelf {
    /// `folder` is made when something is kept.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// `None` when there is no copy, or when it is damaged: then it is as good as none.
    pub(crate) fn read(&self, address: &Address) -> Option<Copy> {
        let bytes = fs::read(self.file(address)).ok()?;
        let Ok(kept) = serde_json::from_slice::<Kept>(&bytes) else {
            tracing::warn!("The last good copy of the organisation's document is damaged");
            return None;
        };
        if kept.version != 1 || kept.address != address.without_user() {
            return None;
        }
        let Ok(document) = Document::parse(kept.document.as_bytes()) else {
            tracing::warn!("The last good copy is no longer understood");
            return None;
        };
        Some(Copy {
            document,
            etag: kept.etag,
            fetched_at: kept.fetched_at,
        })
    }

    /// Whole or not at all: written beside, then moved into place.
    pub(crate) fn keep(
        &self,
        address: &Address,
        body: &[u8],
        etag: Option<&str>,
        fetched_at: f64,
    ) -> Result<(), ShelfError> {
        let kept = Kept {
            version: 1,
            address: address.without_user(),
            etag: etag.map(str::to_owned),
            fetched_at,
            document: String::from_utf8_lossy(body).into_owned(),
        };
        fs::create_dir_all(&self.folder)?;
        write_whole(&self.file(address), &serde_json::to_vec(&kept)?)?;
        Ok(())
    }

    /// Forgets the organisation, for sign-out. Missing is as good as removed.
    pub fn forget(&self, address: &Address) -> Result<(), ShelfError> {
        match fs::remove_file(self.file(address)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn file(&self, address: &Address) -> PathBuf {
        let mut name = String::new();
        for byte in address.domain().bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.' {
                name.push(char::from(byte));
            } else {
                let _ = write!(name, "_{byte:02x}");
            }
        }
        self.folder.join(format!("{name}.json"))
    }
}

fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = file.with_extension("json.new");
    let written = (|| {
        let mut new = fs::File::create(&beside)?;
        new.write_all(bytes)?;
        new.sync_all()?;
        fs::rename(&beside, file)
    })();
    if written.is_err() {
        // Nothing half-written stays, above all on a full disk.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const BODY: &[u8] = br#"{"version":1,"name":"Cliniques Saint-Elme"}"#;

    fn shelf() -> (tempfile::TempDir, Shelf, Address) {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("organisation"));
        let address = Address::parse("nathalie@saint-elme.example:444").unwrap();
        (folder, shelf, address)
    }

    #[test]
    fn a_kept_document_is_read_back_with_its_etag() {
        let (_folder, shelf, address) = shelf();
        assert_eq!(shelf.read(&address), None);
        shelf.keep(&address, BODY, Some("\"7\""), 5.0).unwrap();
        let copy = shelf.read(&address).unwrap();
        assert_eq!(copy.document.name, "Cliniques Saint-Elme");
        assert_eq!(copy.etag.as_deref(), Some("\"7\""));
        assert!((copy.fetched_at - 5.0).abs() < f64::EPSILON);
        assert_eq!(shelf.read(&address.without_user()), Some(copy));
    }

    #[test]
    fn the_copy_holds_no_person() {
        let (_folder, shelf, address) = shelf();
        shelf.keep(&address, BODY, None, 5.0).unwrap();
        let text = fs::read_to_string(shelf.file(&address)).unwrap();
        assert!(
            !text.contains("nathalie")
                && !shelf.file(&address).to_string_lossy().contains("nathalie")
        );
    }

    #[test]
    fn a_damaged_copy_is_as_good_as_none() {
        let (_folder, shelf, address) = shelf();
        shelf.keep(&address, BODY, None, 5.0).unwrap();
        let file = shelf.file(&address);
        let whole = fs::read(&file).unwrap();
        for broken in [&whole[..whole.len() / 2], b"", b"{}", b"\xff\x00"] {
            fs::write(&file, broken).unwrap();
            assert_eq!(shelf.read(&address), None);
        }
    }

    #[test]
    fn a_copy_of_another_organisation_is_not_used() {
        let (_folder, shelf, address) = shelf();
        let other = Address::parse("other.example").unwrap();
        shelf.keep(&address, BODY, None, 5.0).unwrap();
        fs::rename(shelf.file(&address), shelf.file(&other)).unwrap();
        assert_eq!(shelf.read(&other), None);
    }

    #[test]
    fn no_address_leaves_the_folder() {
        let shelf = Shelf::new("/shelf");
        for typed in [
            "[::1]:8443",
            "xn--hpital-xxa.example",
            "localhost:1",
            "a_b.example",
        ] {
            let file = shelf.file(&Address::parse(typed).unwrap());
            assert_eq!(file.parent(), Some(Path::new("/shelf")), "{typed}");
        }
    }

    #[test]
    fn a_forgotten_organisation_is_gone_and_may_be_forgotten_twice() {
        let (_folder, shelf, address) = shelf();
        shelf.keep(&address, BODY, None, 5.0).unwrap();
        shelf.forget(&address).unwrap();
        assert_eq!(shelf.read(&address), None);
        shelf.forget(&address).unwrap();
    }
}
