//! Which ways for media were there to try: for the person who has to find out why none of them works.

use std::fmt;

/// What both sides offered. Counts only: addresses belong to nobody's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tried {
    /// Addresses of ours.
    pub own: u32,
    /// Addresses of the server that take UDP.
    pub udp: u32,
    /// Addresses of the server that take TCP.
    pub tcp: u32,
    /// Relays that the server names.
    pub relays: u32,
}

/// Candidates of one description that are counted; a server has a handful.
const MOST: usize = 64;

impl Tried {
    /// Takes note of one candidate of the server (RFC 8839 §5.1): its attribute, or that in an `RTCIceCandidateInit`.
    pub(super) fn offered(&mut self, candidate: &str) {
        let Some((_, attribute)) = candidate.split_once("candidate:") else {
            return;
        };
        let mut words = attribute.split_ascii_whitespace().skip(2);
        let protocol = words.next().unwrap_or_default();
        if protocol.eq_ignore_ascii_case("udp") {
            self.udp += 1;
        } else if protocol.eq_ignore_ascii_case("tcp") {
            self.tcp += 1;
        }
    }

    /// The candidates inside a session description.
    pub(super) fn described(&mut self, sdp: &str) {
        let mut seen = Vec::new();
        for line in sdp.lines().filter(|line| line.starts_with("a=candidate:")) {
            if seen.len() == MOST {
                return;
            }
            // Each section repeats them.
            if !seen.contains(&line) {
                seen.push(line);
                self.offered(line);
            }
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            own,
            udp,
            tcp,
            relays,
        } = self;
        write!(
            f,
            "from {own} addresses of ours UDP to {udp} and TCP to {tcp} addresses of the server were tried, and {relays} \
             relays"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_counted_by_their_kind_and_once() {
        let mut tried = Tried {
            own: 2,
            ..Tried::default()
        };
        let udp = "a=candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host";
        let tcp = "a=candidate:2 1 TCP 1671430143 192.0.2.1 7881 typ host tcptype passive";
        tried.described(&format!("v=0\r\n{udp}\r\nm=audio\r\n{udp}\r\n{tcp}\r\n"));
        tried.offered(r#"{"candidate":"candidate:3 1 tcp 1 192.0.2.2 7881 typ host"}"#);
        tried.offered("nonsense");
        let expected = Tried {
            own: 2,
            udp: 1,
            tcp: 2,
            relays: 0,
        };
        assert_eq!(tried, expected);
    }
}
