//! Who may use the local port.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpStream;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::peer;

/// Who may use the local port: this program and its descendants, and whoever knows a password.
///
/// Webviews open their connections from helper processes and have no way to give a password (wry
/// passes none), so they are recognised by the system's own tables: socket → process → descendant
/// of this program. Everybody else needs the password.
#[derive(Clone)]
pub struct Access {
    credentials: Option<Credentials>,
    /// Process id of the program whose descendants are ours.
    root: u32,
}

/// A name and a password for programs that are no descendants.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl Credentials {
    /// 128 random bits, different at each start.
    pub fn random() -> Self {
        Self {
            user: "cordee".to_owned(),
            password: format!("{:032x}", rand::random::<u128>()),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Access {
    /// This process and its descendants only.
    pub fn of_this_program() -> Self {
        Self {
            credentials: None,
            root: std::process::id(),
        }
    }

    /// As if another process were this program.
    #[cfg(test)]
    pub(super) const fn with_root(root: u32) -> Self {
        Self {
            credentials: None,
            root,
        }
    }

    /// And whoever gives these credentials.
    #[must_use]
    pub fn or_with(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    pub(super) const fn takes_passwords(&self) -> bool {
        self.credentials.is_some()
    }

    /// RFC 1929.
    pub(super) fn is_right(&self, user: &[u8], password: &[u8]) -> bool {
        self.credentials.as_ref().is_some_and(|right| {
            // Both are compared, so that the time tells nothing about either.
            same(user, right.user.as_bytes()) & same(password, right.password.as_bytes())
        })
    }

    /// The value of `Proxy-Authorization` (RFC 7617).
    pub(super) fn is_right_header(&self, value: &[u8]) -> bool {
        self.credentials.as_ref().is_some_and(|right| {
            let pair = format!("{}:{}", right.user, right.password);
            let expected = STANDARD.encode(pair);
            match value.split_at_checked(6) {
                Some((scheme, given)) => {
                    scheme.eq_ignore_ascii_case(b"basic ")
                        & same(given.trim_ascii(), expected.as_bytes())
                }
                None => false,
            }
        })
    }

    /// Does this program or a descendant hold the other end?
    pub(super) async fn is_ours(&self, client: &TcpStream) -> bool {
        let (Ok(peer), Ok(local)) = (client.peer_addr(), client.local_addr()) else {
            return false;
        };
        self.owns(peer, local).await
    }

    async fn owns(&self, peer: SocketAddr, local: SocketAddr) -> bool {
        let root = self.root;
        // Reads tables of the system: some milliseconds, off the threads that move data.
        tokio::task::spawn_blocking(move || peer::is_held_by_family(peer, local, root))
            .await
            .unwrap_or(false)
    }
}

fn same(given: &[u8], expected: &[u8]) -> bool {
    let difference = given
        .iter()
        .zip(expected)
        .fold(0, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0 && given.len() == expected.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_password_is_right() {
        let right = Credentials::random();
        let access = Access::of_this_program().or_with(right.clone());
        let header = |user: &str, password: &str| {
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        };
        assert!(access.is_right(right.user.as_bytes(), right.password.as_bytes()));
        assert!(access.is_right_header(header(&right.user, &right.password).as_bytes()));
        for (user, password) in [
            ("", ""),
            (right.user.as_str(), ""),
            (right.user.as_str(), &right.password[..31]),
            ("other", right.password.as_str()),
        ] {
            assert!(!access.is_right(user.as_bytes(), password.as_bytes()));
            assert!(!access.is_right_header(header(user, password).as_bytes()));
        }
        assert!(!access.is_right_header(b"Basic"));
        assert!(!Access::of_this_program().is_right(b"", b""));
    }
}
