//! Two weeks in the life of the hospital, written into the homeserver in everybody's name.

mod conversation;
mod font;
mod homeserver;
mod made_up;
mod pictures;
mod portrait;
mod rooms;
mod roster;

use std::sync::Arc;

use anyhow::Result;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

pub use homeserver::Homeserver;

use crate::people::Person;
use crate::site::{Site, hex};

/// The hospital's clock: an hour ahead of UTC, as in winter.
const HOSPITAL: time::UtcOffset = match time::UtcOffset::from_hms(1, 0, 0) {
    Ok(offset) => offset,
    Err(_) => time::UtcOffset::UTC,
};
/// How many requests the homeserver works on at a time. It has one core; more only wait.
const AT_ONCE: usize = 6;

/// Changes whenever other content would be written.
pub fn fingerprint() -> String {
    let mut hash = Sha256::new();
    hash.update("3");
    for text in rooms::TEXTS {
        hash.update(text);
    }
    hash.update(include_str!("../../seed/people.csv"));
    for source in [
        include_str!("rooms.rs"),
        include_str!("made_up.rs"),
        include_str!("portrait.rs"),
        include_str!("pictures.rs"),
        include_str!("roster.rs"),
    ] {
        hash.update(source);
    }
    hex(hash.finalize().into_iter().take(8))
}

/// Today at the hospital: conversations end on this day.
pub fn today() -> String {
    time::OffsetDateTime::now_utc()
        .to_offset(HOSPITAL)
        .date()
        .to_string()
}

/// Writes people, rooms and conversations.
pub async fn fill(homeserver: &Homeserver, site: &Site) -> Result<()> {
    let homeserver = Arc::new(homeserver.clone());
    let people = Arc::new(site.people.clone());
    let newcomers = people
        .iter()
        .cloned()
        .map(|person| settle_in(homeserver.clone(), site.secret.clone(), person));
    all(newcomers).await?;
    rooms::fill(&homeserver, &people, &site.options).await
}

/// An account with a password, a name and a picture.
async fn settle_in(homeserver: Arc<Homeserver>, secret: String, person: Person) -> Result<()> {
    homeserver
        .register(&secret, &person.uid, &person.password, &person.name)
        .await?;
    let portrait = tokio::task::spawn_blocking({
        let uid = person.uid.clone();
        let long_hair = person.long_hair;
        move || portrait::png(&uid, long_hair)
    })
    .await??;
    let address = homeserver
        .upload(&person.mxid, "portrait.png", "image/png", portrait)
        .await?;
    homeserver.picture(&person.mxid, &address).await
}

/// Runs the tasks, a few at a time; the first failure ends all.
async fn all<T, F>(tasks: impl IntoIterator<Item = F>) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut results = Vec::new();
    let mut running = JoinSet::new();
    for task in tasks {
        while running.len() >= AT_ONCE {
            if let Some(done) = running.join_next().await {
                results.push(done??);
            }
        }
        running.spawn(task);
    }
    while let Some(done) = running.join_next().await {
        results.push(done??);
    }
    Ok(results)
}
