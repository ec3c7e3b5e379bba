#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::Ordering;

use super::keyring::double;
use super::*;

#[tokio::test]
async fn what_is_set_can_be_read_replaced_and_deleted() {
    let vault = Vault::in_memory();
    assert_eq!(vault.get("a").await, Ok(None));
    vault.set("a", Secret::from("one")).await.unwrap();
    vault.set("a", Secret::from("two")).await.unwrap();
    assert_eq!(vault.get("a").await, Ok(Some(Secret::from("two"))));
    vault.delete("a").await.unwrap();
    vault.delete("a").await.unwrap();
    assert_eq!(vault.get("a").await, Ok(None));
}

#[tokio::test]
async fn a_secret_larger_than_the_platforms_entry_is_kept_in_parts_and_shrinks_again() {
    let (vault, _) = double::vault(100);
    let large = Secret::new((0..=255).cycle().take(5000).collect());
    let larger = Secret::new((0..=255).rev().cycle().take(7001).collect());
    vault.set("session", large.clone()).await.unwrap();
    assert_eq!(vault.get("session").await, Ok(Some(large)));
    vault.set("session", larger.clone()).await.unwrap();
    assert_eq!(vault.get("session").await, Ok(Some(larger)));
    vault.set("session", Secret::from("small")).await.unwrap();
    assert_eq!(vault.get("session").await, Ok(Some(Secret::from("small"))));
    // No part may be left behind.
    for generation in 0..3 {
        let part = format!("session#{generation}.0");
        assert_eq!(vault.get(&part).await, Ok(None));
    }
}

#[tokio::test]
async fn a_locked_keyring_says_locked_and_keeps_everything() {
    let (vault, hands) = double::vault(usize::MAX);
    vault.set("a", Secret::from("kept")).await.unwrap();
    let key = vault.store_key("nathalie").await.unwrap();
    hands.locked.store(true, Ordering::SeqCst);
    assert_eq!(vault.get("a").await, Err(VaultError::Locked));
    assert_eq!(vault.get("never set").await, Err(VaultError::Locked));
    assert_eq!(
        vault.set("a", Secret::from("other")).await,
        Err(VaultError::Locked)
    );
    assert_eq!(vault.delete_all("").await, Err(VaultError::Locked));
    assert_eq!(vault.store_key("nathalie").await, Err(VaultError::Locked));
    assert_eq!(vault.unlock().await, Err(VaultError::Locked));
    hands.unlockable.store(true, Ordering::SeqCst);
    vault.unlock().await.unwrap();
    assert_eq!(vault.get("a").await, Ok(Some(Secret::from("kept"))));
    assert_eq!(vault.store_key("nathalie").await, Ok(key));
}

#[tokio::test]
async fn a_keyring_service_that_went_away_is_missing_until_it_is_back() {
    let (vault, hands) = double::vault(usize::MAX);
    vault.set("a", Secret::from("kept")).await.unwrap();
    hands.missing.store(true, Ordering::SeqCst);
    assert_eq!(vault.get("a").await, Err(VaultError::Missing));
    assert_eq!(vault.get("a").await, Err(VaultError::Missing));
    hands.missing.store(false, Ordering::SeqCst);
    assert_eq!(vault.get("a").await, Ok(Some(Secret::from("kept"))));
    assert_eq!(hands.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn while_the_person_is_asked_for_the_password_everybody_else_hears_locked_at_once() {
    let (vault, hands) = double::vault(usize::MAX);
    hands.locked.store(true, Ordering::SeqCst);
    let (answer, question) = std::sync::mpsc::channel::<()>();
    *hands.question.lock().unwrap() = Some(question);
    let asking = tokio::spawn({
        let vault = vault.clone();
        async move { vault.unlock().await }
    });
    while !vault.prompting.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    assert_eq!(vault.get("a").await, Err(VaultError::Locked));
    hands.unlockable.store(true, Ordering::SeqCst);
    answer.send(()).unwrap();
    assert_eq!(asking.await.unwrap(), Ok(()));
    assert_eq!(vault.get("a").await, Ok(None));
}

#[tokio::test]
async fn a_store_key_is_made_once_even_when_many_ask_at_the_same_time() {
    let vault = Vault::in_memory();
    assert_eq!(vault.existing_store_key("nathalie").await, Ok(None));
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let vault = vault.clone();
            tokio::spawn(async move { vault.store_key("nathalie").await.unwrap() })
        })
        .collect();
    let first = vault.store_key("nathalie").await.unwrap();
    for one in asked {
        assert_eq!(one.await.unwrap(), first);
    }
    assert_ne!(vault.store_key("paul").await.unwrap(), first);
    assert!(first.iter().any(|byte| *byte != 0));
    vault.delete_store_key("nathalie").await.unwrap();
    assert_eq!(vault.existing_store_key("nathalie").await, Ok(None));
}

#[tokio::test]
async fn deleting_by_prefix_leaves_the_others() {
    let vault = Vault::in_memory();
    for key in ["chat.session", "chat.device", "session"] {
        vault.set(key, Secret::from(key)).await.unwrap();
    }
    vault.delete_all("chat.").await.unwrap();
    assert_eq!(vault.get("chat.session").await, Ok(None));
    assert_eq!(vault.get("chat.device").await, Ok(None));
    assert_eq!(
        vault.get("session").await,
        Ok(Some(Secret::from("session")))
    );
}

#[test]
fn names_of_entries_tell_nothing_about_the_account() {
    let name = store_key_name("nathalie.martin@saint-elme.example");
    assert!(name.starts_with("store.") && !name.contains("nathalie"));
}

#[tokio::test]
async fn a_secret_is_never_printed() {
    assert_eq!(format!("{:?}", Secret::from("hush")), "Secret(…)");
}
