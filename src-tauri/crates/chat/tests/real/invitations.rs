use futures_util::future::try_join_all;

use crate::common::{Device, shared};

/// Rooms at once: invitations arrive faster than the store writes them down.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_to_a_named_room_never_bears_the_name_of_a_person() {
    let workplace = shared().await;
    let (host, guest) = tokio::join!(
        Device::sign_in(workplace, 24),
        Device::sign_in(workplace, 25)
    );
    let mut rooms = guest.rooms();
    let invited = [guest.chat.user_id()];
    for round in 0..4 {
        let names: Vec<String> = (0..AT_ONCE)
            .map(|number| format!("Salle {round}.{number}"))
            .collect();
        let created = try_join_all(
            names
                .iter()
                .map(|name| host.chat.create_room(name, &invited)),
        );
        let created = created.await.expect("created");
        rooms
            .until("right names", |list| {
                created.iter().zip(&names).all(|(id, name)| {
                    let shown = list.iter().find(|room| room.id == *id);
                    // Not known yet is the truth; somebody's name is not.
                    assert!(
                        shown.is_none_or(|room| room.name.is_empty() || room.name == *name),
                        "{name} is shown as {shown:?}"
                    );
                    shown.is_some_and(|room| room.name == *name)
                })
            })
            .await;
    }
    host.chat.close().await;
    guest.chat.close().await;
}
