use chat::Chat;
use url::Url;

use crate::common::{Device, Watched, setup, shared};

/// Each closes at another moment of the first exchange: when so many rooms have a last message.
const TOLD: [usize; 6] = [0, 1, 2, 4, 7, 10];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_closed_while_it_came_has_every_last_message_at_the_next_start() {
    let workplace = shared().await;
    // Who is in more rooms than anybody else.
    let person = &workplace.people()[0];
    let homeserver: Url = workplace.homeserver().parse().unwrap();
    for told in TOLD {
        let folder = tempfile::tempdir().unwrap();
        let setup = setup(workplace, folder.path().join("chat"));
        let chat =
            Chat::sign_in_password(&homeserver, &person.uid, &person.password, setup.clone())
                .await
                .expect("signed in");
        Watched::rooms(&chat)
            .until("room with a last message", |list| {
                let now = list.iter().filter(|room| room.last.is_some()).count();
                !list.is_empty() && now >= told
            })
            .await;
        let session = chat.session().borrow().json.clone();
        chat.close().await;
        drop(chat);
        let again = Device::restored(&homeserver, &session, setup).await;
        again.until(|status| status.all_rooms).await;
        again
            .rooms()
            .until("last message in each room", |list| {
                list.iter().all(|room| room.last.is_some())
            })
            .await;
        again.chat.close().await;
    }
}
