//! What one asks of a demo workplace.

use std::path::PathBuf;
use std::time::Duration;

/// How large the workplace is and how it behaves. [`Options::default`] is the hospital of the demo.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // each is a service, or a wish of its own
pub struct Options {
    /// Start the sign-in portal with its SMS step. Without it people sign in to chat with a password, and the
    /// organisation's document names no identity service.
    pub identity: bool,
    /// Start chat with its people and rooms.
    pub chat: bool,
    /// Start the media server of meetings. It is built from source the first time, which takes minutes.
    pub meetings: bool,
    /// Let the media server take TCP, too. It then listens on all interfaces, so this is for network namespaces.
    pub meetings_tcp: bool,
    /// Let the media server be a relay, too: TURN over UDP, and over TLS on port 443, which is the only one that it
    /// names. So this is for network namespaces.
    pub meetings_relay: bool,
    /// How many people work here. The first 40 are written by hand, the others are made up from lists of names.
    pub people: usize,
    /// How many named rooms Camille is in. The first 12 have conversations; the others a name and one last message.
    pub rooms: usize,
    /// Messages in one more room, « Journal de garde », for scrolling. 0: there is no such room.
    pub long_room: usize,
    /// How long the portal's access tokens live.
    pub access_token_lifetime: Duration,
    /// How long the portal refuses an account after three wrong passwords in a row.
    pub block: Duration,
    /// Longest wait for all services to be healthy.
    pub deadline: Duration,
    /// Keep the run folder (logs, databases) when the workplace ends.
    pub keep: bool,
    /// Where the run folder is made; the system's folder for temporary files if none.
    pub parent: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            identity: true,
            chat: true,
            meetings: false,
            meetings_tcp: false,
            meetings_relay: false,
            people: 40,
            rooms: 12,
            long_room: 0,
            access_token_lifetime: Duration::from_mins(5),
            block: Duration::from_secs(10),
            deadline: Duration::from_mins(3),
            keep: std::env::var_os("CORDEE_KEEP").is_some(),
            parent: None,
        }
    }
}
