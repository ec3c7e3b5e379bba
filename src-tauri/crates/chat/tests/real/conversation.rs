use std::io::Cursor;

use chat::{Body, Item, LastKind, RoomKind, Variant};

use crate::common::{Device, body_of, draft, event_id, is_sent, shared, text_of, together};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_read_each_other_in_an_encrypted_room() {
    let (one, other, room) = together(shared().await, 0, 1).await;
    let (opened, mut mine) = one.open(&room).await;
    let (_, mut theirs) = other.open(&room).await;
    assert!(opened.can_write);
    assert_eq!(
        (opened.room.encrypted, opened.room.kind),
        (Some(true), RoomKind::Channel)
    );

    one.say(&room, "Le lit **12** est libre").await;
    let read = theirs.message("Le lit 12 est libre").await;
    assert!(matches!(
        &read,
        Item::Message {
            mine: false,
            clear: false,
            mentions_me: false,
            ..
        }
    ));
    mine.one("sent", |item| {
        text_of(item).as_deref() == Some("Le lit 12 est libre") && is_sent(item)
    })
    .await;

    let mut answer = draft("Merci, j'arrive");
    answer.reply_to = Some(event_id(&read));
    answer.mentions = vec![one.chat.user_id()];
    other.chat.send(&room, answer).await.unwrap();
    let answered = mine.message("Merci, j'arrive").await;
    let Item::Message {
        reply: Some(reply),
        mentions_me,
        author,
        ..
    } = answered
    else {
        panic!("no reply")
    };
    assert_eq!(reply.text, "Le lit 12 est libre");
    assert_eq!(reply.author.unwrap().id, one.chat.user_id());
    assert!(mentions_me && !author.name.is_empty());

    let listed = one
        .room(|known| {
            known.id == room
                && known
                    .last
                    .as_ref()
                    .is_some_and(|last| last.text == "Merci, j'arrive")
        })
        .await;
    assert_eq!(listed.last.unwrap().kind, LastKind::Text);
    one.chat.close().await;
    other.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unread_is_counted_until_it_is_read_and_the_writer_sees_who_read() {
    let (one, other, room) = together(shared().await, 2, 3).await;
    let (_, mut mine) = one.open(&room).await;
    one.say(&room, "un").await;
    one.say(&room, "deux").await;
    let mut rooms = other.rooms();
    rooms
        .one("two unread", |known| known.id == room && known.unread == 2)
        .await;
    other.until(|status| status.unread >= 2).await;

    let (_, mut theirs) = other.open(&room).await;
    theirs.message("deux").await;
    other.chat.mark_read(&room).await.unwrap();
    rooms
        .one("nothing unread", |known| {
            known.id == room && known.unread == 0
        })
        .await;
    mine.one("read by", |item| {
        text_of(item).as_deref() == Some("deux")
            && matches!(item, Item::Message { read_by, read_by_count: 1, .. } if read_by[0].id == other.chat.user_id())
    })
    .await;
    one.chat.close().await;
    other.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_writes_is_seen_writing() {
    let (one, other, room) = together(shared().await, 4, 5).await;
    let _mine = one.open(&room).await;
    let _theirs = other.open(&room).await;
    let mut typing = one.chat.typing_people();
    other.chat.typing(&room, true).await.unwrap();
    let seen = tokio::time::timeout(
        crate::common::PATIENCE,
        typing.wait_for(|typing| !typing.people.is_empty()),
    );
    assert_eq!(seen.await.unwrap().unwrap().room, room);
    other.chat.typing(&room, false).await.unwrap();
    let gone = tokio::time::timeout(
        crate::common::PATIENCE,
        typing.wait_for(|typing| typing.people.is_empty()),
    );
    gone.await.unwrap().unwrap();
    one.chat.close().await;
    other.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_arrives_as_it_was_sent() {
    let (one, other, room) = together(shared().await, 6, 7).await;
    let (_, mut theirs) = other.open(&room).await;
    let folder = tempfile::tempdir().unwrap();
    let document: Vec<u8> = (0..300_000_u32)
        .map(|byte| u8::try_from(byte * 7 % 251).unwrap())
        .collect();
    let path = folder.path().join("Compte rendu.pdf");
    std::fs::write(&path, [b"%PDF-1.7\n".as_slice(), &document].concat()).unwrap();
    one.chat
        .send_files(&room, vec![path.clone()])
        .await
        .unwrap();
    let sent = theirs
        .one("a file", |item| {
            matches!(body_of(item), Some(Body::File { .. }))
        })
        .await;
    let Item::Message {
        body:
            Body::File {
                name,
                mime,
                media,
                size,
                ..
            },
        clear,
        ..
    } = sent
    else {
        panic!("a file")
    };
    assert_eq!(
        (name.as_str(), mime.as_str(), size, clear),
        (
            "Compte rendu.pdf",
            "application/pdf",
            Some(300_009.0),
            false
        )
    );
    let saved = folder.path().join("saved.pdf");
    other.chat.save_media(&media, &saved).await.unwrap();
    assert_eq!(
        std::fs::read(&saved).unwrap(),
        std::fs::read(&path).unwrap()
    );

    one.chat.close().await;
    other.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_is_shown_small_and_saved_as_it_was() {
    let (one, other, room) = together(shared().await, 12, 13).await;
    let (_, mut theirs) = other.open(&room).await;
    let mut picture = Cursor::new(Vec::new());
    let colours = image::RgbImage::from_fn(1_600, 1_200, |x, y| {
        image::Rgb([x, y, x * y].map(|value| value.to_le_bytes()[0]))
    });
    colours
        .write_to(&mut picture, image::ImageFormat::Png)
        .unwrap();
    let picture = picture.into_inner();
    one.chat
        .send_bytes(&room, "radio.png", "image/png", picture.clone())
        .await
        .unwrap();
    let sent = theirs
        .one("a picture", |item| {
            matches!(body_of(item), Some(Body::Image { .. }))
        })
        .await;
    let Item::Message {
        body:
            Body::Image {
                src,
                media,
                width,
                height,
                too_large,
                ..
            },
        ..
    } = sent
    else {
        panic!("a picture")
    };
    assert_eq!(
        (width, height, too_large),
        (Some(1_600), Some(1_200), false)
    );
    assert_eq!(src, format!("media://localhost/{media}?v=thumb"));
    let thumb = other.chat.media(&media, Variant::Thumb).await.unwrap();
    let small = image::load_from_memory(&thumb.bytes).unwrap();
    assert!(small.width() <= 800 && small.height() <= 800);
    let full = other.chat.media(&media, Variant::Full).await.unwrap();
    assert_eq!(
        (full.bytes.as_ref(), full.mime),
        (picture.as_slice(), "image/png")
    );
    one.chat.close().await;
    other.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_conversation_is_made_once() {
    let workplace = shared().await;
    let one = Device::sign_in(workplace, 30).await;
    let friend = workplace.people()[31].clone();
    let found = one.chat.people_search(&friend.uid).await.unwrap();
    let person = found
        .iter()
        .find(|person| person.id.contains(&friend.uid))
        .expect("in the directory")
        .clone();
    let first = one.chat.direct(&person.id).await.unwrap();
    let room = one
        .room(|known| known.id == first && known.kind == RoomKind::Direct && !known.name.is_empty())
        .await;
    assert_eq!(room.person.as_deref(), Some(person.id.as_str()));
    assert_eq!(one.chat.direct(&person.id).await.unwrap(), first);
    one.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_the_named_rooms_are_there_before_the_first_request() {
    let workplace = shared().await;
    let mut one = Device::sign_in(workplace, 33).await;
    one.rooms()
        .until("named rooms", |rooms| {
            rooms.len() >= 3 && rooms.iter().all(|room| !room.name.is_empty())
        })
        .await;
    one.until(|status| status.sync == chat::Sync::Live).await;
    let session = one.chat.session().borrow().json.clone();
    one.chat.close().await;
    // A client that reaches nobody: whatever is shown comes from this device.
    let mut setup = one.setup();
    setup.http =
        network::Clients::new(&network::Trust::from_pem(workplace.authority().as_bytes()).unwrap())
            .unwrap()
            .matrix();
    let nowhere = session.replace(one.homeserver().port().unwrap().to_string().as_str(), "1");
    one.chat = chat::Chat::restore(&nowhere, setup).await.unwrap();
    let (rooms, _) = one.chat.rooms();
    assert!(
        rooms.len() >= 3 && rooms.iter().all(|room| !room.name.is_empty()),
        "{rooms:#?}"
    );
    one.until(|status| {
        status.sync == chat::Sync::Offline && status.retry_at.is_some() && status.problem.is_some()
    })
    .await;
    one.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_out_leaves_nothing_here_and_no_device_there() {
    let workplace = shared().await;
    let one = Device::sign_in(workplace, 39).await;
    let other = Device::sign_in(workplace, 39).await;
    let (gone, folder) = (one.chat.device_id(), one.store());
    assert!(
        other
            .chat
            .devices()
            .await
            .unwrap()
            .iter()
            .any(|device| device.id == gone)
    );
    let out = one.chat.sign_out().await;
    assert!(out.device_revoked && out.wiped && !folder.exists());
    let left = other.chat.devices().await.unwrap();
    assert!(left[0].current && !left.iter().any(|device| device.id == gone));
    other.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_message_is_told_once_with_its_words() {
    let (one, other, room) = together(shared().await, 8, 9).await;
    let mut notices = other.chat.notices();
    one.say(&room, "Réunion à 14 h").await;
    let notice = tokio::time::timeout(crate::common::PATIENCE, notices.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (notice.room_id.as_str(), notice.text.as_str(), notice.direct),
        (room.as_str(), "Réunion à 14 h", false)
    );
    assert!(notices.try_recv().is_err());
    one.chat.close().await;
    other.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_can_be_changed_and_taken_back() {
    let (one, other, room) = together(shared().await, 26, 27).await;
    let (_, mut mine) = one.open(&room).await;
    let (_, mut theirs) = other.open(&room).await;
    one.say(&room, "à 14 h").await;
    let sent = mine
        .one("sent", |item| {
            text_of(item).as_deref() == Some("à 14 h") && is_sent(item)
        })
        .await;
    theirs.message("à 14 h").await;
    one.chat
        .edit(&room, &event_id(&sent), "à 15 h")
        .await
        .unwrap();
    let changed = theirs.message("à 15 h").await;
    assert!(matches!(changed, Item::Message { edited: true, .. }));
    one.chat.redact(&room, &event_id(&sent)).await.unwrap();
    theirs
        .one("taken back", |item| {
            matches!(
                item,
                Item::Message {
                    body: Body::Redacted,
                    ..
                }
            )
        })
        .await;
    assert!(matches!(
        other.chat.edit(&room, &event_id(&sent), "x").await,
        Err(chat::ChatError::Forbidden)
    ));
    one.chat.close().await;
    other.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_clear_is_marked_in_an_encrypted_room_and_nowhere_else() {
    let workplace = shared().await;
    let one = Device::sign_in(workplace, 28).await;
    let careless = workplace.people()[29].mxid.clone();
    let room = one
        .chat
        .create_room("Chiffré", std::slice::from_ref(&careless))
        .await
        .unwrap();
    let everybody = workplace.everybody().unwrap();
    everybody.join(&room, &careless).await.unwrap();
    let (_, mut items) = one.open(&room).await;
    one.say(&room, "en secret").await;
    everybody.text(&room, &careless, "en clair").await.unwrap();
    let read = items.message("en clair").await;
    assert!(matches!(read, Item::Message { clear: true, .. }));
    let own = items
        .one("sent", |item| {
            text_of(item).as_deref() == Some("en secret") && is_sent(item)
        })
        .await;
    assert!(matches!(own, Item::Message { clear: false, .. }));
    one.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_message_in_a_room_that_was_just_made_is_encrypted() {
    let workplace = shared().await;
    let one = Device::sign_in(workplace, 28).await;
    for number in 0..10 {
        let name = format!("Nouveau {number}");
        let room = one.chat.create_room(&name, &[]).await.unwrap();
        says_in_secret(&one, &room).await;
    }
    one.chat.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_right_after_encryption_was_turned_on_elsewhere_is_encrypted() {
    let workplace = shared().await;
    let one = Device::sign_in(workplace, 28).await;
    let me = one.chat.user_id();
    let everybody = workplace.everybody().unwrap();
    let wanted = serde_json::json!({ "name": "Ouvert", "preset": "private_chat" });
    for _ in 0..5 {
        let room = everybody.create_room(&me, &wanted).await.unwrap();
        one.room(|known| known.id == room && known.encrypted == Some(false))
            .await;
        let path = ["rooms", &room, "state", "m.room.encryption"];
        let on = serde_json::json!({ "algorithm": "m.megolm.v1.aes-sha2" });
        everybody
            .send("PUT".parse().unwrap(), &me, &path, None, &on)
            .await
            .unwrap();
        says_in_secret(&one, &room).await;
    }
    one.chat.close().await;
}

/// Says something, and asks the server what it got.
async fn says_in_secret(one: &Device, room: &str) {
    one.say(room, "en secret").await;
    let (_, mut items) = one.open(room).await;
    let sent = items
        .one("sent", |item| {
            text_of(item).as_deref() == Some("en secret") && is_sent(item)
        })
        .await;
    let event = event_id(&sent);
    let path = ["rooms", room, "event", &event];
    let everybody = shared().await.everybody().unwrap();
    let there = everybody
        .send(
            "GET".parse().unwrap(),
            &one.chat.user_id(),
            &path,
            None,
            &serde_json::json!({}),
        )
        .await
        .unwrap();
    assert_eq!(there["type"], "m.room.encrypted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_a_message_that_is_not_on_the_screen_shows_what_it_answers() {
    let workplace = shared().await;
    let one = Device::sign_in(workplace, 23).await;
    let writer = workplace.people()[25].mxid.clone();
    let everybody = workplace.everybody().unwrap();
    let wanted = serde_json::json!({ "name": "Archives", "preset": "private_chat", "invite": [one.chat.user_id()] });
    let room = everybody.create_room(&writer, &wanted).await.unwrap();
    let asked = everybody
        .text(&room, &writer, "Où est le dossier ?")
        .await
        .unwrap();
    for number in 0..60 {
        everybody
            .text(&room, &writer, &format!("autre chose {number}"))
            .await
            .unwrap();
    }
    one.room(|known| known.id == room && known.invited).await;
    one.chat.join(&room).await.unwrap();
    let (_, mut items) = one.open(&room).await;
    let answer = serde_json::json!({ "msgtype": "m.text", "body": "Au premier",
        "m.relates_to": { "m.in_reply_to": { "event_id": asked } } });
    everybody
        .say(&room, &writer, "m.room.message", None, &answer)
        .await
        .unwrap();
    items
        .one("what it answers", |item| {
            text_of(item).as_deref() == Some("Au premier")
                && matches!(item, Item::Message { reply: Some(reply), .. } if reply.text == "Où est le dossier ?" && reply.author.is_some())
        })
        .await;
    assert!(
        !items
            .list
            .iter()
            .any(|item| text_of(item).as_deref() == Some("Où est le dossier ?"))
    );
    // Another program opens the room: the answer is there from the start, what it answers is not.
    let again = Device::sign_in(workplace, 23).await;
    let (_, mut items) = again.open(&room).await;
    items
        .one("what it answers", |item| {
            matches!(item, Item::Message { reply: Some(reply), .. } if reply.text == "Où est le dossier ?")
        })
        .await;
    one.chat.close().await;
    again.chat.close().await;
}
