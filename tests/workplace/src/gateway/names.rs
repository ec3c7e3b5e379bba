//! The resolver outside: knows one name, and remembers what it was asked (RFC 1035).

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::net::UdpSocket;

/// The one name that exists out there.
pub const OUTSIDE: &str = "www.outside.test";
/// Questions that are remembered.
const MOST: usize = 10_000;

#[derive(Clone, Default)]
pub struct Names {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Names {
    pub async fn serve(address: IpAddr) -> Result<Self> {
        let names = Self::default();
        let socket = UdpSocket::bind((address, 53)).await?;
        let asked = names.asked.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let Ok((size, from)) = socket.recv_from(&mut buffer).await else {
                    continue;
                };
                let Some((name, kind, end)) = question(&buffer[..size]) else {
                    continue;
                };
                let answer = answer(&buffer[..end], &name, kind, address);
                remember(&asked, name);
                let _ = socket.send_to(&answer, from).await;
            }
        });
        Ok(names)
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn remember(asked: &Mutex<Vec<String>>, name: String) {
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    if asked.len() < MOST {
        asked.push(name);
    }
}

/// The first question: its name, its type, and where it ends.
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
    let kind = message.get(at..at + 4)?;
    Some((
        labels.join("."),
        u16::from_be_bytes([kind[0], kind[1]]),
        at + 4,
    ))
}

fn answer(question: &[u8], name: &str, kind: u16, address: IpAddr) -> Vec<u8> {
    let mut message = question.to_vec();
    let known = name == OUTSIDE;
    let found = match address {
        IpAddr::V4(v4) if known && kind == 1 => Some(v4.octets()),
        _ => None,
    };
    // QR, RD, RA; NXDOMAIN for what is unknown.
    message[2] = 0x81;
    message[3] = if known { 0x80 } else { 0x83 };
    message[4..12].copy_from_slice(&[0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
    if let Some(octets) = found {
        message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend_from_slice(&octets);
    }
    message
}
