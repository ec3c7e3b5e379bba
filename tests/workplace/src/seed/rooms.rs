//! Rooms with their past, as they are written into the homeserver.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, Time};

use super::conversation::{Conversation, Message, parse, parse_direct};
use super::homeserver::Homeserver;
use super::{HOSPITAL, all, made_up, pictures, roster};
use crate::options::Options;
use crate::people::Person;

/// All texts, the direct conversations last.
pub const TEXTS: [&str; 13] = [
    include_str!("../../seed/rooms/annonces.txt"),
    include_str!("../../seed/rooms/cellule-de-crise.txt"),
    include_str!("../../seed/rooms/secretariat-central.txt"),
    include_str!("../../seed/rooms/cardiologie.txt"),
    include_str!("../../seed/rooms/informatique.txt"),
    include_str!("../../seed/rooms/urgences.txt"),
    include_str!("../../seed/rooms/pneumologie.txt"),
    include_str!("../../seed/rooms/pediatrie.txt"),
    include_str!("../../seed/rooms/pharmacie.txt"),
    include_str!("../../seed/rooms/laboratoire-imagerie.txt"),
    include_str!("../../seed/rooms/teletravail.txt"),
    include_str!("../../seed/rooms/cafe.txt"),
    DIRECT,
];
const DIRECT: &str = include_str!("../../seed/direct.txt");
/// Whose unread messages and favourites matter: the first of the people.
pub const CAMILLE: usize = 0;

/// A room that has been made, and what was said in it so far.
struct Open {
    room: String,
    conversation: Arc<Conversation>,
    times: Vec<i64>,
    events: Vec<String>,
}

pub async fn fill(
    homeserver: &Arc<Homeserver>,
    people: &Arc<Vec<Person>>,
    options: &Options,
) -> Result<()> {
    let mut conversations = written(people)?;
    let beyond = options.rooms.saturating_sub(TEXTS.len() - 1);
    conversations.extend(made_up::rooms(beyond, people.len()));
    conversations.extend(made_up::long_room(options.long_room));
    let now = OffsetDateTime::now_utc();
    let opened = conversations
        .into_iter()
        .enumerate()
        .map(|(number, conversation)| {
            let times = times(&conversation, now, number);
            open(
                homeserver.clone(),
                people.clone(),
                Arc::new(conversation),
                times,
            )
        });
    let mut rooms = all(opened).await?;
    // Clients order rooms by when the server saw their last message, so these are written in their order.
    rooms.sort_by_key(|room| room.times.last().copied());
    for room in &mut rooms {
        if let Some(last) = room.conversation.messages.len().checked_sub(1) {
            write_message(homeserver, people, room, last).await?;
        }
    }
    let direct = direct_rooms(&rooms, people);
    all(rooms
        .into_iter()
        .map(|room| settle(homeserver.clone(), people.clone(), room)))
    .await?;
    all(direct.into_iter().map(|(person, rooms)| {
        let homeserver = homeserver.clone();
        async move {
            let path = ["user", person.as_str(), "account_data", "m.direct"];
            homeserver
                .send(Method::PUT, &person, &path, None, &json!(rooms))
                .await
        }
    }))
    .await?;
    Ok(())
}

fn written(people: &[Person]) -> Result<Vec<Conversation>> {
    let (direct, channels) = TEXTS.split_last().context("there are texts")?;
    let mut all = channels
        .iter()
        .map(|text| parse(text, people))
        .collect::<Result<Vec<_>>>()?;
    all.extend(parse_direct(direct, people)?);
    Ok(all)
}

/// When each message was said, in milliseconds. What would lie ahead of `now` moves up to just before it, in order;
/// each room ends at another minute, so that rooms have an order too.
fn times(conversation: &Conversation, now: OffsetDateTime, number: usize) -> Vec<i64> {
    let midnight = now.to_offset(HOSPITAL).replace_time(Time::MIDNIGHT);
    let mut latest =
        now - Duration::seconds(90 + 47 * i64::try_from(number % 20).unwrap_or_default());
    let mut times = Vec::with_capacity(conversation.messages.len());
    for message in conversation.messages.iter().rev() {
        let planned =
            midnight - Duration::days(message.days_ago) + Duration::minutes(message.minute);
        let at = planned.min(latest);
        times.push(i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default());
        latest = at - Duration::seconds(20);
    }
    times.reverse();
    times
}

/// Makes the room, lets everybody in and writes all but the last message.
async fn open(
    homeserver: Arc<Homeserver>,
    people: Arc<Vec<Person>>,
    conversation: Arc<Conversation>,
    times: Vec<i64>,
) -> Result<Open> {
    let member = |index: usize| people[index].mxid.as_str();
    let (&maker, others) = conversation
        .members
        .split_first()
        .context("a room needs somebody")?;
    let room = if conversation.direct {
        let invited: Vec<&str> = others.iter().map(|&other| member(other)).collect();
        json!({ "preset": "trusted_private_chat", "is_direct": true, "invite": invited })
    } else {
        let mut room =
            json!({ "preset": "public_chat", "visibility": "private", "name": conversation.name });
        if !conversation.topic.is_empty() {
            room["topic"] = json!(conversation.topic);
        }
        room
    };
    let room = homeserver.create_room(member(maker), &room).await?;
    for &other in others {
        homeserver.join(&room, member(other)).await?;
    }
    let mut open = Open {
        room,
        conversation: conversation.clone(),
        times,
        events: Vec::new(),
    };
    for number in 0..conversation.messages.len().saturating_sub(1) {
        write_message(&homeserver, &people, &mut open, number).await?;
    }
    Ok(open)
}

async fn write_message(
    homeserver: &Homeserver,
    people: &[Person],
    open: &mut Open,
    number: usize,
) -> Result<()> {
    let message = &open.conversation.messages[number];
    let from = &people[message.from].mxid;
    let at = open.times[number];
    let mut content = match &message.attachment {
        Some(name) => attachment(homeserver, from, name, &message.text).await?,
        None => text(message, people),
    };
    if let Some(answered) = message.reply_to {
        content["m.relates_to"] = json!({ "m.in_reply_to": { "event_id": open.events[answered] } });
    }
    let event = homeserver
        .say(&open.room, from, "m.room.message", Some(at), &content)
        .await?;
    for (emoji, person) in &message.reactions {
        let relation = json!({ "rel_type": "m.annotation", "event_id": event, "key": emoji });
        let content = json!({ "m.relates_to": relation });
        homeserver
            .say(
                &open.room,
                &people[*person].mxid,
                "m.reaction",
                Some(at + 15_000),
                &content,
            )
            .await?;
    }
    open.events.push(event);
    Ok(())
}

fn text(message: &Message, people: &[Person]) -> Value {
    let (mut body, mut html) = (
        message.text.clone(),
        escape(&message.text).replace('\n', "<br>"),
    );
    for &person in &message.mentions {
        let person = &people[person];
        let typed = format!("@{}", crate::people::plain(&person.first));
        let link = format!(
            "<a href=\"https://matrix.to/#/{}\">{}</a>",
            person.mxid, person.name
        );
        body = body.replace(&typed, &person.name);
        html = html.replace(&typed, &link);
    }
    let mentioned: Vec<&str> = message
        .mentions
        .iter()
        .map(|&person| people[person].mxid.as_str())
        .collect();
    let mut content = json!({ "msgtype": "m.text", "body": body, "m.mentions": {} });
    if !mentioned.is_empty() {
        content["format"] = json!("org.matrix.custom.html");
        content["formatted_body"] = json!(html);
        content["m.mentions"] = json!({ "user_ids": mentioned });
    }
    content
}

async fn attachment(
    homeserver: &Homeserver,
    from: &str,
    name: &str,
    caption: &str,
) -> Result<Value> {
    let (bytes, mime, size) = if name == roster::NAME {
        (roster::pdf(), "application/pdf", None)
    } else {
        let (bytes, width, height) = pictures::png(name)?;
        (bytes, "image/png", Some((width, height)))
    };
    let mut info = json!({ "mimetype": mime, "size": bytes.len() });
    if let Some((width, height)) = size {
        info["w"] = json!(width);
        info["h"] = json!(height);
    }
    let address = homeserver.upload(from, name, mime, bytes).await?;
    let body = if caption.is_empty() { name } else { caption };
    let kind = if size.is_some() { "m.image" } else { "m.file" };
    Ok(json!({ "msgtype": kind, "body": body, "filename": name, "url": address, "info": info }))
}

/// From now on the room is encrypted, if it is to be; everybody has read it, but Camille not quite; favourites.
async fn settle(homeserver: Arc<Homeserver>, people: Arc<Vec<Person>>, open: Open) -> Result<()> {
    let conversation = &open.conversation;
    let maker = &people[conversation.members[0]].mxid;
    if conversation.encrypted {
        let at = open.times.last().map(|last| last + 1_000);
        let path = ["rooms", &open.room, "state", "m.room.encryption", ""];
        let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
        homeserver
            .send(Method::PUT, maker, &path, at, &content)
            .await?;
    }
    for &member in &conversation.members {
        let unread = if member == CAMILLE {
            conversation.unread
        } else {
            0
        };
        if let Some(event) = open.events.iter().rev().nth(unread) {
            homeserver
                .read(&open.room, &people[member].mxid, event)
                .await?;
        }
    }
    for &person in &conversation.favourite_of {
        let person = &people[person].mxid;
        let path = ["user", person, "rooms", &open.room, "tags", "m.favourite"];
        homeserver
            .send(Method::PUT, person, &path, None, &json!({ "order": 0.5 }))
            .await?;
    }
    Ok(())
}

/// Who talks directly with whom, as each person's account data says it.
fn direct_rooms(
    rooms: &[Open],
    people: &[Person],
) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let mut all: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for open in rooms.iter().filter(|open| open.conversation.direct) {
        if let [a, b] = open.conversation.members[..] {
            for (one, other) in [(a, b), (b, a)] {
                let theirs = all.entry(people[one].mxid.clone()).or_default();
                theirs
                    .entry(people[other].mxid.clone())
                    .or_default()
                    .push(open.room.clone());
            }
        }
    }
    all
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c => {
                let _ = escaped.write_char(c);
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use time::OffsetDateTime;

    use super::{CAMILLE, times, written};
    use crate::people::people;

    #[test]
    fn every_written_conversation_can_be_read_and_camille_is_in_twelve_channels() {
        let people = people(40);
        let all = written(&people).unwrap();
        let hers = all
            .iter()
            .filter(|room| !room.direct && room.members.contains(&CAMILLE));
        assert_eq!(hers.count(), 12);
        assert_eq!(
            all.iter()
                .filter(|room| room.unread > 0 && room.members.contains(&CAMILLE))
                .count(),
            3
        );
        for room in &all {
            assert!(!room.messages.is_empty(), "{} is silent", room.name);
            for message in &room.messages {
                let reacting = message.reactions.iter().map(|(_, person)| person);
                for person in reacting.chain(&message.mentions).chain([&message.from]) {
                    assert!(
                        room.members.contains(person),
                        "{}: a stranger at {}",
                        room.name,
                        message.text
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_is_said_in_the_future_and_the_order_of_a_conversation_is_kept() {
        let now = OffsetDateTime::now_utc();
        for (number, room) in written(&people(40)).unwrap().iter().enumerate() {
            let times = times(room, now, number);
            assert!(times.is_sorted(), "{}", room.name);
            assert!(
                times
                    .iter()
                    .all(|&at| i128::from(at) * 1_000_000 < now.unix_timestamp_nanos())
            );
        }
    }
}
