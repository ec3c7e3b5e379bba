//! macOS: `proc_pidfdinfo` names the sockets of each process that this user may look at; parents
//! come from the list of processes. WKWebView's network process is started by launchd and is no
//! descendant: see `docs/security.md`.

pub(super) use super::tables::is_held_by_family;
