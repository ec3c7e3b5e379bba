//! What the person chose, and what the organisation fixed for them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use organisation::Managed;
use problem::Problem;
use serde::{Deserialize, Serialize};
use specta::Type;
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Language {
    #[default]
    System,
    Fr,
    Nl,
    En,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
    Contrast,
}

/// Values of one person. Unknown fields of a newer version are dropped, missing ones take their default.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the settings page"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    pub language: Language,
    pub theme: Theme,
    pub notifications: bool,
    /// Whether a notification shows the text of the message, or only who wrote.
    pub notification_content: bool,
    /// Milliseconds since the Unix epoch until which nothing is notified.
    #[specta(type = Option<u32>)]
    pub do_not_disturb_until: Option<f64>,
    pub start_at_login: bool,
    /// Closing the window leaves Cordée in the tray, so that messages still arrive.
    pub close_to_tray: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: Language::System,
            theme: Theme::System,
            notifications: true,
            notification_content: true,
            do_not_disturb_until: None,
            start_at_login: false,
            close_to_tray: true,
        }
    }
}

impl Settings {
    /// Whether a notification may appear at `now` (milliseconds since the Unix epoch).
    pub fn may_notify(&self, now: f64) -> bool {
        self.notifications && self.do_not_disturb_until.is_none_or(|until| now >= until)
    }
}

/// What the settings page shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct SettingsView {
    pub values: Settings,
    /// Settings that the organisation fixed, by field name, with the reason it gave.
    pub managed: BTreeMap<String, String>,
    /// Language of the system, for `system`: `fr`, `nl` or `en`.
    pub system_language: String,
}

/// Keeps the settings of one person on disk and tells everybody who listens.
pub struct Preferences {
    file: PathBuf,
    /// Fixed by the administrator of this device: stronger than the organisation's document.
    by_policy: BTreeMap<String, Managed>,
    fixed: Mutex<Fixed>,
    view: watch::Sender<SettingsView>,
}

/// What the person chose, and what stands over it.
struct Fixed {
    chosen: Settings,
    managed: BTreeMap<String, Managed>,
}

impl Preferences {
    /// Reads `file`. A damaged file is set aside as `settings.json.damaged` and defaults are used:
    /// losing a theme must never keep somebody from working.
    pub fn open(file: &Path, by_policy: BTreeMap<String, Managed>) -> Self {
        let chosen = match std::fs::read(file) {
            Ok(bytes) => over_defaults(&bytes).unwrap_or_else(|error| {
                tracing::warn!(
                    line = error.line(),
                    column = error.column(),
                    "settings unreadable, set aside"
                );
                let _ = std::fs::rename(file, file.with_extension("json.damaged"));
                Settings::default()
            }),
            Err(_) => Settings::default(),
        };
        let fixed = Fixed {
            chosen,
            managed: by_policy.clone(),
        };
        let view = watch::Sender::new(fixed.view(system_language()));
        Self {
            file: file.to_owned(),
            by_policy,
            fixed: Mutex::new(fixed),
            view,
        }
    }

    /// Applies what the organisation's document fixes, live. The device's own policy goes first.
    pub fn fix_by_document(&self, document: &BTreeMap<String, Managed>) {
        let mut fixed = self.fixed.lock().unwrap_or_else(PoisonError::into_inner);
        fixed.managed = document.clone();
        fixed.managed.extend(self.by_policy.clone());
        self.view.send_if_modified(|view| {
            let fresh = fixed.view(view.system_language.clone());
            let changed = *view != fresh;
            *view = fresh;
            changed
        });
    }

    pub fn view(&self) -> SettingsView {
        self.view.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<SettingsView> {
        self.view.subscribe()
    }

    /// Keeps `wanted`. Fixed settings keep the organisation's value; asking for another is refused.
    pub fn change(&self, wanted: &Settings) -> Result<SettingsView, Problem> {
        let mut fixed = self.fixed.lock().unwrap_or_else(PoisonError::into_inner);
        if with_managed(wanted, &fixed.managed) != *wanted {
            return Err(Problem::new("settings.managed", problem::Retry::Permanent));
        }
        write_atomically(&self.file, wanted).map_err(|error| {
            let code = if error.kind() == std::io::ErrorKind::StorageFull {
                "chat.diskFull"
            } else {
                "internal"
            };
            Problem::new(code, problem::Retry::NeedsUser)
        })?;
        fixed.chosen = wanted.clone();
        self.view
            .send_modify(|view| *view = fixed.view(view.system_language.clone()));
        Ok(self.view())
    }
}

impl Fixed {
    fn view(&self, system_language: String) -> SettingsView {
        SettingsView {
            values: with_managed(&self.chosen, &self.managed),
            managed: self
                .managed
                .iter()
                .map(|(field, fixed)| (field.clone(), fixed.reason.clone()))
                .collect(),
            system_language,
        }
    }
}

/// `chosen` with the fields that the organisation fixed. A fixed value of the wrong type is
/// skipped: `cordee lint` reports it to the administrator.
fn with_managed(chosen: &Settings, managed: &BTreeMap<String, Managed>) -> Settings {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(chosen) else {
        return chosen.clone();
    };
    let mut settings = chosen.clone();
    let mut fields = fields;
    for (field, fixed) in managed
        .iter()
        .filter(|(field, _)| *field != "doNotDisturbUntil")
    {
        let previous = fields.insert(field.clone(), fixed.value.clone());
        match serde_json::from_value(serde_json::Value::Object(fields.clone())) {
            Ok(with_it) => settings = with_it,
            Err(_) => {
                if let Some(previous) = previous {
                    fields.insert(field.clone(), previous);
                }
            }
        }
    }
    settings
}

/// A file of an older version lacks fields, one of a newer version has more.
fn over_defaults(bytes: &[u8]) -> serde_json::Result<Settings> {
    let kept: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(bytes)?;
    let mut settings = serde_json::to_value(Settings::default())?;
    if let serde_json::Value::Object(fields) = &mut settings {
        fields.extend(kept);
    }
    serde_json::from_value(settings)
}

fn write_atomically(file: &Path, settings: &Settings) -> std::io::Result<()> {
    let written = file.with_extension("json.new");
    std::fs::write(&written, serde_json::to_vec_pretty(settings)?)?;
    std::fs::rename(&written, file)
}

/// The best of our three languages for this system; French where it speaks none of them.
fn system_language() -> String {
    let wanted = sys_locale::get_locale().unwrap_or_default();
    let language = wanted.split(['-', '_', '.']).next().unwrap_or_default();
    match language {
        "nl" | "en" => language.to_owned(),
        _ => "fr".to_owned(),
    }
}

/// Milliseconds since the Unix epoch.
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs_f64()
        * 1000.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn managed(field: &str, value: serde_json::Value) -> BTreeMap<String, Managed> {
        BTreeMap::from([(
            field.to_owned(),
            Managed {
                value,
                reason: "Consigne 12".to_owned(),
            },
        )])
    }

    #[test]
    fn a_setting_fixed_by_the_organisation_cannot_be_changed_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.json");
        let preferences = Preferences::open(&file, managed("notificationContent", false.into()));
        let view = preferences.view();
        assert!(!view.values.notification_content);
        assert_eq!(view.managed["notificationContent"], "Consigne 12");
        let refused = preferences.change(&Settings {
            notification_content: true,
            ..view.values.clone()
        });
        assert_eq!(refused.unwrap_err().code, "settings.managed");
        let kept = preferences
            .change(&Settings {
                theme: Theme::Dark,
                ..view.values
            })
            .unwrap();
        assert_eq!(kept.values.theme, Theme::Dark);
        assert_eq!(
            Preferences::open(&file, BTreeMap::new())
                .view()
                .values
                .theme,
            Theme::Dark
        );
    }

    #[test]
    fn a_fixed_value_of_the_wrong_type_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let preferences = Preferences::open(
            &folder.path().join("settings.json"),
            managed("theme", serde_json::json!(12)),
        );
        assert_eq!(preferences.view().values, Settings::default());
    }

    #[test]
    fn a_damaged_settings_file_is_set_aside_and_the_defaults_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.json");
        std::fs::write(&file, b"{\"theme\": ").unwrap();
        assert_eq!(
            Preferences::open(&file, BTreeMap::new()).view().values,
            Settings::default()
        );
        assert!(folder.path().join("settings.json.damaged").exists());
    }

    #[test]
    fn a_file_of_another_version_keeps_what_both_know() {
        let read = over_defaults(br#"{"theme":"dark","colour":"red"}"#).unwrap();
        assert_eq!(
            read,
            Settings {
                theme: Theme::Dark,
                ..Settings::default()
            }
        );
    }

    #[test]
    fn do_not_disturb_ends_by_itself() {
        let settings = Settings {
            do_not_disturb_until: Some(1000.0),
            ..Settings::default()
        };
        assert!(!settings.may_notify(999.0));
        assert!(settings.may_notify(1000.0));
        assert!(
            !Settings {
                notifications: false,
                ..settings
            }
            .may_notify(2000.0)
        );
    }
}
