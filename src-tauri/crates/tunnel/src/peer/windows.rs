//! Windows: `GetExtendedTcpTable` names the process of each connection; parents come from the
//! system's list of processes. Another user's process cannot be a descendant that we started.

pub(super) use super::tables::is_held_by_family;
