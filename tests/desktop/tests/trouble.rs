//! What must hold when things go wrong: every message arrives once and in order, and the screen never claims more.

#![recursion_limit = "512"]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use desktop::{Conversation, PATIENCE, Window, until};
use nix::sys::signal::Signal;
use stage::Stage;

/// A server that was away is asked again after pauses that grow; all of it takes longer than one step.
const RECOVERY: Duration = Duration::from_secs(90);
/// The issue asks for 60 s. What matters is that the server's patience (30 s for one sync) and our own deadlines for
/// connections run out while nothing of ours runs; `CORDEE_SLEEP=60` does the whole night.
const SLEEP: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn messages_written_offline_wait_survive_a_restart_and_arrive_once_in_order() -> Result<()> {
    let stage = Stage::of("camille.martin").await?;
    let window = stage.signed_in().await?;
    let (colleague, room) = stage
        .talk_with(&window, "amelie.durand", "Hors ligne")
        .await?;
    let conversation = colleague.open(&room).await?;
    window.write("Avant la panne").await?;
    conversation.hear("Avant la panne", PATIENCE).await?;

    stage.workplace.kill("synapse").await?;
    let texts = numbered("Pendant la panne", 3);
    for text in &texts {
        window.write(text).await?;
    }
    for text in &texts {
        window.see_message(text, "waiting").await?;
    }
    window.close().await?;

    // Still without a server: what waits is still there and still says so.
    let window = Window::open(&stage.home).await?;
    window.open_room("Hors ligne").await?;
    for text in &texts {
        window.see_message(text, "waiting").await?;
    }
    stage.workplace.start("synapse").await?;
    for text in &texts {
        window.see_message_within(text, "sent", RECOVERY).await?;
    }
    let last = texts.last().map(String::as_str).unwrap_or_default();
    conversation.hear(last, RECOVERY).await?;
    assert_eq!(heard(&conversation, "Pendant la panne").await?, texts);
    colleague.leave().await;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_of_the_program_while_it_sends_forty_messages_loses_and_doubles_none() -> Result<()>
{
    let stage = Stage::of("hugo.lambert").await?;
    let window = stage.signed_in().await?;
    let (colleague, room) = stage.talk_with(&window, "ines.morel", "Quarante").await?;
    let conversation = colleague.open(&room).await?;
    window.write("Premier").await?;
    conversation.hear("Premier", PATIENCE).await?;

    let texts = numbered("Message", 40);
    for text in &texts {
        window.write(text).await?;
    }
    // Everything that the window shows is in the queue on disk; some of it has left.
    let last = texts.last().map(String::as_str).unwrap_or_default();
    until("the last message is shown", PATIENCE, || async {
        Ok(window
            .messages()
            .await?
            .iter()
            .any(|message| message.text.trim() == last)
            .then_some(()))
    })
    .await?;
    window.kill().await?;
    let window = Window::open(&stage.home).await?;
    window.see("frame").await?;
    conversation.hear(last, RECOVERY).await?;
    assert_eq!(heard(&conversation, "Message").await?, texts);
    window.open_room("Quarante").await?;
    window.see_message(last, "sent").await?;
    colleague.leave().await;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_of_the_server_in_the_middle_of_forty_messages_loses_and_doubles_none() -> Result<()>
{
    let stage = Stage::of("nora.benali").await?;
    let window = stage.signed_in().await?;
    let (colleague, room) = stage
        .talk_with(&window, "thomas.girard", "Serveur tombé")
        .await?;
    let conversation = colleague.open(&room).await?;
    window.write("Premier").await?;
    conversation.hear("Premier", PATIENCE).await?;

    let texts = numbered("Message", 40);
    for (number, text) in texts.iter().enumerate() {
        window.write(text).await?;
        if number == 15 {
            stage.workplace.kill("synapse").await?;
        }
    }
    stage.workplace.start("synapse").await?;
    let last = texts.last().map(String::as_str).unwrap_or_default();
    conversation.hear(last, RECOVERY).await?;
    assert_eq!(heard(&conversation, "Message").await?, texts);
    window.see_message_within(last, "sent", RECOVERY).await?;
    colleague.leave().await;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_the_badge_says_so_and_recovers_by_itself() -> Result<()> {
    let stage = Stage::of("pauline.robert").await?;
    let window = stage.signed_in().await?;
    window
        .see_attribute("connection-badge", "data-overall", "connected")
        .await?;
    stage.workplace.stop("front").await?;
    let changed = until("the badge no longer says connected", PATIENCE, || async {
        let overall = window.attribute("connection-badge", "data-overall").await?;
        Ok((overall.as_deref() != Some("connected")).then_some(()))
    });
    let changed = changed.await;
    stage.workplace.start("front").await?;
    changed?;
    until("the badge says connected again", RECOVERY, || async {
        let overall = window.attribute("connection-badge", "data-overall").await?;
        Ok((overall.as_deref() == Some("connected")).then_some(()))
    })
    .await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_computer_slept_messages_flow_again_both_ways() -> Result<()> {
    let stage = Stage::of("marc.fontaine").await?;
    let window = stage.signed_in().await?;
    let (colleague, room) = stage.talk_with(&window, "yanis.cherif", "Sommeil").await?;
    let conversation = colleague.open(&room).await?;
    window.write("Bonne nuit").await?;
    conversation.hear("Bonne nuit", PATIENCE).await?;
    window.sleep()?;
    colleague.write(&room, "Tu dors ?").await?;
    let sleep = std::env::var("CORDEE_SLEEP")
        .ok()
        .and_then(|text| text.parse().ok());
    tokio::time::sleep(sleep.map_or(SLEEP, Duration::from_secs)).await;
    window.wake()?;
    window.see_message("Tu dors ?", "sent").await?;
    window.write("Plus maintenant").await?;
    conversation.hear("Plus maintenant", PATIENCE).await?;
    colleague.leave().await;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_local_copy_is_set_aside_fetched_again_and_told() -> Result<()> {
    let stage = Stage::of("sophie.renard").await?;
    let window = stage.signed_in().await?;
    window.click("rail-chat").await?;
    window.see("room-row").await?;
    window.close().await?;
    let damaged = damage(&stage.home.data().join("accounts"));
    assert!(damaged > 0, "there was nothing to damage");
    let window = Window::open(&stage.home).await?;
    window.see("frame").await?;
    window.click("rail-today").await?;
    window.see_text("chat-banner", "mise de côté").await?;
    window.open_room("Informatique").await?;
    window.see("message").await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_and_kill_leave_no_process_behind() -> Result<()> {
    let stage = Stage::of("mehdi.amrani").await?;
    let window = Window::open(&stage.home).await?;
    window.see("sign-in").await?;
    let all = desktop::processes::tree(window.process());
    assert!(all.len() > 1, "the webview has processes of its own");
    desktop::processes::send(window.process(), Signal::SIGTERM)?;
    until(
        "the program and its helpers have ended",
        PATIENCE,
        || async {
            Ok(all
                .iter()
                .all(|&pid| !desktop::processes::alive(pid))
                .then_some(()))
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_the_system_asks_to_end_closes_its_store_first() -> Result<()> {
    let stage = Stage::of("mehdi.amrani").await?;
    let window = stage.signed_in().await?;
    window.click("rail-chat").await?;
    window.see("room-row").await?;
    let accounts = stage.home.data().join("accounts");
    // The mark of a store in use; where one is left, all rooms are asked for again.
    assert_eq!(named(&accounts, "open"), 1);
    window.close().await?;
    assert_eq!(named(&accounts, "open"), 0);
    Ok(())
}

/// How many files below have this name.
fn named(folder: &Path, name: &str) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                named(&path, name)
            } else {
                usize::from(entry.file_name() == name)
            }
        })
        .sum()
}

fn numbered(text: &str, count: usize) -> Vec<String> {
    (1..=count)
        .map(|number| format!("{text} {number}"))
        .collect()
}

/// What the colleague has read that begins like this, in order.
async fn heard(conversation: &Conversation, beginning: &str) -> Result<Vec<String>> {
    Ok(conversation
        .all_texts()
        .await?
        .into_iter()
        .filter(|text| text.starts_with(beginning))
        .collect())
}

/// Writes nonsense into the middle of the room and message databases, as a failing disk would.
fn damage(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let mut count = 0;
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            count += damage(&path);
        } else if name.contains("matrix-sdk-state") || name.contains("matrix-sdk-event-cache") {
            let length = std::fs::metadata(&path)
                .map(|file| file.len())
                .unwrap_or_default();
            let nonsense = vec![0xA5; usize::try_from(length).unwrap_or_default()];
            if std::fs::write(&path, nonsense).is_ok() {
                count += 1;
            }
        }
    }
    count
}
