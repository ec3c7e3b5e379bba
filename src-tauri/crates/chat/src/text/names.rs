//! Names of people, rooms and files, made harmless.
//!
//! A name is shown beside other text. Characters that turn the writing direction or that cannot be seen let
//! somebody look like somebody else (`Dr Maes` against `Dr<U+200B> Maes`) or hide an ending
//! (`facture<U+202E>fdp.exe`). Unicode Technical Report 36 §3.3 and UAX 9 describe the tricks.

/// Longest name shown, in letters.
const MAX_NAME: usize = 120;
/// Longest file name, in bytes: the limit of most file systems is 255.
const MAX_FILE_NAME: usize = 200;

/// Whether a character has no place in a name: controls, direction changes, invisible joiners.
pub fn is_trick(letter: char) -> bool {
    matches!(letter,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
        || (letter.is_control())
}

/// A name of a person or a room that can be shown. Empty when nothing visible remains.
pub fn name(raw: &str) -> String {
    let mut clean = String::new();
    let mut letters = 0;
    let mut gap = false;
    let mut marks = 0;
    for letter in raw.chars() {
        // Joins the parts of one emoji (family, professions) and is harmless between two of them.
        let joins_emoji =
            letter == '\u{200d}' && clean.chars().next_back().is_some_and(is_pictograph);
        if is_trick(letter) && !joins_emoji && !letter.is_whitespace() {
            continue;
        }
        if letter.is_whitespace() {
            gap = letters > 0;
            continue;
        }
        // A tower of accents over one letter covers the lines above.
        if is_combining(letter) {
            marks += 1;
            if marks > 4 || letters == 0 {
                continue;
            }
        } else {
            marks = 0;
        }
        if letters >= MAX_NAME {
            clean.push('…');
            break;
        }
        if gap {
            clean.push(' ');
            letters += 1;
            gap = false;
        }
        clean.push(letter);
        letters += 1;
    }
    while clean.ends_with('\u{200d}') {
        clean.pop();
    }
    clean
}

/// A person's name, or what comes before the server in their id when they have none.
pub fn person(display_name: Option<&str>, user_id: &str) -> String {
    let shown = display_name.map(name).unwrap_or_default();
    if !shown.is_empty() {
        return shown;
    }
    let local = user_id
        .trim_start_matches('@')
        .split(':')
        .next()
        .unwrap_or_default();
    let shown = name(local);
    if shown.is_empty() {
        "?".to_owned()
    } else {
        shown
    }
}

/// A name under which a file can be saved on any system: one path component, no control characters, none of
/// the names Windows keeps for devices.
pub fn file_name(raw: &str) -> String {
    let last = raw
        .rsplit(['/', '\\'])
        .find(|part| !matches!(part.trim(), "" | "." | ".."))
        .unwrap_or_default();
    let mut clean: String = last
        .chars()
        .filter(|letter| !is_trick(*letter))
        .map(|letter| {
            if matches!(letter, '<' | '>' | ':' | '"' | '|' | '?' | '*') {
                '_'
            } else {
                letter
            }
        })
        .collect();
    // Windows drops dots and spaces at the end, on other systems a dot at the start hides the file.
    clean = clean
        .trim_matches(|letter: char| letter == '.' || letter.is_whitespace())
        .to_owned();
    if clean.is_empty() {
        return "fichier".to_owned();
    }
    let stem = clean
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| {
            let mut rest = rest.chars();
            matches!(
                (rest.next(), rest.next()),
                (Some('0'..='9' | '¹' | '²' | '³'), None)
            )
        })
    };
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CLOCK$" | "CONIN$" | "CONOUT$"
    ) || numbered("COM")
        || numbered("LPT")
    {
        clean.insert(0, '_');
    }
    shortened(&clean)
}

/// Cuts the middle of a long name so that the ending, which says what the file is, stays.
fn shortened(name: &str) -> String {
    if name.len() <= MAX_FILE_NAME {
        return name.to_owned();
    }
    let ending = name
        .rfind('.')
        .map(|at| &name[at..])
        .filter(|ending| ending.len() <= 16)
        .unwrap_or_default();
    let (start, _) = super::cut(
        &name[..name.len() - ending.len()],
        MAX_FILE_NAME - ending.len() - 3,
    );
    format!("{}…{ending}", start.trim_end())
}

fn is_pictograph(letter: char) -> bool {
    matches!(letter, '\u{1f000}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}' | '\u{fe0f}')
}

fn is_combining(letter: char) -> bool {
    matches!(letter,
        '\u{0300}'..='\u{036f}' | '\u{0483}'..='\u{0489}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn direction_tricks_and_invisible_letters_disappear_from_names() {
        assert_eq!(name("Dr\u{200b} Ma\u{2066}e\u{2069}s\u{202e}"), "Dr Maes");
        assert_eq!(name("  Anne\n\tDubois  "), "Anne Dubois");
        assert_eq!(name("\u{202e}\u{200b}"), "");
    }

    #[test]
    fn accents_and_family_emoji_stay() {
        assert_eq!(name("Zoë Lefèvre"), "Zoë Lefèvre");
        assert_eq!(
            name("Fam 👨\u{200d}👩\u{200d}👧"),
            "Fam 👨\u{200d}👩\u{200d}👧"
        );
    }

    #[test]
    fn a_tower_of_accents_is_cut_to_four() {
        let tower = format!("a{}", "\u{0301}".repeat(500));
        assert_eq!(name(&tower).chars().count(), 5);
    }

    #[test]
    fn a_person_without_a_visible_name_is_called_by_their_id() {
        assert_eq!(person(Some("\u{200b}"), "@anne:saint-elme.example"), "anne");
        assert_eq!(person(None, "@anne:saint-elme.example"), "anne");
    }

    #[test]
    fn a_file_named_up_and_away_stays_in_its_folder() {
        assert_eq!(file_name("../../x"), "x");
        assert_eq!(file_name("..\\..\\evil.exe"), "evil.exe");
        assert_eq!(file_name("/etc/passwd"), "passwd");
        assert_eq!(file_name(".."), "fichier");
        assert_eq!(file_name("a/.."), "a");
    }

    #[test]
    fn a_hidden_ending_is_uncovered() {
        assert_eq!(file_name("facture\u{202e}fdp.exe"), "facturefdp.exe");
    }

    #[test]
    fn names_of_devices_are_not_taken_for_files() {
        assert_eq!(file_name("CON"), "_CON");
        assert_eq!(file_name("com1.txt"), "_com1.txt");
        assert_eq!(file_name("common.txt"), "common.txt");
        assert_eq!(file_name("nul .pdf"), "_nul .pdf");
    }

    #[test]
    fn a_long_file_name_keeps_its_ending() {
        let long = format!("{}.pdf", "é".repeat(500));
        let short = file_name(&long);
        assert!(short.len() <= MAX_FILE_NAME, "{}", short.len());
        assert!(short.ends_with("….pdf"));
    }

    proptest! {
        #[test]
        fn any_name_is_short_and_visible(raw in any::<String>()) {
            let shown = name(&raw);
            prop_assert!(shown.chars().count() <= MAX_NAME + 1);
            let tricked = shown.chars().any(|letter| is_trick(letter) && letter != '\u{200d}');
            prop_assert!(!tricked);
        }

        #[test]
        fn any_file_name_is_one_component(raw in any::<String>()) {
            let safe = file_name(&raw);
            prop_assert!(!safe.is_empty() && safe.len() <= MAX_FILE_NAME);
            prop_assert!(!safe.contains(['/', '\\', '\0', ':']));
            prop_assert!(safe != "." && safe != "..");
            prop_assert_eq!(std::path::Path::new(&safe).components().count(), 1);
            prop_assert_eq!(file_name(&safe), safe);
        }
    }
}
