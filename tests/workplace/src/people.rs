//! Who works at the Cliniques Saint-Elme.

use serde::Serialize;

use crate::site::DOMAIN;

/// One password for everybody: it is typed by people who try the demo.
pub const PASSWORD: &str = "saint-elme";
/// How many are written by hand.
pub const WRITTEN_COUNT: usize = 40;
const WRITTEN: &str = include_str!("../seed/people.csv");

#[derive(Debug, Clone, Serialize)]
pub struct Person {
    /// `camille.martin`
    pub uid: String,
    pub first: String,
    pub last: String,
    pub name: String,
    pub function: String,
    pub department: String,
    pub email: String,
    /// E.164, from the range that the French regulator keeps for fiction (06 39 98 xx xx).
    pub phone: String,
    pub password: String,
    pub mxid: String,
    /// For the portrait.
    #[serde(skip)]
    pub long_hair: bool,
}

/// The first `count` people: those of the file, then made-up ones with names of their own.
pub fn people(count: usize) -> Vec<Person> {
    let written: Vec<[&str; 5]> = WRITTEN
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .filter_map(|line| line.split(';').collect::<Vec<_>>().try_into().ok())
        .collect();
    (0..count)
        .map(|number| {
            if let Some([first, last, function, department, hair]) = written.get(number) {
                let uid = uid(first, last);
                return person(number, [first, last, function, department, hair], uid);
            }
            // Two walks of different pace through the list, so that names repeat late.
            let [first, .., hair] = written[number % written.len()];
            let other = (number * 7 + number / written.len()) % written.len();
            let [_, last, function, department, _] = written[other];
            let uid = format!("{}{number}", uid(first, last));
            person(number, [first, last, function, department, hair], uid)
        })
        .collect()
}

fn person(number: usize, row: [&str; 5], uid: String) -> Person {
    let [first, last, function, department, hair] = row;
    Person {
        first: first.to_owned(),
        last: last.to_owned(),
        name: format!("{first} {last}"),
        function: function.to_owned(),
        department: department.to_owned(),
        email: format!("{uid}@{DOMAIN}"),
        phone: format!("+3363998{:04}", (1_000 + number) % 10_000),
        password: PASSWORD.to_owned(),
        mxid: format!("@{uid}:{DOMAIN}"),
        long_hair: hair == "long",
        uid,
    }
}

fn uid(first: &str, last: &str) -> String {
    format!("{}.{}", plain(first), plain(last))
}

/// A name in small letters without accents.
pub fn plain(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .filter_map(|c| match c {
            'à' | 'â' | 'ä' => Some('a'),
            'ç' => Some('c'),
            'é' | 'è' | 'ê' | 'ë' => Some('e'),
            'î' | 'ï' => Some('i'),
            'ô' | 'ö' => Some('o'),
            'ù' | 'û' | 'ü' => Some('u'),
            c if c.is_ascii_alphanumeric() => Some(c),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::HashSet;

    use super::people;

    #[test]
    fn forty_people_are_written_by_hand_with_first_names_of_their_own() {
        let people = people(40);
        assert_eq!(people[0].uid, "camille.martin");
        assert_eq!(
            people
                .iter()
                .map(|p| &p.first)
                .collect::<HashSet<_>>()
                .len(),
            40
        );
    }

    #[test]
    fn a_thousand_people_have_different_accounts_and_numbers() {
        let people = people(1_000);
        assert_eq!(
            people.iter().map(|p| &p.uid).collect::<HashSet<_>>().len(),
            1_000
        );
        assert_eq!(
            people
                .iter()
                .map(|p| &p.phone)
                .collect::<HashSet<_>>()
                .len(),
            1_000
        );
    }
}
