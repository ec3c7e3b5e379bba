//! The few words that the shell itself shows: tray, notifications, dialogs.

use crate::settings::{Language, SettingsView};

/// The shell's words in one language.
#[derive(Debug, PartialEq, Eq)]
pub struct Words {
    pub open: &'static str,
    pub quit: &'static str,
    pub quiet_one_hour: &'static str,
    pub loud_again: &'static str,
    pub new_message: &'static str,
    pub send_files: &'static str,
    pub save: &'static str,
}

const FRENCH: Words = Words {
    open: "Ouvrir Cordée",
    quit: "Quitter",
    quiet_one_hour: "Ne pas déranger pendant une heure",
    loud_again: "Recevoir à nouveau les notifications",
    new_message: "Nouveau message",
    send_files: "Choisir des fichiers à envoyer",
    save: "Enregistrer",
};

const DUTCH: Words = Words {
    open: "Cordée openen",
    quit: "Afsluiten",
    quiet_one_hour: "Een uur niet storen",
    loud_again: "Meldingen weer ontvangen",
    new_message: "Nieuw bericht",
    send_files: "Bestanden kiezen om te versturen",
    save: "Opslaan",
};

const ENGLISH: Words = Words {
    open: "Open Cordée",
    quit: "Quit",
    quiet_one_hour: "Do not disturb for one hour",
    loud_again: "Receive notifications again",
    new_message: "New message",
    send_files: "Choose files to send",
    save: "Save",
};

/// The words for the language in use.
pub fn words(settings: &SettingsView) -> &'static Words {
    match code(settings) {
        "nl" => &DUTCH,
        "en" => &ENGLISH,
        _ => &FRENCH,
    }
}

/// Language code in use: `fr`, `nl` or `en`.
pub fn code(settings: &SettingsView) -> &str {
    match settings.values.language {
        Language::Fr => "fr",
        Language::Nl => "nl",
        Language::En => "en",
        Language::System => &settings.system_language,
    }
}
