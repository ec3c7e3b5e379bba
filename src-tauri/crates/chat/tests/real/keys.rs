use chat::{Body, ChatError, Item, Recovery};

use crate::common::{Device, shared, together};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_device_reads_old_messages_with_the_recovery_key_and_not_with_a_wrong_one() {
    let workplace = shared().await;
    let (first, other, room) = together(workplace, 20, 21).await;
    first
        .until(|status| status.verified && status.recovery == Recovery::NotSetUp)
        .await;
    let (_, mut before) = first.open(&room).await;
    other.open(&room).await;
    other.say(&room, "Message d'avant").await;
    before.message("Message d'avant").await;

    let key = first.chat.recovery_create().await.unwrap();
    first
        .until(|status| status.recovery == Recovery::NotSetUp)
        .await;
    first.chat.recovery_confirm().await.unwrap();
    first
        .until(|status| status.recovery == Recovery::Ready)
        .await;

    let second = Device::sign_in(workplace, 20).await;
    second
        .until(|status| status.recovery == Recovery::Needed && !status.verified)
        .await;
    let (_, mut items) = second.open(&room).await;
    items
        .one("an unreadable message", |item| {
            matches!(
                item,
                Item::Message {
                    body: Body::Undecryptable { .. },
                    ..
                }
            )
        })
        .await;
    for wrong in ["EsTc 1234", "pas une clé", ""] {
        assert!(
            matches!(
                second.chat.recover(wrong).await,
                Err(ChatError::RecoveryWrongKey)
            ),
            "{wrong}"
        );
    }
    let flipped: String = key.chars().rev().collect();
    assert!(matches!(
        second.chat.recover(&flipped).await,
        Err(ChatError::RecoveryWrongKey)
    ));
    second.chat.recover(&key).await.unwrap();
    items.message("Message d'avant").await;
    second
        .until(|status| status.recovery == Recovery::Ready && status.verified)
        .await;
    let devices = second.chat.devices().await.unwrap();
    assert!(devices[0].current && devices[0].verified);
    for device in [first, second, other] {
        device.chat.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_recovery_key_is_replaced_on_a_device_that_has_the_keys() {
    let workplace = shared().await;
    let first = Device::sign_in(workplace, 22).await;
    first.until(|status| status.verified).await;
    let lost = first.chat.recovery_create().await.unwrap();
    first.chat.recovery_confirm().await.unwrap();
    let new = first.chat.recovery_reset().await.unwrap();
    first.chat.recovery_confirm().await.unwrap();
    let second = Device::sign_in(workplace, 22).await;
    assert!(matches!(
        second.chat.recover(&lost).await,
        Err(ChatError::RecoveryWrongKey)
    ));
    second.chat.recover(&new).await.unwrap();
    first.chat.close().await;
    second.chat.close().await;
}
