//! What can be asked of chat. Each call runs on the threads of the [engine](crate::engine).

use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use url::Url;

use crate::chat::{Chat, SignedOut};
use crate::engine::run;
use crate::error::ChatError;
use crate::media::{MediaBytes, Variant};
use crate::session::{self, Setup, Way};
use crate::timeline::OpenTimeline;
use crate::view::{Device, Draft, Person};

/// An answer on its way. It is boxed here, because whoever awaits an `async fn` compiles all that is below it:
/// each user of this crate would compile the SDK's futures again, minutes each time.
pub type Asked<T> = BoxFuture<'static, Result<T, ChatError>>;

/// Runs a method of `Shared` with owned arguments.
macro_rules! ask {
    ($self:ident, $method:ident $(, $argument:ident)*) => {{
        let shared = $self.shared.clone();
        $(let $argument = $argument.to_owned();)*
        run(Box::pin(async move { shared.$method($(&$argument),*).await }))
    }};
}

/// Coming in and going out.
impl Chat {
    /// Signs in with the token of a browser trip. It can be used once. The server is asked before anything is
    /// written.
    pub fn sign_in_token(homeserver: &Url, token: &str, setup: Setup) -> Asked<Self> {
        let (homeserver, way) = (homeserver.clone(), Way::Token(token.to_owned()));
        run(Box::pin(async move {
            session::sign_in(&homeserver, setup, way).await
        }))
    }

    /// Signs in where the organisation has no browser sign-in.
    pub fn sign_in_password(
        homeserver: &Url,
        user: &str,
        password: &str,
        setup: Setup,
    ) -> Asked<Self> {
        let homeserver = homeserver.clone();
        let way = Way::Password(user.to_owned(), password.to_owned());
        run(Box::pin(async move {
            session::sign_in(&homeserver, setup, way).await
        }))
    }

    /// Opens what is on this device. No request is made before it returns.
    ///
    /// `StoreCorrupt` means that the keys of the device are lost: what is left was set aside, and the person
    /// has to sign in again. Damaged rooms or messages are fetched again, and the status says `store_reset`.
    pub fn restore(session_json: &str, setup: Setup) -> Asked<Self> {
        let session_json = session_json.to_owned();
        run(Box::pin(async move {
            session::restore(&session_json, setup).await
        }))
    }

    /// Signs out: tells the server, then deletes the local copy whatever the server said.
    pub fn sign_out(self) -> BoxFuture<'static, SignedOut> {
        let shared = self.shared.clone();
        let nothing = SignedOut {
            device_revoked: false,
            wiped: false,
        };
        let work = run(Box::pin(async move { Ok(shared.sign_out().await) }));
        Box::pin(async move { work.await.unwrap_or(nothing) })
    }

    /// Ends every task and closes the store; the data stay. A second call does nothing.
    pub fn close(&self) -> BoxFuture<'static, ()> {
        let shared = self.shared.clone();
        let work = run(Box::pin(async move {
            shared.close().await;
            Ok(())
        }));
        Box::pin(async move {
            let _ = work.await;
        })
    }

    /// The person at this screen, as the others saw them last time; asks the server only when nothing is kept.
    pub fn own_profile(&self) -> Asked<Person> {
        ask!(self, own_profile)
    }

    /// The same as the server has it now; as of last time when it does not answer.
    pub fn fresh_profile(&self) -> Asked<Person> {
        ask!(self, fresh_profile)
    }
}

/// Conversations.
impl Chat {
    /// Opens a room's conversation. One that was open a moment ago is there at once.
    pub fn open_timeline(&self, room: &str) -> Asked<OpenTimeline> {
        ask!(self, open_timeline, room)
    }

    /// Fetches older messages. True when there are none before those that are shown.
    pub fn timeline_back(&self, id: u32) -> Asked<bool> {
        let shared = self.shared.clone();
        run(Box::pin(async move { shared.timeline_back(id).await }))
    }

    /// The view is gone. The last few conversations stay ready.
    pub fn timeline_close(&self, id: u32) {
        self.shared.timeline_close(id);
    }

    /// Everything in the room is read: for others (receipt), for one's other devices (marker), and by hand.
    pub fn mark_read(&self, room: &str) -> Asked<()> {
        ask!(self, mark_read, room)
    }

    /// Puts a message into the queue. When this returns it is safe on disk.
    pub fn send(&self, room: &str, draft: Draft) -> Asked<()> {
        let (shared, room) = (self.shared.clone(), room.to_owned());
        Box::pin(async move {
            // Taken before anything else is waited for: what is asked first is sent first.
            let turn = shared.turn(&room).await;
            run(Box::pin(async move {
                let _turn = turn;
                shared.send(&room, &draft).await
            }))
            .await
        })
    }

    /// Sends files, each as one message, in this order. Nothing is sent when one of them cannot be.
    pub fn send_files(&self, room: &str, paths: Vec<PathBuf>) -> Asked<()> {
        let (shared, room) = (self.shared.clone(), room.to_owned());
        Box::pin(async move {
            let turn = shared.turn(&room).await;
            run(Box::pin(async move {
                let _turn = turn;
                shared.send_files(&room, &paths).await
            }))
            .await
        })
    }

    /// Sends a picture or file that is in memory, for example from the clipboard.
    pub fn send_bytes(&self, room: &str, name: &str, mime: &str, bytes: Vec<u8>) -> Asked<()> {
        let shared = self.shared.clone();
        let (room, name, mime) = (room.to_owned(), name.to_owned(), mime.to_owned());
        Box::pin(async move {
            let turn = shared.turn(&room).await;
            run(Box::pin(async move {
                let _turn = turn;
                shared.send_bytes(&room, &name, &mime, bytes).await
            }))
            .await
        })
    }

    /// Changes a message of one's own.
    pub fn edit(&self, room: &str, event_id: &str, text: &str) -> Asked<()> {
        ask!(self, edit, room, event_id, text)
    }

    /// Takes a message back.
    pub fn redact(&self, room: &str, event_id: &str) -> Asked<()> {
        ask!(self, redact, room, event_id)
    }

    /// Tries a message again that the server refused. `item` is the id of its line.
    pub fn retry(&self, room: &str, item: &str) -> Asked<()> {
        ask!(self, retry, room, item)
    }

    /// Drops a message that was not sent. `item` is the id of its line.
    pub fn discard(&self, room: &str, item: &str) -> Asked<()> {
        ask!(self, discard, room, item)
    }

    /// Tells the others in the room that one is writing, or stopped.
    pub fn typing(&self, room: &str, on: bool) -> Asked<()> {
        let (shared, room) = (self.shared.clone(), room.to_owned());
        run(Box::pin(async move { shared.set_typing(&room, on).await }))
    }

    /// The picture behind a token. Anything that is not a picture, or too large to be shown, is not available.
    pub fn media(&self, token: &str, variant: Variant) -> Asked<MediaBytes> {
        let (shared, token) = (self.shared.clone(), token.to_owned());
        run(Box::pin(async move {
            shared.media_bytes(&token, variant).await
        }))
    }

    /// Saves an attachment as it was sent. The file appears under its name only when it is complete.
    pub fn save_media(&self, token: &str, to: &Path) -> Asked<()> {
        ask!(self, save_media, token, to)
    }
}

/// Rooms and people.
impl Chat {
    /// Accepts an invitation, or enters an open room.
    pub fn join(&self, room: &str) -> Asked<()> {
        ask!(self, join, room)
    }

    /// Leaves a room or declines an invitation.
    pub fn leave(&self, room: &str) -> Asked<()> {
        ask!(self, leave, room)
    }

    /// Keeps a room at hand, or no longer.
    pub fn favourite(&self, room: &str, on: bool) -> Asked<()> {
        let (shared, room) = (self.shared.clone(), room.to_owned());
        run(Box::pin(async move { shared.favourite(&room, on).await }))
    }

    /// Who is in a room, by name.
    pub fn members(&self, room: &str) -> Asked<Vec<Person>> {
        ask!(self, members, room)
    }

    /// People of the directory whose name or id has the term in it.
    pub fn people_search(&self, term: &str) -> Asked<Vec<Person>> {
        ask!(self, people_search, term)
    }

    /// The direct conversation with somebody: the one there is, else a new encrypted one. Gives the room's id.
    pub fn direct(&self, user: &str) -> Asked<String> {
        ask!(self, direct, user)
    }

    /// A new encrypted room for some people. Gives its id.
    pub fn create_room(&self, name: &str, invite: &[String]) -> Asked<String> {
        ask!(self, create_room, name, invite)
    }
}

/// Keys and devices.
impl Chat {
    /// Makes a recovery key. It is shown once and kept nowhere on this device.
    pub fn recovery_create(&self) -> Asked<String> {
        ask!(self, recovery_create)
    }

    /// The person says that the key is kept.
    pub fn recovery_confirm(&self) -> Asked<()> {
        ask!(self, recovery_confirm)
    }

    /// Makes old messages readable on this device and lets the others trust it.
    pub fn recover(&self, key: &str) -> Asked<()> {
        ask!(self, recover, key)
    }

    /// The key was lost: makes a new one. Where no device has the keys any more, old messages stay unreadable,
    /// and a server that wants a proof of who asks refuses (`Forbidden`).
    pub fn recovery_reset(&self) -> Asked<String> {
        ask!(self, recovery_reset)
    }

    /// The devices this person is signed in on, this one first.
    pub fn devices(&self) -> Asked<Vec<Device>> {
        ask!(self, devices)
    }
}
