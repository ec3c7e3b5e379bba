//! The services of the workplace, one file each.

pub mod front;
pub mod livekit;
pub mod oidc;
pub mod organisation;
pub mod sms;
pub mod synapse;
