//! Our own real-time engine: takes part in a meeting on a `LiveKit` server, publishes and receives sound and pictures,
//! and seals them so that the server cannot read them.
//!
//! It is for whoever knows that there is a meeting and has a token for it. It must not know Matrix, Tauri or HTTP,
//! nor who people are: it gets an address, a token and keys, and hands out tracks and frames.
//!
//! ```text
//!                    ┌─ Signal: websocket ───────────────┐
//! Session (one task) ┤                                   ├─ livekit-server
//!                    └─ Transport: ICE, DTLS, SRTP ──────┘
//! source ─thread─▶ encoder ─seal─▶ queue ─▶ packets ─────▶ … ─▶ packets ─▶ assembler ─open─▶ feed ─thread─▶ decoder
//! camera, screen, microphone: system ─its thread─▶ newest picture, ring ─▶ source       loudspeaker ◀─ mixer ◀─ feeds
//!
//! where UDP is blocked, on the second attempt: TCP to the server, or its relays over UDP, TCP and TLS
//!
//! reports of the server ─▶ estimate of the way to it ─▶ share: sound first, then layer by layer ─▶ encoders
//!
//! joining ──▶ connected ⇄ resuming            (nobody sees that we were away)
//!                 └──────────▶ rejoining ──▶ connected
//!                                  └──────▶ ended ◀── left, removed, closed
//! ```
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use media::{Access, Decoding, Options, Session};
//! let access = Access { url: "wss://sfu.saint-elme.example".into(), token: "…".into() };
//! let (session, _events) = Session::join(access, Options::default()).await?;
//! let mut room = session.room();
//! let room = room.wait_for(|room| room.participants.iter().any(|p| !p.tracks.is_empty())).await?.clone();
//! for track in room.participants.iter().flat_map(|person| &person.tracks) {
//!     let Some(feed) = session.video(&track.sid) else { continue };
//!     if let Some(shown) = Decoding::start(feed)?.next().await {
//!         println!("{} × {}", shown.picture.width(), shown.picture.height());
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! This computer's devices are a [`Sound`] (microphone and loudspeaker, with events when a device comes or goes),
//! [`open_camera`] and [`open_screen`]; the last two give a [`VideoSource`], as [`PatternSource`] and [`FileSource`] are:
//!
//! ```no_run
//! # async fn example(session: media::Session) -> Result<(), Box<dyn std::error::Error>> {
//! use media::{AudioTrack, Encoding, PictureFormat, Sound, SoundChoice, VideoTrack, open_camera};
//! let (sound, _events) = Sound::start(SoundChoice::default())?;
//! sound.publish(session.publish_audio(AudioTrack::microphone()).await?);
//! let opening = tokio::task::spawn_blocking(|| open_camera(None, PictureFormat::default()));
//! let (_, camera) = opening.await??;
//! let mut pictures = Encoding::start(camera, session.publish_video(VideoTrack::camera()).await?)?;
//! println!("the camera has ended: {:?}", pictures.ended().await);
//! # Ok(()) }
//! ```
//!
//! # Invariants
//! - In an encrypted session nothing leaves before our key is set, and nothing is handed out that no key opened.
//! - Codecs run on threads of their own, never on tokio. Every queue is bounded; live media drops the oldest and asks
//!   for a key frame, so nothing lags behind.
//! - A device is open only while somebody uses it. When one goes, the next one is taken, and an event says so.
//! - Whatever comes from the network or from a device is an error value at worst: no panic, no unbounded memory.
//! - Logs hold states and counts, never identities, tokens, addresses or keys.

mod audio;
mod encryption;
#[cfg(test)]
mod hostile;
mod incoming;
mod publication;
mod rate;
mod rtp;
mod session;
mod signal;
mod transport;
mod video;

pub use audio::{
    Because, DeviceKind, JitterBuffer, JitterCounts, Listening, LoopTest, Mixer, Playout,
    Processing, Skip, Sound, SoundChoice, SoundDevice, SoundDevices, SoundEvent, SoundEvents,
    ToneSource, Trouble, Voices, level, tone_share,
};
pub use encryption::{KeyRing, Material, OpenError};
pub use incoming::{AudioFeed, AudioPacket, TrackStatistics, VideoFeed, VideoFrame};
pub use publication::{
    AudioPublication, AudioTrack, EncodedFrame, EncodedSound, Layer, Source, VideoPublication,
    VideoTrack,
};
pub use session::{
    Access, Ended, Event, Events, JoinError, Options, Participant, PublishError, Quality,
    RemoteTrack, Room, SendError, Session, State, Statistics, TrackKind, Tried, View,
};
#[cfg(feature = "testing")]
pub use transport::Line;
pub use transport::{Network, TransportStatistics};
pub use video::{
    Camera, CaptureError, CodecError, Decoder, Decoding, EncodedPicture, Encoder, Encoding,
    FileSource, PatternSource, Picture, PictureFormat, Screen, ScreenKind, Shown, VideoSource,
    cameras, open_camera, open_screen, read_counter, screens,
};
