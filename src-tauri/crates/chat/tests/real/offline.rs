use chat::{Chat, Item, Sending, Sync};

use crate::common::{PATIENCE, own, said, text_of, together};

fn numbered(start: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{start} {number:02}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_written_without_a_server_leave_once_and_in_order_after_a_restart() {
    let workplace = own().await;
    let (mut one, other, room) = together(&workplace, 0, 1).await;
    let (_, mut mine) = one.open(&room).await;
    let (_, mut theirs) = other.open(&room).await;
    // The keys of the conversation are shared with the first message.
    one.say(&room, "bonjour").await;
    theirs.message("bonjour").await;

    workplace.stop("synapse").await.unwrap();
    one.until(|status| status.sync != Sync::Live && status.retry_at.is_some())
        .await;
    for text in numbered("A", 10) {
        one.say(&room, &text).await;
    }
    mine.until("waiting messages", |list| {
        list.iter()
            .filter(|item| {
                matches!(
                    item,
                    Item::Message {
                        sending: Sending::Waiting,
                        ..
                    }
                )
            })
            .count()
            == 10
    })
    .await;
    assert!(
        !mine
            .list
            .iter()
            .any(|item| said(std::slice::from_ref(item), "A").len() == 1
                && matches!(
                    item,
                    Item::Message {
                        sending: Sending::Sent,
                        ..
                    }
                )),
        "nothing is said to be sent"
    );
    one.until(|status| status.queued == 10).await;

    let session = one.chat.session().borrow().json.clone();
    one.chat.close().await;
    workplace.start("synapse").await.unwrap();
    one.chat = Chat::restore(&session, one.setup()).await.unwrap();
    theirs
        .until("all ten", |list| said(list, "A").len() >= 10)
        .await;
    one.until(|status| status.sync == Sync::Live && status.queued == 0)
        .await;
    assert_eq!(said(&theirs.list, "A"), numbered("A", 10));
    one.chat.close().await;
    other.chat.close().await;
    workplace.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_the_middle_of_forty_messages_gets_each_of_them_once() {
    let workplace = own().await;
    let (one, other, room) = together(&workplace, 0, 1).await;
    let (_, mut mine) = one.open(&room).await;
    let (_, mut theirs) = other.open(&room).await;
    for text in numbered("C", 40) {
        one.say(&room, &text).await;
    }
    theirs
        .until("some messages", |list| said(list, "C").len() >= 8)
        .await;
    workplace.kill("synapse").await.unwrap();
    workplace.start("synapse").await.unwrap();
    one.chat.network_changed();
    other.chat.network_changed();
    theirs
        .until("all forty", |list| said(list, "C").len() >= 40)
        .await;
    mine.until("all sent", |list| {
        let sent = |item: &&Item| {
            text_of(item).is_some_and(|text| text.starts_with("C "))
                && matches!(
                    item,
                    Item::Message {
                        sending: Sending::Sent,
                        ..
                    }
                )
        };
        list.iter().filter(sent).count() >= 40
    })
    .await;
    one.until(|status| status.queued == 0).await;
    assert_eq!(said(&theirs.list, "C"), numbered("C", 40));
    assert_eq!(said(&mine.list, "C"), numbered("C", 40));
    one.chat.close().await;
    other.chat.close().await;
    workplace.down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_certificate_is_said_and_nothing_is_written_before_the_server_was_asked() {
    let workplace = crate::common::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("chat");
    let mut setup = crate::common::setup(workplace, store.clone());
    setup.http = network::Clients::new(&network::Trust::platform())
        .unwrap()
        .matrix();
    let homeserver = workplace.homeserver().parse().unwrap();
    let failed = tokio::time::timeout(
        PATIENCE,
        Chat::sign_in_password(&homeserver, "camille.martin", "saint-elme", setup),
    );
    let error = failed.await.unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            chat::ChatError::Network(network::Failure::WrongCertificate)
        ),
        "{error:?}"
    );
    assert!(!store.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_apart_and_leaves_no_store() {
    let workplace = crate::common::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("chat");
    let setup = crate::common::setup(workplace, store.clone());
    let failed = Chat::sign_in_password(
        &workplace.homeserver().parse().unwrap(),
        "camille.martin",
        "faux",
        setup,
    )
    .await;
    assert!(matches!(failed, Err(chat::ChatError::WrongPassword)));
    assert!(!store.exists());
}
