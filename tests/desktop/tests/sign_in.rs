//! From an address to a signed-in window and out again, and what can go differently.

#![recursion_limit = "512"]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use anyhow::Result;
use desktop::{Browser, PATIENCE, Window};
use stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_with_password_and_sms_code_in_the_system_browser() -> Result<()> {
    let stage = Stage::of("camille.martin").await?;
    let window = Window::open(&stage.home).await?;
    window.see("sign-in").await?;
    window
        .sign_in(&stage.home, stage.workplace, stage.person)
        .await?;
    window.see("today").await?;
    window
        .see_attribute("connection-badge", "data-overall", "connected")
        .await?;
    window.click("rail-chat").await?;
    window.see_text("room-row", "Cardiologie").await?;
    // The window asked the system to open one address, at the portal.
    let opened = stage.home.opened();
    assert_eq!(opened.len(), 1);
    assert!(
        opened[0].starts_with(&stage.workplace.issuer()),
        "the browser was sent elsewhere first"
    );
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_is_refused_by_the_portal_and_the_right_one_then_lets_in() -> Result<()> {
    let stage = Stage::of("thomas.girard").await?;
    let window = Window::open(&stage.home).await?;
    let address = window
        .ask_to_sign_in(&stage.home, &stage.workplace.address_of(&stage.person.uid))
        .await?;
    let browser = Browser::open(&stage.home).await?;
    let phone = stage.workplace.sms_mark()?;
    browser.visit(&address).await?;
    browser
        .type_password(stage.person, &stage.person.password)
        .await?;
    browser.submit().await?;
    let right = stage
        .workplace
        .sms_code_for(&stage.person.phone, phone)
        .await?;
    let wrong = if right == "123456" {
        "654321"
    } else {
        "123456"
    };
    browser.type_code(wrong).await?;
    browser.submit().await?;
    browser.refused().await?;
    assert!(
        window.shows("browser-waiting").await?,
        "the window claims something that has not happened"
    );

    // The portal begins again from the password, with a new code.
    browser
        .sign_in(stage.workplace, stage.person, &address)
        .await?;
    window.see_within("frame", PATIENCE * 2).await?;
    browser.close().await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_sign_in_says_so_and_can_be_begun_again() -> Result<()> {
    let stage = Stage::of("hugo.lambert").await?;
    let window = Window::open(&stage.home).await?;
    window
        .ask_to_sign_in(&stage.home, &stage.workplace.address_of(&stage.person.uid))
        .await?;
    window.click("sign-in-cancel").await?;
    window.see_text("problem", "annulée").await?;
    window
        .sign_in_quickly(&stage.home, stage.workplace, stage.person)
        .await?;
    window.see("today").await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_the_window_is_signed_in_without_a_browser() -> Result<()> {
    let stage = Stage::of("nora.benali").await?;
    stage.signed_in().await?.close().await?;
    let asked = stage.home.opened().len();
    let window = Window::open(&stage.home).await?;
    window.see("frame").await?;
    window.click("rail-chat").await?;
    window.see("room-row").await?;
    assert_eq!(
        stage.home.opened().len(),
        asked,
        "the browser was opened again"
    );
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_without_an_organisation_says_so_and_leads_nowhere() -> Result<()> {
    let stage = Stage::of("hugo.lambert").await?;
    let window = Window::open(&stage.home).await?;
    window
        .replace_text("address-input", "quelquun@rien.localhost:9")
        .await?;
    window.see("problem").await?;
    assert!(!window.shows("organisation-name").await?);
    assert!(stage.home.opened().is_empty());
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_an_unknown_certificate_is_told_as_such_and_gets_nothing() -> Result<()> {
    let stage = Stage::of("hugo.lambert").await?;
    let window = Window::open(&stage.home).await?;
    stage.workplace.show_certificate(false).await?;
    let told = async {
        window
            .replace_text(
                "address-input",
                &stage.workplace.address_of(&stage.person.uid),
            )
            .await?;
        window.see_text("problem", "n’a pas pu être vérifiée").await
    };
    let told = told.await;
    stage.workplace.show_certificate(true).await?;
    told?;
    assert!(stage.home.opened().is_empty());
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_keyring_is_told_and_nothing_is_deleted() -> Result<()> {
    let stage = Stage::of("ines.morel").await?;
    stage.signed_in().await?.close().await?;
    let kept = files(&stage.home.data().join("accounts"));
    assert!(!kept.is_empty());
    stage.home.keyring().lock().await?;

    let window = Window::open(&stage.home).await?;
    window.see("locked").await?;
    window.see_text("locked", "verrouillé").await?;
    window.close().await?;
    let still = files(&stage.home.data().join("accounts"));
    assert!(
        kept.iter().all(|file| still.contains(file)),
        "data were removed while the keyring was locked"
    );

    stage.home.keyring().start(&stage.home).await?;
    let window = Window::open(&stage.home).await?;
    window.see("frame").await?;
    window.click("rail-chat").await?;
    window.see("room-row").await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_wipes_what_was_stored_and_says_what_could_not_be_revoked() -> Result<()> {
    let stage = Stage::of("pauline.robert").await?;
    let window = stage.signed_in().await?;
    window.click("own-menu").await?;
    window.click("sign-out").await?;
    window.click("sign-out-confirm").await?;
    window.see("sign-out-report").await?;
    let left = files(&stage.home.data().join("accounts"));
    assert!(left.is_empty(), "still there: {left:?}");
    window.close().await?;
    let window = Window::open(&stage.home).await?;
    window.see("address-input").await?;
    window.close().await
}

/// All files below a folder.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .flat_map(|entry| {
            if entry.path().is_dir() {
                files(&entry.path())
            } else {
                vec![entry.path()]
            }
        })
        .collect()
}
