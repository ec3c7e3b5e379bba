//! Chat: a signed-in person's rooms, conversations, people and keys, over Matrix.
//!
//! It keeps an encrypted copy on this device, shows it before the network answers, follows the server, sends
//! what is written exactly once and in order, and turns what strangers wrote into values that are safe to draw.
//! It must not know Tauri, the keyring, OpenID Connect, or any sentence of the UI: tokens, keys and the HTTP
//! client are given to it, and it gives back plain values ([`view`]) and streams of changes.
//!
//! ```text
//!            sign_in_token / sign_in_password / restore
//!                            │
//!                            ▼            ┌── failure ──▶ Offline / Error (retry at …) ──┐
//!  store opened ──▶ Starting ──answer──▶ Live ◀─────────── pause over, or nudge ─────────┘
//!     │                                   │
//!     │ damaged                           └── 401 ──▶ revoked: sign in again, data kept
//!     ├─ rooms, messages: set aside, fetched again (`store_reset`)
//!     └─ keys: whole store set aside, sign in again (`StoreCorrupt`)
//! ```
//!
//! ```no_run
//! # async fn example(setup: chat::Setup, homeserver: url::Url) -> Result<(), chat::ChatError> {
//! use futures_util::StreamExt;
//! let chat = chat::Chat::sign_in_password(&homeserver, "anne", "secret", setup).await?;
//! let (rooms, mut changes) = chat.rooms();
//! if let Some(room) = rooms.first() {
//!     let draft = chat::Draft { text: "Bonjour".into(), reply_to: None, mentions: vec![] };
//!     chat.send(&room.id, draft).await?;
//! }
//! changes.next().await;
//! chat.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! - Tier: knows `problem` and `network`, nothing above. It builds no HTTP client.
//! - "Live" and "sent" are said after the server's answer, never after an attempt.
//! - A message that `send` accepted is on disk; it leaves once, in order, whatever happens in between.
//! - At rest everything is encrypted with the key given. A damaged database is moved aside, never deleted.
//! - Text, names and files of others are bounded and harmless when they leave this crate ([`text`]).
//! - Logs hold no text, names, addresses, tokens or file names.
//! - A task of the SDK that dies, or a disk that fills, is said, and no message is missing afterwards ([`Chat::broken`]).
//! - Every task ends with [`Chat::close`] or with the last [`Chat`].

#![recursion_limit = "512"]

mod api;
mod arrivals;
mod attach;
mod chat;
mod encryption;
mod engine;
mod error;
mod list;
mod media;
mod notices;
mod people;
mod profile;
mod rooms;
mod secrecy;
mod send;
mod session;
mod space;
mod store;
mod sync;
pub mod text;
mod timeline;
pub mod view;

pub use api::Asked;
pub use chat::{Chat, SignedOut};
pub use error::ChatError;
pub use media::{MediaBytes, Variant};
pub use session::{SavedSession, Setup, sso_url};
pub use store::Store;
pub use text::names::file_name as safe_file_name;
pub use timeline::OpenTimeline;
pub use view::*;
