//! The little language in which the conversations are written, see `seed/rooms/`.
//!
//! ```text
//! name: Cardiologie
//! topic: Lits, avis, staff du mardi
//! members: amelie hugo nora camille          (or: everybody)
//! encrypted: no                              (yes if it is not said)
//! favourite: camille                         whose favourites it is in
//! unread: 3                                  how many of the last messages Camille has not read
//!
//! -13 08:05 amelie: Bonjour à tous.\nDeuxième ligne.
//! -13 08:07 hugo: ^1 En réponse au message précédent, avec @nora
//! + 👍 amelie nora
//! -12 10:00 nora: [plan-salle-3.png] Voici le plan
//! ```
//! People are named by their first name, in small letters without accents. A line that starts with `#` is a comment.

use anyhow::{Context, Result, bail, ensure};

use crate::people::{Person, plain};

#[derive(Debug, Default)]
pub struct Conversation {
    pub name: String,
    pub topic: String,
    /// Indices into the people; the first one makes the room.
    pub members: Vec<usize>,
    pub encrypted: bool,
    pub direct: bool,
    pub favourite_of: Vec<usize>,
    pub unread: usize,
    pub messages: Vec<Message>,
}

#[derive(Debug)]
pub struct Message {
    pub from: usize,
    /// Days before today, and minutes after midnight.
    pub days_ago: i64,
    pub minute: i64,
    pub text: String,
    /// Index of the message that this one answers.
    pub reply_to: Option<usize>,
    /// A file of `pictures` or the roster.
    pub attachment: Option<String>,
    pub mentions: Vec<usize>,
    /// Emoji and who gave it.
    pub reactions: Vec<(String, usize)>,
}

/// Reads one room.
pub fn parse(text: &str, people: &[Person]) -> Result<Conversation> {
    let mut conversation = Conversation {
        encrypted: true,
        ..Conversation::default()
    };
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        read_line(&mut conversation, line, people)
            .with_context(|| format!("line {}: {line}", number + 1))?;
    }
    Ok(conversation)
}

/// Several conversations of two people each, separated by lines like `== camille hugo`.
pub fn parse_direct(text: &str, people: &[Person]) -> Result<Vec<Conversation>> {
    let mut all: Vec<Conversation> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut read = || -> Result<()> {
            if let Some(pair) = line.strip_prefix("== ") {
                let members = named(pair, people)?;
                ensure!(members.len() == 2, "a direct conversation has two people");
                all.push(Conversation {
                    members,
                    encrypted: true,
                    direct: true,
                    ..Conversation::default()
                });
                return Ok(());
            }
            read_line(
                all.last_mut()
                    .context("a line before the first conversation")?,
                line,
                people,
            )
        };
        read().with_context(|| format!("line {}: {line}", number + 1))?;
    }
    Ok(all)
}

fn read_line(into: &mut Conversation, line: &str, people: &[Person]) -> Result<()> {
    if let Some(reaction) = line.strip_prefix("+ ") {
        let (emoji, who) = reaction.split_once(' ').context("a reaction of nobody")?;
        let last = into.messages.last_mut().context("a reaction to nothing")?;
        last.reactions.extend(
            named(who, people)?
                .into_iter()
                .map(|person| (emoji.to_owned(), person)),
        );
        return Ok(());
    }
    if line.starts_with('-') {
        let message = read_message(line, into.messages.len(), people)?;
        into.messages.push(message);
        return Ok(());
    }
    let (key, value) = line
        .split_once(": ")
        .context("neither a setting nor a message")?;
    match key {
        "name" => value.clone_into(&mut into.name),
        "topic" => value.clone_into(&mut into.topic),
        "members" if value == "everybody" => into.members = (0..people.len()).collect(),
        "members" => into.members = named(value, people)?,
        "encrypted" => into.encrypted = value == "yes",
        "favourite" => into.favourite_of = named(value, people)?,
        "unread" => into.unread = value.parse()?,
        other => bail!("no setting is called {other}"),
    }
    Ok(())
}

fn read_message(line: &str, number: usize, people: &[Person]) -> Result<Message> {
    let (when, said) = line.split_once(": ").context("a message without text")?;
    let mut when = when.split_whitespace();
    let days_ago = -when.next().context("no day")?.parse::<i64>()?;
    let (hour, minute) = when
        .next()
        .context("no time")?
        .split_once(':')
        .context("no time")?;
    let minute = hour.parse::<i64>()? * 60 + minute.parse::<i64>()?;
    let from = find(when.next().context("no person")?, people)?;
    let (said, reply_to) = match said.strip_prefix('^') {
        Some(rest) => {
            let (back, rest) = rest.split_once(' ').context("a reply without text")?;
            (
                rest,
                Some(
                    number
                        .checked_sub(back.parse()?)
                        .context("a reply to before the start")?,
                ),
            )
        }
        None => (said, None),
    };
    let (said, attachment) = match said.strip_prefix('[') {
        Some(rest) => {
            let (file, rest) = rest.split_once(']').context("an attachment without end")?;
            (rest.trim(), Some(file.to_owned()))
        }
        None => (said, None),
    };
    let mut mentions = Vec::new();
    for word in said
        .split_whitespace()
        .filter_map(|word| word.strip_prefix('@'))
    {
        let name: String = word.chars().take_while(|c| c.is_alphanumeric()).collect();
        mentions.push(find(&name, people)?);
    }
    let text = said.replace("\\n", "\n");
    Ok(Message {
        from,
        days_ago,
        minute,
        text,
        reply_to,
        attachment,
        mentions,
        reactions: Vec::new(),
    })
}

fn named(names: &str, people: &[Person]) -> Result<Vec<usize>> {
    names
        .split_whitespace()
        .map(|name| find(name, people))
        .collect()
}

fn find(name: &str, people: &[Person]) -> Result<usize> {
    people
        .iter()
        .position(|person| plain(&person.first) == name)
        .with_context(|| format!("nobody is called {name}"))
}
