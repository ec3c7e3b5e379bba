//! How much the way to the server carries, and which layers that is shared among. No sockets, no clock: times and
//! reports are passed in.
//!
//! ```text
//! packets that leave ─▶ Ledger ◀─ the server's reports on arrivals (transport-wide feedback)
//!                         └─ delays, losses ─▶ Estimate ─ bits per second ─▶ share: sound first, then layer by layer
//! ```

mod estimate;
mod ledger;
mod repeats;
mod share;

pub(crate) use estimate::Estimate;
pub(crate) use ledger::{Arrival, Ledger};
pub(crate) use repeats::Repeats;
pub(crate) use share::{LayerWish, share, wanted};

#[cfg(test)]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing
)]
mod simulation_tests;
