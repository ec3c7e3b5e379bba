use chat::{Body, ChatError, Item, Node};

use crate::common::{Device, body_of, draft, shared, text_of, words};

/// A person of the workplace and a room with somebody who sends anything.
async fn stage(index: usize) -> (Device, workplace::Homeserver, String, String) {
    let workplace = shared().await;
    let victim = Device::sign_in(workplace, index).await;
    let everybody = workplace.everybody().unwrap();
    let attacker = workplace.people()[index + 1].mxid.clone();
    let room = everybody
        .create_room(&attacker, &serde_json::json!({ "name": "Salle", "preset": "private_chat", "invite": [victim.chat.user_id()] }))
        .await
        .unwrap();
    victim.room(|known| known.id == room && known.invited).await;
    victim.chat.join(&room).await.unwrap();
    (victim, everybody, attacker, room)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deep_and_hostile_html_is_shown_harmlessly() {
    let (victim, everybody, attacker, room) = stage(10).await;
    let (_, mut items) = victim.open(&room).await;
    let deep = "<div>".repeat(6_000) + "fond";
    let html = |formatted: &str| serde_json::json!({ "msgtype": "m.text", "body": "texte", "format": "org.matrix.custom.html", "formatted_body": formatted });
    everybody
        .say(&room, &attacker, "m.room.message", None, &html(&deep))
        .await
        .unwrap();
    everybody
        .say(
            &room,
            &attacker,
            "m.room.message",
            None,
            &html(&("<b>".repeat(9_000) + "gras")),
        )
        .await
        .unwrap();
    everybody
        .say(
            &room,
            &attacker,
            "m.room.message",
            None,
            &html("<a href=\"javascript:alert(1)\">cliquez</a><script>alert(2)</script>"),
        )
        .await
        .unwrap();
    everybody.say(&room, &attacker, "m.room.message", None, &serde_json::json!({ "msgtype": "m.text", "body": format!("{}fin", "a ".repeat(30_000)) })).await.unwrap();
    everybody
        .text(&room, &attacker, "le dernier")
        .await
        .unwrap();
    items.message("le dernier").await;
    let shown = items
        .one("a refused link", |item| {
            text_of(item).is_some_and(|text| text.starts_with("cliquez"))
        })
        .await;
    let Item::Message {
        body: Body::Text { nodes, .. },
        clear,
        ..
    } = shown
    else {
        panic!("text")
    };
    assert!(
        nodes.iter().all(|node| matches!(node, Node::Text { .. }))
            && !words(&nodes).contains("javascript")
    );
    assert!(!clear, "the room is not encrypted");
    let messages = items
        .list
        .iter()
        .filter(|item| matches!(item, Item::Message { .. }))
        .count();
    assert_eq!(messages, 5);
    victim.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_megabyte_is_refused_before_it_leaves() {
    let (victim, _, _, room) = stage(32).await;
    let refused = victim.chat.send(&room, draft(&"a".repeat(1_000_000))).await;
    assert!(matches!(refused, Err(ChatError::TooLarge { max }) if max >= 40_000));
    victim
        .chat
        .send(&room, draft(&"é".repeat(20_000)))
        .await
        .unwrap();
    let (_, mut items) = victim.open(&room).await;
    items
        .one("a long message", |item| {
            text_of(item).is_some_and(|text| text.len() == 40_000) && crate::common::is_sent(item)
        })
        .await;
    victim.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_cannot_hide_anything_and_files_cannot_leave_their_folder() {
    let (victim, everybody, attacker, room) = stage(14).await;
    let (_, mut items) = victim.open(&room).await;
    let file = serde_json::json!({ "msgtype": "m.file", "body": "../../x", "filename": "../../x", "url": "mxc://saint-elme.localhost/none",
        "info": { "mimetype": "text/html", "size": 12 } });
    everybody
        .say(&room, &attacker, "m.room.message", None, &file)
        .await
        .unwrap();
    let shown = items
        .one("a file", |item| {
            matches!(body_of(item), Some(Body::File { .. }))
        })
        .await;
    let Item::Message {
        body: Body::File { name, media, .. },
        ..
    } = shown
    else {
        panic!("a file")
    };
    assert_eq!(name, "x");
    assert!(matches!(
        victim.chat.media(&media, chat::Variant::Full).await,
        Err(ChatError::MediaUnavailable | ChatError::Network(_))
    ));
    let huge = serde_json::json!({ "msgtype": "m.image", "body": "grand.png", "url": "mxc://saint-elme.localhost/none",
        "info": { "mimetype": "image/png", "size": 1000, "w": 20_000, "h": 20_000 } });
    everybody
        .say(&room, &attacker, "m.room.message", None, &huge)
        .await
        .unwrap();
    let shown = items
        .one("a picture", |item| {
            matches!(body_of(item), Some(Body::Image { .. }))
        })
        .await;
    assert!(
        matches!(shown, Item::Message { body: Body::Image { too_large: true, src, .. }, .. } if src.is_empty())
    );
    victim.chat.close().await;
}
