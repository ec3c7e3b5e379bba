//! `cordee lint`.
pub fn placeholder() {}
