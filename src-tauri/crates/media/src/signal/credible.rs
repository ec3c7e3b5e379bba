//! What the signalling client below believes without asking, and would panic at.

use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message;

/// What livekit-server says by default, in seconds.
const PING_INTERVAL: i32 = 5;
const PING_TIMEOUT: i32 = 15;
const LONGEST_PING: i32 = 600;

/// The message as it may be handed on, which is as it came unless it answers a join; `None`: a server that says this is none.
///
/// The client starts a clock with the interval of an answer to a join, which has to be more than nothing, adds its
/// timeout to the present, and takes the participant for granted when it resumes.
pub(super) fn credible(message: Vec<u8>) -> Option<Vec<u8>> {
    let Ok(mut response) = proto::SignalResponse::decode(message.as_slice()) else {
        return Some(message);
    };
    let Some(Message::Join(join)) = &mut response.message else {
        return Some(message);
    };
    join.participant.as_ref()?;
    let sensible = |seconds: i32, otherwise| {
        if seconds > 0 {
            seconds.min(LONGEST_PING)
        } else {
            otherwise
        }
    };
    join.ping_interval = sensible(join.ping_interval, PING_INTERVAL);
    join.ping_timeout = sensible(join.ping_timeout, PING_TIMEOUT);
    Some(response.encode_to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn join(join: proto::JoinResponse) -> Vec<u8> {
        let message = Some(Message::Join(join));
        proto::SignalResponse { message }.encode_to_vec()
    }

    fn read(message: &[u8]) -> proto::JoinResponse {
        match proto::SignalResponse::decode(message).unwrap().message {
            Some(Message::Join(join)) => join,
            _ => proto::JoinResponse::default(),
        }
    }

    #[test]
    fn clocks_that_would_panic_are_set_right_and_good_ones_stay() {
        for (told, expected) in [
            ((0, 0), (PING_INTERVAL, PING_TIMEOUT)),
            ((-1, i32::MIN), (PING_INTERVAL, PING_TIMEOUT)),
            ((7, 21), (7, 21)),
            ((i32::MAX, i32::MAX), (LONGEST_PING, LONGEST_PING)),
        ] {
            let answer = join(proto::JoinResponse {
                participant: Some(proto::ParticipantInfo::default()),
                ping_interval: told.0,
                ping_timeout: told.1,
                ..Default::default()
            });
            let answer = read(&credible(answer).unwrap());
            assert_eq!((answer.ping_interval, answer.ping_timeout), expected);
        }
    }

    #[test]
    fn whoever_lets_nobody_in_is_no_server() {
        assert_eq!(credible(join(proto::JoinResponse::default())), None);
    }

    #[test]
    fn everything_else_passes_untouched() {
        let pong = Some(Message::Pong(7));
        let pong = proto::SignalResponse { message: pong }.encode_to_vec();
        for message in [pong, vec![0x0a], vec![0x0a, 0xff, 1], Vec::new()] {
            assert_eq!(credible(message.clone()), Some(message));
        }
    }
}
