//! What can be asked of chat. Each call runs on the threads of the [engine](crate::engine).

use std::path::{Path, PathBuf};

use url::Url;

use crate::chat::{Chat, SignedOut};
use crate::engine::run;
use crate::error::ChatError;
use crate::media::{MediaBytes, Variant};
use crate::session::{self, Setup, Way};
use crate::timeline::OpenTimeline;
use crate::view::{Device, Draft, Person};

/// Runs a method of `Shared` with owned arguments.
macro_rules! ask {
    ($self:ident, $method:ident $(, $argument:ident)*) => {{
        let shared = $self.shared.clone();
        $(let $argument = $argument.to_owned();)*
        run(Box::pin(async move { shared.$method($(&$argument),*).await })).await
    }};
}

/// Coming in and going out.
impl Chat {
    /// Signs in with the token of a browser trip. It can be used once. The server is asked before anything is
    /// written.
    pub async fn sign_in_token(
        homeserver: &Url,
        token: &str,
        setup: Setup,
    ) -> Result<Self, ChatError> {
        let (homeserver, way) = (homeserver.clone(), Way::Token(token.to_owned()));
        run(Box::pin(async move {
            session::sign_in(&homeserver, setup, way).await
        }))
        .await
    }

    /// Signs in where the organisation has no browser sign-in.
    pub async fn sign_in_password(
        homeserver: &Url,
        user: &str,
        password: &str,
        setup: Setup,
    ) -> Result<Self, ChatError> {
        let homeserver = homeserver.clone();
        let way = Way::Password(user.to_owned(), password.to_owned());
        run(Box::pin(async move {
            session::sign_in(&homeserver, setup, way).await
        }))
        .await
    }

    /// Opens what is on this device. No request is made before it returns.
    ///
    /// `StoreCorrupt` means that the keys of the device are lost: what is left was set aside, and the person
    /// has to sign in again. Damaged rooms or messages are fetched again, and the status says `store_reset`.
    pub async fn restore(session_json: &str, setup: Setup) -> Result<Self, ChatError> {
        let session_json = session_json.to_owned();
        run(Box::pin(async move {
            session::restore(&session_json, setup).await
        }))
        .await
    }

    /// Signs out: tells the server, then deletes the local copy whatever the server said.
    pub async fn sign_out(self) -> SignedOut {
        let shared = self.shared.clone();
        let nothing = SignedOut {
            device_revoked: false,
            wiped: false,
        };
        run(Box::pin(async move { Ok(shared.sign_out().await) }))
            .await
            .unwrap_or(nothing)
    }

    /// Ends every task and closes the store; the data stay. A second call does nothing.
    pub async fn close(&self) {
        let shared = self.shared.clone();
        let _ = run(Box::pin(async move {
            shared.close().await;
            Ok(())
        }))
        .await;
    }

    /// The person at this screen, as the others see them.
    pub async fn own_profile(&self) -> Person {
        let shared = self.shared.clone();
        let known = Person {
            id: self.user_id(),
            name: crate::text::names::person(None, &self.user_id()),
            avatar: None,
            function: None,
        };
        run(Box::pin(async move { Ok(shared.own_profile().await) }))
            .await
            .unwrap_or(known)
    }
}

/// Conversations.
impl Chat {
    /// Opens a room's conversation. One that was open a moment ago is there at once.
    pub async fn open_timeline(&self, room: &str) -> Result<OpenTimeline, ChatError> {
        ask!(self, open_timeline, room)
    }

    /// Fetches older messages. True when there are none before those that are shown.
    pub async fn timeline_back(&self, id: u32) -> Result<bool, ChatError> {
        let shared = self.shared.clone();
        run(Box::pin(async move { shared.timeline_back(id).await })).await
    }

    /// The view is gone. The last few conversations stay ready.
    pub fn timeline_close(&self, id: u32) {
        self.shared.timeline_close(id);
    }

    /// Everything in the room is read: for others (receipt), for one's other devices (marker), and by hand.
    pub async fn mark_read(&self, room: &str) -> Result<(), ChatError> {
        ask!(self, mark_read, room)
    }

    /// Puts a message into the queue. When this returns it is safe on disk.
    pub async fn send(&self, room: &str, draft: Draft) -> Result<(), ChatError> {
        // Taken before anything else is waited for: what is asked first is sent first.
        let turn = self.shared.turn(room).await;
        let (shared, room) = (self.shared.clone(), room.to_owned());
        run(Box::pin(async move {
            let _turn = turn;
            shared.send(&room, &draft).await
        }))
        .await
    }

    /// Sends files, each as one message, in this order. Nothing is sent when one of them cannot be.
    pub async fn send_files(&self, room: &str, paths: Vec<PathBuf>) -> Result<(), ChatError> {
        let turn = self.shared.turn(room).await;
        let (shared, room) = (self.shared.clone(), room.to_owned());
        run(Box::pin(async move {
            let _turn = turn;
            shared.send_files(&room, &paths).await
        }))
        .await
    }

    /// Sends a picture or file that is in memory, for example from the clipboard.
    pub async fn send_bytes(
        &self,
        room: &str,
        name: &str,
        mime: &str,
        bytes: Vec<u8>,
    ) -> Result<(), ChatError> {
        let turn = self.shared.turn(room).await;
        let shared = self.shared.clone();
        let (room, name, mime) = (room.to_owned(), name.to_owned(), mime.to_owned());
        run(Box::pin(async move {
            let _turn = turn;
            shared.send_bytes(&room, &name, &mime, bytes).await
        }))
        .await
    }

    /// Changes a message of one's own.
    pub async fn edit(&self, room: &str, event_id: &str, text: &str) -> Result<(), ChatError> {
        ask!(self, edit, room, event_id, text)
    }

    /// Takes a message back.
    pub async fn redact(&self, room: &str, event_id: &str) -> Result<(), ChatError> {
        ask!(self, redact, room, event_id)
    }

    /// Tries a message again that the server refused. `item` is the id of its line.
    pub async fn retry(&self, room: &str, item: &str) -> Result<(), ChatError> {
        ask!(self, retry, room, item)
    }

    /// Drops a message that was not sent. `item` is the id of its line.
    pub async fn discard(&self, room: &str, item: &str) -> Result<(), ChatError> {
        ask!(self, discard, room, item)
    }

    /// Tells the others in the room that one is writing, or stopped.
    pub async fn typing(&self, room: &str, on: bool) -> Result<(), ChatError> {
        let (shared, room) = (self.shared.clone(), room.to_owned());
        run(Box::pin(async move { shared.set_typing(&room, on).await })).await
    }

    /// The picture behind a token. Anything that is not a picture, or too large to be shown, is not available.
    pub async fn media(&self, token: &str, variant: Variant) -> Result<MediaBytes, ChatError> {
        let (shared, token) = (self.shared.clone(), token.to_owned());
        run(Box::pin(async move {
            shared.media_bytes(&token, variant).await
        }))
        .await
    }

    /// Saves an attachment as it was sent. The file appears under its name only when it is complete.
    pub async fn save_media(&self, token: &str, to: &Path) -> Result<(), ChatError> {
        ask!(self, save_media, token, to)
    }
}

/// Rooms and people.
impl Chat {
    /// Accepts an invitation, or enters an open room.
    pub async fn join(&self, room: &str) -> Result<(), ChatError> {
        ask!(self, join, room)
    }

    /// Leaves a room or declines an invitation.
    pub async fn leave(&self, room: &str) -> Result<(), ChatError> {
        ask!(self, leave, room)
    }

    /// Keeps a room at hand, or no longer.
    pub async fn favourite(&self, room: &str, on: bool) -> Result<(), ChatError> {
        let (shared, room) = (self.shared.clone(), room.to_owned());
        run(Box::pin(async move { shared.favourite(&room, on).await })).await
    }

    /// Who is in a room, by name.
    pub async fn members(&self, room: &str) -> Result<Vec<Person>, ChatError> {
        ask!(self, members, room)
    }

    /// People of the directory whose name or id has the term in it.
    pub async fn people_search(&self, term: &str) -> Result<Vec<Person>, ChatError> {
        ask!(self, people_search, term)
    }

    /// The direct conversation with somebody: the one there is, else a new encrypted one. Gives the room's id.
    pub async fn direct(&self, user: &str) -> Result<String, ChatError> {
        ask!(self, direct, user)
    }

    /// A new encrypted room for some people. Gives its id.
    pub async fn create_room(&self, name: &str, invite: &[String]) -> Result<String, ChatError> {
        ask!(self, create_room, name, invite)
    }
}

/// Keys and devices.
impl Chat {
    /// Makes a recovery key. It is shown once and kept nowhere on this device.
    pub async fn recovery_create(&self) -> Result<String, ChatError> {
        ask!(self, recovery_create)
    }

    /// The person says that the key is kept.
    pub async fn recovery_confirm(&self) -> Result<(), ChatError> {
        ask!(self, recovery_confirm)
    }

    /// Makes old messages readable on this device and lets the others trust it.
    pub async fn recover(&self, key: &str) -> Result<(), ChatError> {
        ask!(self, recover, key)
    }

    /// The key was lost: makes a new one. Where no device has the keys any more, old messages stay unreadable,
    /// and a server that wants a proof of who asks refuses (`Forbidden`).
    pub async fn recovery_reset(&self) -> Result<String, ChatError> {
        ask!(self, recovery_reset)
    }

    /// The devices this person is signed in on, this one first.
    pub async fn devices(&self) -> Result<Vec<Device>, ChatError> {
        ask!(self, devices)
    }
}
