//! Somebody at the other end: signs in with a password, accepts every invitation, answers every message.
//!
//! `colleague HOMESERVER CA.pem USER PASSWORD ANSWER`; ends with Ctrl C.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use chat::{Body, Chat, ChatError, Draft, Item, Setup, Store};
use futures_util::StreamExt;
use network::{Clients, Trust};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, homeserver, authority, user, password, answer] = arguments.as_slice() else {
        return Err("usage: colleague HOMESERVER CA.pem USER PASSWORD ANSWER".into());
    };
    network::install_crypto_provider();
    let folder = std::env::temp_dir().join(format!("cordee-colleague-{}", std::process::id()));
    let chat = sign_in(homeserver, Path::new(authority), user, password, &folder).await?;
    tokio::select! {
        outcome = answer_all(&chat, answer) => outcome?,
        _ = tokio::signal::ctrl_c() => {}
    }
    chat.sign_out().await;
    Ok(())
}

async fn sign_in(
    homeserver: &str,
    authority: &Path,
    user: &str,
    password: &str,
    folder: &Path,
) -> Result<Chat, Box<dyn std::error::Error>> {
    let trust = Trust::from_pem(&std::fs::read(authority)?)?;
    let setup = Setup {
        store: Store {
            folder: folder.to_owned(),
            key: [0; 32],
        },
        http: Clients::new(&trust)?.matrix(),
        media_base: "media://localhost".to_owned(),
        device_name: "Colleague".to_owned(),
        begin: tokio::sync::watch::Sender::new(true).subscribe(),
    };
    Ok(Chat::sign_in_password(&homeserver.parse()?, user, password, setup).await?)
}

async fn answer_all(chat: &Chat, answer: &str) -> Result<(), ChatError> {
    let mut answered: HashSet<String> = HashSet::new();
    let mut notices = chat.notices();
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            notice = notices.recv() => if let Ok(notice) = notice
                && answered.insert(notice.event_id.clone())
            {
                read(chat, &notice.room_id).await?;
                let draft = Draft { text: answer.to_owned(), reply_to: Some(notice.event_id), mentions: Vec::new() };
                chat.send(&notice.room_id, draft).await?;
            },
            _ = look.tick() => {
                let (rooms, _) = chat.rooms();
                for room in rooms.iter().filter(|room| room.invited) {
                    chat.join(&room.id).await?;
                }
            }
        }
    }
}

/// Opens the room like a person does, waits until something in it can be read, and marks it read.
async fn read(chat: &Chat, room: &str) -> Result<(), ChatError> {
    let mut opened = chat.open_timeline(room).await?;
    let readable = |items: &[Item]| {
        items.iter().any(|item| {
            matches!(
                item,
                Item::Message {
                    body: Body::Text { .. },
                    ..
                }
            )
        })
    };
    let waited = async {
        while !readable(&opened.items) {
            let Some(changes) = opened.diffs.next().await else {
                return;
            };
            for change in changes {
                change.apply(&mut opened.items);
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(10), waited).await;
    chat.mark_read(room).await?;
    chat.timeline_close(opened.id);
    Ok(())
}
