//! People, and the rooms one shares with them.

use matrix_sdk::RoomMemberships;
use matrix_sdk::RoomState;
use matrix_sdk::ruma::UserId;
use matrix_sdk::ruma::api::client::room::create_room::v3 as create_room;
use matrix_sdk::ruma::events::InitialStateEvent;
use matrix_sdk::ruma::events::room::encryption::RoomEncryptionEventContent;

use crate::chat::Shared;
use crate::error::ChatError;
use crate::rooms::Known;
use crate::secrecy;
use crate::text::names;
use crate::view::Person;

/// People found at once.
const FOUND: u64 = 30;
/// Members of a room that are listed.
const MEMBERS: usize = 2_000;
/// Longest name of a new room, in letters.
const ROOM_NAME: usize = 120;

impl Shared {
    /// People of the directory whose name or id has the term in it.
    pub(crate) async fn people_search(&self, term: &str) -> Result<Vec<Person>, ChatError> {
        self.live()?;
        let term = term.trim();
        if term.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.client.search_users(term, FOUND).await?;
        Ok(found
            .results
            .into_iter()
            .filter(|user| user.user_id != self.own)
            .map(|user| {
                self.person(
                    &user.user_id,
                    user.display_name.as_deref(),
                    user.avatar_url.as_deref(),
                )
            })
            .collect())
    }

    /// Who is in a room, by name.
    pub(crate) async fn members(&self, room: &str) -> Result<Vec<Person>, ChatError> {
        let room = self.room(room)?;
        let members = match room.members(RoomMemberships::ACTIVE).await {
            Ok(members) => members,
            // Without network, those that are known.
            Err(_) => room.members_no_sync(RoomMemberships::ACTIVE).await?,
        };
        let mut people: Vec<Person> = members
            .iter()
            .take(MEMBERS)
            .map(|member| self.person(member.user_id(), member.display_name(), member.avatar_url()))
            .collect();
        people.sort_by_cached_key(|person| (person.name.to_lowercase(), person.id.clone()));
        Ok(people)
    }

    /// The direct conversation with somebody: the one there is, else a new encrypted one.
    pub(crate) async fn direct(&self, user: &str) -> Result<String, ChatError> {
        self.live()?;
        let user = <&UserId>::try_from(user)
            .map_err(|_| ChatError::Other("a person's id is malformed"))?;
        if let Some(room) = self.client.get_dm_room(user) {
            return Ok(room.room_id().to_string());
        }
        // Their invitation to us is the same conversation.
        let invitation =
            self.client.invited_rooms().into_iter().find(|room| {
                crate::rooms::direct_person(room).is_some_and(|person| person == user)
            });
        if let Some(room) = invitation {
            room.join().await?;
            return Ok(room.room_id().to_string());
        }
        let room = self.client.create_dm(user).await?;
        secrecy::encrypted(&room).await?;
        Ok(room.room_id().to_string())
    }

    /// A new encrypted room for some people.
    pub(crate) async fn create_room(
        &self,
        name: &str,
        invite: &[String],
    ) -> Result<String, ChatError> {
        self.live()?;
        let mut request = create_room::Request::new();
        request.name = Some(name.chars().take(ROOM_NAME).collect());
        request.invite = invite
            .iter()
            .filter_map(|person| UserId::parse(person).ok())
            .collect();
        request.preset = Some(create_room::RoomPreset::PrivateChat);
        request.initial_state = vec![
            InitialStateEvent::with_empty_state_key(
                RoomEncryptionEventContent::with_recommended_defaults(),
            )
            .to_raw_any(),
        ];
        let room = self.client.create_room(request).await?;
        secrecy::encrypted(&room).await?;
        Ok(room.room_id().to_string())
    }

    /// Accepts an invitation, or enters an open room.
    pub(crate) async fn join(&self, room: &str) -> Result<(), ChatError> {
        self.live()?;
        let id = crate::chat::room_id(room)?;
        self.client.join_room_by_id(&id).await?;
        Ok(())
    }

    /// Leaves a room or declines an invitation.
    pub(crate) async fn leave(&self, room: &str) -> Result<(), ChatError> {
        let room = self.room(room)?;
        if room.state() != RoomState::Left {
            room.leave().await?;
        }
        Ok(())
    }

    /// Keeps a room at hand, or no longer.
    pub(crate) async fn favourite(&self, room: &str, on: bool) -> Result<(), ChatError> {
        let room = self.room(room)?;
        room.set_is_favourite(on, None).await?;
        Ok(())
    }
}

impl Shared {
    pub(crate) fn person(
        &self,
        id: &UserId,
        name: Option<&str>,
        avatar: Option<&matrix_sdk::ruma::MxcUri>,
    ) -> Person {
        let known = Known {
            name: names::person(name, id.as_str()),
            avatar: avatar.map(|avatar| self.media.avatar(avatar)),
        };
        if name.is_some() {
            self.rooms.people.learn(id, known.clone());
        }
        Person {
            id: id.to_string(),
            name: known.name,
            avatar: known.avatar,
            function: None,
        }
    }
}
