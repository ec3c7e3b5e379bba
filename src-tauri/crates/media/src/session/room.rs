//! Who is in the meeting and what they publish, as the server tells it.

use std::collections::HashMap;

use livekit_protocol as proto;

use crate::publication::Source;

/// More people than this, and more tracks of one of them, are not believed: a server that sends them without end would
/// fill our memory.
const MOST_PARTICIPANTS: usize = 4096;
const MOST_TRACKS: usize = 64;

/// A snapshot.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    pub name: String,
    /// Our own identity.
    pub identity: String,
    /// Everybody else, in the order of their coming.
    pub participants: Vec<Participant>,
    /// Our own connection, as the server sees it.
    pub quality: Quality,
}

#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    pub sid: String,
    pub identity: String,
    pub name: String,
    pub tracks: Vec<RemoteTrack>,
    pub speaking: bool,
    /// Loudness from 0 to 1 while speaking.
    pub level: f32,
    pub quality: Quality,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteTrack {
    pub sid: String,
    pub name: String,
    pub kind: TrackKind,
    pub source: Source,
    pub muted: bool,
    /// Of the top layer, in pixels; 0 for sound.
    pub width: u32,
    pub height: u32,
    pub encrypted: bool,
    /// The server holds it back because our link is too narrow.
    pub paused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TrackKind {
    Audio,
    Video,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Quality {
    #[default]
    Unknown,
    Lost,
    Poor,
    Good,
    Excellent,
}

impl Room {
    /// The whole truth at a join.
    pub(super) fn joined(join: &proto::JoinResponse) -> Self {
        let mut room = Self {
            name: join
                .room
                .as_ref()
                .map(|r| r.name.clone())
                .unwrap_or_default(),
            identity: join
                .participant
                .as_ref()
                .map(|p| p.identity.clone())
                .unwrap_or_default(),
            ..Self::default()
        };
        room.update(&join.other_participants);
        room
    }

    /// What changed about some. Those who are gone are taken out.
    pub(super) fn update(&mut self, infos: &[proto::ParticipantInfo]) {
        for info in infos.iter().filter(|info| info.identity != self.identity) {
            let place = self.participants.iter().position(|p| p.sid == info.sid);
            let gone = info.state() == proto::participant_info::State::Disconnected;
            match (place, gone) {
                (Some(place), true) => {
                    self.participants.remove(place);
                }
                (Some(place), false) => {
                    if let Some(participant) = self.participants.get_mut(place) {
                        participant.take(info);
                    }
                }
                (None, true) => {}
                (None, false) => {
                    // Somebody who came back has a new sid, and the old one may not be taken out first.
                    self.participants.retain(|p| p.identity != info.identity);
                    if self.participants.len() == MOST_PARTICIPANTS {
                        continue;
                    }
                    let mut participant = Participant::new(info);
                    participant.take(info);
                    self.participants.push(participant);
                }
            }
        }
    }

    pub(super) fn speakers(&mut self, speakers: &[proto::SpeakerInfo]) {
        for speaker in speakers {
            if let Some(participant) = self.participant(&speaker.sid) {
                participant.speaking = speaker.active;
                participant.level = speaker.level;
            }
        }
    }

    pub(super) fn qualities(&mut self, own: &str, infos: &[proto::ConnectionQualityInfo]) {
        for info in infos {
            let quality = Quality::from(info.quality());
            if info.participant_sid == own {
                self.quality = quality;
            } else if let Some(participant) = self.participant(&info.participant_sid) {
                participant.quality = quality;
            }
        }
    }

    pub(super) fn stream_states(&mut self, states: &[proto::StreamStateInfo]) {
        for info in states {
            let paused = info.state() == proto::StreamState::Paused;
            let tracks = self.participants.iter_mut().flat_map(|p| &mut p.tracks);
            for track in tracks.filter(|track| track.sid == info.track_sid) {
                track.paused = paused;
            }
        }
    }

    /// Track and identity of its publisher.
    pub(super) fn tracks(&self) -> impl Iterator<Item = (&str, &str)> {
        self.participants.iter().flat_map(|participant| {
            let tracks = participant.tracks.iter();
            tracks.map(|track| (track.sid.as_str(), participant.identity.as_str()))
        })
    }

    fn participant(&mut self, sid: &str) -> Option<&mut Participant> {
        self.participants.iter_mut().find(|p| p.sid == sid)
    }
}

impl Participant {
    fn new(info: &proto::ParticipantInfo) -> Self {
        Self {
            sid: info.sid.clone(),
            identity: info.identity.clone(),
            name: String::new(),
            tracks: Vec::new(),
            speaking: false,
            level: 0.0,
            quality: Quality::Unknown,
        }
    }

    fn take(&mut self, info: &proto::ParticipantInfo) {
        self.name.clone_from(&info.name);
        let paused: HashMap<_, _> = self
            .tracks
            .drain(..)
            .map(|track| (track.sid, track.paused))
            .collect();
        let tracks = info.tracks.iter().filter_map(|track| {
            Some(RemoteTrack {
                paused: paused.get(&track.sid).copied().unwrap_or(false),
                ..RemoteTrack::read(track)?
            })
        });
        self.tracks.extend(tracks.take(MOST_TRACKS));
    }
}

impl RemoteTrack {
    fn read(info: &proto::TrackInfo) -> Option<Self> {
        let kind = match info.r#type() {
            proto::TrackType::Audio => TrackKind::Audio,
            proto::TrackType::Video => TrackKind::Video,
            proto::TrackType::Data => return None,
        };
        Some(Self {
            sid: info.sid.clone(),
            name: info.name.clone(),
            kind,
            source: match info.source() {
                proto::TrackSource::Camera => Source::Camera,
                proto::TrackSource::Microphone => Source::Microphone,
                proto::TrackSource::ScreenShare => Source::Screen,
                proto::TrackSource::ScreenShareAudio => Source::ScreenAudio,
                proto::TrackSource::Unknown => Source::Unknown,
            },
            muted: info.muted,
            width: info.width,
            height: info.height,
            encrypted: info.encryption() != proto::encryption::Type::None,
            paused: false,
        })
    }
}

impl From<proto::ConnectionQuality> for Quality {
    fn from(quality: proto::ConnectionQuality) -> Self {
        match quality {
            proto::ConnectionQuality::Lost => Self::Lost,
            proto::ConnectionQuality::Poor => Self::Poor,
            proto::ConnectionQuality::Good => Self::Good,
            proto::ConnectionQuality::Excellent => Self::Excellent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(
        sid: &str,
        identity: &str,
        state: proto::participant_info::State,
    ) -> proto::ParticipantInfo {
        proto::ParticipantInfo {
            sid: sid.to_owned(),
            identity: identity.to_owned(),
            state: state.into(),
            tracks: vec![proto::TrackInfo {
                sid: format!("TR_{sid}"),
                r#type: proto::TrackType::Video.into(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn people_come_and_go_and_nobody_is_there_twice() {
        use proto::participant_info::State::{Active, Disconnected};
        let mut room = Room {
            identity: "me".to_owned(),
            ..Room::default()
        };
        room.update(&[
            info("PA_1", "camille", Active),
            info("PA_0", "me", Active),
            info("PA_1", "camille", Active),
        ]);
        assert_eq!(room.tracks().collect::<Vec<_>>(), [("TR_PA_1", "camille")]);
        room.update(&[
            info("PA_2", "camille", Active),
            info("PA_1", "camille", Disconnected),
        ]);
        assert_eq!(room.tracks().collect::<Vec<_>>(), [("TR_PA_2", "camille")]);
        room.update(&[info("PA_2", "camille", Disconnected)]);
        assert_eq!(room.participants, []);
    }

    #[test]
    fn a_paused_track_stays_paused_when_its_owner_changes_something_else() {
        use proto::participant_info::State::Active;
        let mut room = Room::default();
        room.update(&[info("PA_1", "camille", Active)]);
        room.stream_states(&[proto::StreamStateInfo {
            track_sid: "TR_PA_1".to_owned(),
            state: proto::StreamState::Paused.into(),
            ..Default::default()
        }]);
        room.update(&[info("PA_1", "camille", Active)]);
        assert!(
            room.participants
                .iter()
                .all(|p| p.tracks.iter().all(|t| t.paused))
        );
    }
}
