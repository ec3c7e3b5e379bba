//! Data packets: sealed in encrypted sessions, each reliable one taken once.

use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::Value;
use proto::encrypted_packet_payload::Value as Sealed;

use super::connection::Connection;
use super::engine::Engine;
use super::{Event, SendError};

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

pub(super) fn receive(engine: &mut Engine, reliable: bool, packet: &[u8]) {
    // Whatever somebody sends that is no packet is theirs to explain.
    let Ok(packet) = proto::DataPacket::decode(packet) else {
        return;
    };
    if reliable && packet.sequence > 0 {
        let heard = engine
            .heard
            .entry(packet.participant_sid.clone())
            .or_default();
        if packet.sequence <= *heard {
            return;
        }
        *heard = packet.sequence;
    }
    let from = packet.participant_identity;
    let value = match (packet.value, &engine.options.keys) {
        (Some(Value::EncryptedPacket(sealed)), Some(keys)) => {
            let index = u8::try_from(sealed.key_index).ok();
            let opened = index.and_then(|index| {
                keys.open_data(&from, index, &sealed.iv, &sealed.encrypted_value)
                    .ok()
            });
            let payload = opened
                .and_then(|plain| proto::EncryptedPacketPayload::decode(plain.as_slice()).ok());
            match payload.and_then(|payload| payload.value) {
                Some(Sealed::User(user)) => Value::User(user),
                Some(Sealed::ChatMessage(message)) => Value::ChatMessage(message),
                _ => return,
            }
        }
        // In an encrypted session nobody is believed who does not prove to have a key.
        (_, Some(_)) | (None, None) => return,
        (Some(value), None) => value,
    };
    match value {
        Value::User(user) => engine.tell(Event::Data {
            from,
            topic: user.topic.unwrap_or_default(),
            payload: user.payload.into(),
        }),
        Value::ChatMessage(message) => engine.tell(Event::Chat {
            from,
            text: message.message,
        }),
        _ => {}
    }
}
