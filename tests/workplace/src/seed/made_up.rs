//! Made-up rooms for load: many with one message, and one with many.

use super::conversation::{Conversation, Message};
use super::rooms::CAMILLE;

const KINDS: [&str; 10] = [
    "Projet",
    "Unité",
    "Groupe",
    "Astreinte",
    "Formation",
    "Réunion",
    "Comité",
    "Atelier",
    "Travaux",
    "Suivi",
];
const SUBJECTS: [&str; 31] = [
    "télésurveillance",
    "hygiène",
    "douleur",
    "qualité",
    "accueil",
    "bloc",
    "dialyse",
    "gériatrie",
    "maternité",
    "néphrologie",
    "neurologie",
    "nutrition",
    "oncologie",
    "ophtalmologie",
    "orthopédie",
    "psychiatrie",
    "rééducation",
    "réanimation",
    "rhumatologie",
    "soins palliatifs",
    "stomathérapie",
    "transfusion",
    "urologie",
    "addictologie",
    "archives",
    "blanchisserie",
    "brancardage",
    "cuisine",
    "logistique",
    "sécurité",
    "standard",
];
const LINES: [&str; 8] = [
    "Le compte rendu est en ligne, bonne lecture.",
    "Réunion décalée à jeudi 14 h, même lien.",
    "Merci à tous pour votre aide hier soir.",
    "Quelqu'un peut relire le protocole avant vendredi ?",
    "La salle est réservée pour la semaine prochaine.",
    "Le tableau est à jour, il manque deux noms pour le week-end.",
    "Bien reçu, je m'en occupe ce matin.",
    "Le matériel est arrivé, il est au quai B.",
];

/// Rooms of Camille and one other person, each with a name and one last message within the two weeks.
pub fn rooms(count: usize, people: usize) -> Vec<Conversation> {
    let room = |number: usize| {
        let (kind, subject) = (
            KINDS[number % KINDS.len()],
            SUBJECTS[number % SUBJECTS.len()],
        );
        let round = number / (KINDS.len() * SUBJECTS.len());
        let name = if round == 0 {
            format!("{kind} {subject}")
        } else {
            format!("{kind} {subject} {}", round + 1)
        };
        let other = 1 + number % (people - 1);
        let minutes_ago = 1440 + i64::try_from(number).unwrap_or_default() * 53 % 18_000;
        Conversation {
            name,
            members: vec![other, CAMILLE],
            encrypted: true,
            unread: usize::from(number % 40 == 7),
            messages: vec![message(other, minutes_ago, line(number).to_owned())],
            ..Conversation::default()
        }
    };
    (0..count).map(room).collect()
}

/// « Journal de garde », with this many messages; no room for none.
pub fn long_room(messages: usize) -> Option<Conversation> {
    if messages == 0 {
        return None;
    }
    let members: Vec<usize> = (0..6).collect();
    let count = i64::try_from(messages).unwrap_or(i64::MAX);
    let entry = |(number, nth): (i64, usize)| {
        let mut text = format!("Relève {} : {}", number + 1, line(nth));
        if number % 9 == 4 {
            text = format!("{text}\n\nDétail : {}", line(nth + 3).repeat(4));
        }
        let minutes_ago = 1440 + (count - number) * 18_000 / count;
        message(members[nth % members.len()], minutes_ago, text)
    };
    Some(Conversation {
        name: "Journal de garde".to_owned(),
        topic: "Toutes les relèves".to_owned(),
        encrypted: true,
        messages: (0..count).zip(0..messages).map(entry).collect(),
        members,
        ..Conversation::default()
    })
}

fn line(number: usize) -> &'static str {
    LINES[number % LINES.len()]
}

fn message(from: usize, minutes_ago: i64, text: String) -> Message {
    Message {
        from,
        days_ago: minutes_ago / 1440,
        minute: 1439 - minutes_ago % 1440,
        text,
        reply_to: None,
        attachment: None,
        mentions: Vec::new(),
        reactions: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::HashSet;

    use super::{long_room, rooms};

    #[test]
    fn three_hundred_rooms_have_different_names() {
        let rooms = rooms(300, 40);
        let names: HashSet<&str> = rooms.iter().map(|room| room.name.as_str()).collect();
        assert_eq!(names.len(), 300);
    }

    #[test]
    fn the_long_room_has_as_many_messages_as_asked_for() {
        assert_eq!(long_room(5_000).unwrap().messages.len(), 5_000);
        assert!(long_room(0).is_none());
    }
}
