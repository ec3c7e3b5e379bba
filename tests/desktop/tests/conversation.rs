//! Writing and reading with somebody else, encrypted.

#![recursion_limit = "512"]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use anyhow::Result;
use desktop::{PATIENCE, Window};
use nix::sys::signal::Signal;
use stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_answered_by_a_colleague_and_the_server_can_read_neither() -> Result<()> {
    let stage = Stage::of("camille.martin").await?;
    let window = stage.signed_in().await?;
    let (colleague, room) = stage
        .talk_with(&window, "amelie.durand", "Garde du week-end")
        .await?;
    let answering = colleague
        .will_answer(&room, "Qui prend la garde samedi ?", "Moi, comme prévu.")
        .await?;
    window.write("Qui prend la garde samedi ?").await?;
    let mine = window
        .see_message("Qui prend la garde samedi ?", "sent")
        .await?;
    answering.await??;
    let theirs = window.see_message("Moi, comme prévu.", "sent").await?;
    assert!(mine.mine && !theirs.mine);
    for event in [&mine.event, &theirs.event] {
        assert_eq!(stage.kept_as(&room, event).await?, "m.room.encrypted");
    }
    colleague.leave().await;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_shown_as_sending_until_the_server_has_it() -> Result<()> {
    let stage = Stage::of("nora.benali").await?;
    let window = stage.signed_in().await?;
    let (colleague, _room) = stage
        .talk_with(&window, "thomas.girard", "Planning du bloc")
        .await?;
    // One message first, so that the keys are exchanged while the server still answers.
    window.write("Bonjour").await?;
    window.see_message("Bonjour", "sent").await?;
    let server = stage.workplace.pids("synapse")?;
    signal(&server, Signal::SIGSTOP)?;
    let shown = async {
        window.write("Le bloc 2 est libre").await?;
        window.see_message("Le bloc 2 est libre", "sending").await
    };
    let shown = shown.await;
    signal(&server, Signal::SIGCONT)?;
    assert!(
        shown?.event.is_empty(),
        "a message that only we know has no event id"
    );
    let sent = window.see_message("Le bloc 2 est libre", "sent").await?;
    assert!(!sent.event.is_empty());
    colleague.leave().await;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_device_reads_old_messages_after_the_recovery_key_is_typed() -> Result<()> {
    let stage = Stage::of("hugo.lambert").await?;
    let first = stage.signed_in().await?;
    let (colleague, room) = stage
        .talk_with(&first, "ines.morel", "Transmissions")
        .await?;
    let conversation = colleague.open(&room).await?;
    first.write("Chambre 12 : perfusion changée à 8 h").await?;
    conversation
        .hear("Chambre 12 : perfusion changée à 8 h", PATIENCE)
        .await?;
    colleague.write(&room, "Noté pour la 12").await?;
    first.see_message("Noté pour la 12", "sent").await?;
    let key = make_recovery_key(&first).await?;
    first.close().await?;

    // Another computer of the same person.
    let other = desktop::Home::new(stage.workplace, &stage.screen).await?;
    let second = Window::open(&other).await?;
    second
        .sign_in_quickly(&other, stage.workplace, stage.person)
        .await?;
    second.open_room("Transmissions").await?;
    second.see("message").await?;
    let before: Vec<String> = second
        .messages()
        .await?
        .into_iter()
        .map(|message| message.text)
        .collect();
    assert!(
        !before.iter().any(|text| text.contains("Noté pour la 12")),
        "a new device can read without the key"
    );

    second.click("rail-today").await?;
    second.click("recovery-open").await?;
    second.type_text("recovery-input", &key).await?;
    second.click("recovery-submit").await?;
    second.see("recovery-done").await?;
    second.press(desktop::ESCAPE).await?;
    second.open_room("Transmissions").await?;
    second.see_message("Noté pour la 12", "sent").await?;
    second
        .see_message("Chambre 12 : perfusion changée à 8 h", "sent")
        .await?;
    colleague.leave().await;
    second.close().await
}

async fn make_recovery_key(window: &Window) -> Result<String> {
    window.click("rail-today").await?;
    window.click("recovery-open").await?;
    window.see("recovery-key").await?;
    let key = window.texts("recovery-key").await?.concat();
    window.click("recovery-kept").await?;
    window.click("recovery-confirm").await?;
    window.see("recovery-done").await?;
    window.press(desktop::ESCAPE).await?;
    window.gone("recovery-dialog").await?;
    Ok(key)
}

fn signal(groups: &[i32], signal: Signal) -> Result<()> {
    for &group in groups {
        nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), signal)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_counts_while_the_list_of_rooms_still_moves() -> Result<()> {
    let stage = Stage::of("caroline.bonnet").await?;
    let window = stage.signed_in().await?;
    window.click("rail-chat").await?;
    window.see("room-row").await?;
    // What is under the pointer while the wheel turns, when the list takes its rows out of its reach.
    let under = r#"const done = arguments[0];
        const rows = [...document.querySelectorAll('[data-testid="room-row"]')];
        const box = rows[0].closest('[data-rows]').firstElementChild;
        let by = 30;
        const turn = () => {
            const off = box.querySelector('[style*="pointer-events: none"]');
            if (off === null) {
                box.scrollTop += by;
                by = -by;
                return requestAnimationFrame(turn);
            }
            const { left, top, width, height } = box.getBoundingClientRect();
            const hit = document.elementFromPoint(left + width / 2, top + height / 2);
            done(hit?.closest('[data-testid="room-row"]') !== null);
        };
        box.style.height = '240px';
        requestAnimationFrame(turn);"#;
    assert_eq!(
        window.run_until_done(under, vec![], PATIENCE).await?,
        serde_json::json!(true)
    );
    window.close().await
}
