//! Data packets: sealed in encrypted sessions, each reliable one taken once.

use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::Value;
use proto::encrypted_packet_payload::Value as Sealed;

use super::connection::Connection;
use super::engine::Engine;
use super::{Event, SendError};
use crate::encryption::KeyRing;

pub(super) async fn send(
    engine: &mut Engine,
    connection: &Connection,
    reliable: bool,
    topic: String,
    payload: Bytes,
) -> Result<(), SendError> {
    let user = proto::UserPacket {
        payload: payload.to_vec(),
        topic: Some(topic),
        ..Default::default()
    };
    let value = if let Some(keys) = &engine.options.keys {
        let plain = proto::EncryptedPacketPayload {
            value: Some(Sealed::User(user)),
        };
        let nonce: [u8; 12] = rand::random();
        let (index, ciphertext) = keys
            .seal_data(nonce, &plain.encode_to_vec())
            .ok_or(SendError::NoKey)?;
        Value::EncryptedPacket(proto::EncryptedPacket {
            encryption_type: proto::encryption::Type::Gcm.into(),
            iv: nonce.to_vec(),
            key_index: index.into(),
            encrypted_value: ciphertext,
        })
    } else {
        Value::User(user)
    };
    if reliable {
        engine.sequence += 1;
    }
    let packet = proto::DataPacket {
        sequence: if reliable { engine.sequence } else { 0 },
        participant_sid: connection.sid.clone(),
        value: Some(value),
        ..Default::default()
    };
    let sent = connection
        .transport
        .send_data(reliable, &packet.encode_to_vec())
        .await;
    sent.map_err(|_| SendError::NotConnected)
}

/// Takes what arrived on a data channel: each reliable packet once.
pub(super) fn receive(engine: &mut Engine, reliable: bool, packet: &[u8]) {
    // Whatever somebody sends that is no packet is theirs to explain.
    let Ok(packet) = proto::DataPacket::decode(packet) else {
        return;
    };
    if reliable && packet.sequence > 0 {
        // Only of those who are there: otherwise a server that makes up senders fills our memory.
        let sender = engine.people.participants.iter();
        let mut sender = sender.filter(|person| person.sid == packet.participant_sid);
        if sender.next().is_some() {
            let heard = engine
                .heard
                .entry(packet.participant_sid.clone())
                .or_default();
            if packet.sequence <= *heard {
                return;
            }
            *heard = packet.sequence;
        }
    }
    if let Some(event) = opened(packet, engine.options.keys.as_deref()) {
        engine.tell(event);
    }
}

/// What a packet says; nothing when it is sealed otherwise than the session is.
fn opened(packet: proto::DataPacket, keys: Option<&KeyRing>) -> Option<Event> {
    let from = packet.participant_identity;
    let value = match (packet.value?, keys) {
        (Value::EncryptedPacket(sealed), Some(keys)) => {
            let index = u8::try_from(sealed.key_index).ok()?;
            let plain = keys.open_data(&from, index, &sealed.iv, &sealed.encrypted_value);
            let plain = proto::EncryptedPacketPayload::decode(plain.ok()?.as_slice()).ok()?;
            match plain.value? {
                Sealed::User(user) => Value::User(user),
                Sealed::ChatMessage(message) => Value::ChatMessage(message),
                _ => return None,
            }
        }
        // In an encrypted session nobody is believed who does not prove to have a key.
        (_, Some(_)) => return None,
        (value, None) => value,
    };
    match value {
        Value::User(user) => Some(Event::Data {
            from,
            topic: user.topic.unwrap_or_default(),
            payload: user.payload.into(),
        }),
        Value::ChatMessage(message) => Some(Event::Chat {
            from,
            text: message.message,
        }),
        _ => None,
    }
}

/// For tests with arbitrary bytes: what becomes of a packet.
#[cfg(test)]
pub(crate) fn read(packet: &[u8], keys: Option<&KeyRing>) -> Option<Event> {
    opened(proto::DataPacket::decode(packet).ok()?, keys)
}
