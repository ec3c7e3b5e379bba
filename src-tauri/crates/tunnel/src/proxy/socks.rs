//! SOCKS5 (RFC 1928) with and without a password (RFC 1929). CONNECT only.

use std::io;
use std::net::IpAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::{Shared, more};
use crate::dialer::ConnectError;
use crate::policy::Host;
use crate::stream::Stream;

pub(super) const VERSION: u8 = 5;

/// A greeting is at most 2 + 255 bytes, a password 3 + 255 + 255, a request 7 + 255.
const LONGEST: usize = 513;

const NO_PASSWORD: u8 = 0;
const PASSWORD: u8 = 2;
const NOTHING_FITS: u8 = 0xff;

const CONNECT: u8 = 1;

const SUCCEEDED: u8 = 0;
const GENERAL_FAILURE: u8 = 1;
const NOT_ALLOWED: u8 = 2;
const NETWORK_UNREACHABLE: u8 = 3;
const HOST_UNREACHABLE: u8 = 4;
const CONNECTION_REFUSED: u8 = 5;
const TTL_EXPIRED: u8 = 6;
const COMMAND_NOT_SUPPORTED: u8 = 7;
const ADDRESS_NOT_SUPPORTED: u8 = 8;

/// Why bytes are no SOCKS5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SocksError {
    #[error("not version 5")]
    Version,
    #[error("not version 1 of the password exchange")]
    PasswordVersion,
    #[error("unknown kind of address")]
    AddressKind,
    #[error("the name is no host name")]
    Name,
}

/// The first message: which ways to prove oneself the client offers (RFC 1928 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    pub no_password: bool,
    pub password: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    command: u8,
    host: Host,
    port: u16,
}

/// What was read, and how many bytes it took; `None`: more bytes are needed.
type Parsed<T> = Result<Option<(T, usize)>, SocksError>;

impl Greeting {
    /// Reads a greeting from the front of `bytes`.
    pub fn parse(bytes: &[u8]) -> Parsed<Self> {
        let [version, count, rest @ ..] = bytes else {
            return begins_with(bytes, VERSION, SocksError::Version);
        };
        if *version != VERSION {
            return Err(SocksError::Version);
        }
        let count = usize::from(*count);
        Ok(rest.get(..count).map(|methods| {
            let greeting = Self {
                no_password: methods.contains(&NO_PASSWORD),
                password: methods.contains(&PASSWORD),
            };
            (greeting, 2 + count)
        }))
    }
}

/// User and password (RFC 1929 §2).
fn parse_password(bytes: &[u8]) -> Parsed<(&[u8], &[u8])> {
    let [version, user_length, rest @ ..] = bytes else {
        return begins_with(bytes, 1, SocksError::PasswordVersion);
    };
    if *version != 1 {
        return Err(SocksError::PasswordVersion);
    }
    let Some((user, [password_length, rest @ ..])) = rest.split_at_checked((*user_length).into())
    else {
        return Ok(None);
    };
    Ok(rest
        .get(..usize::from(*password_length))
        .map(|password| ((user, password), 3 + user.len() + password.len())))
}

/// RFC 1928 §4.
fn parse_request(bytes: &[u8]) -> Parsed<Request> {
    let [version, command, _reserved, kind, rest @ ..] = bytes else {
        return begins_with(bytes, VERSION, SocksError::Version);
    };
    if *version != VERSION {
        return Err(SocksError::Version);
    }
    let (host, used) = match kind {
        1 => match rest.first_chunk::<4>() {
            Some(octets) => (Ok(Host::address(IpAddr::from(*octets))), 4),
            None => return Ok(None),
        },
        4 => match rest.first_chunk::<16>() {
            Some(octets) => (Ok(Host::address(IpAddr::from(*octets))), 16),
            None => return Ok(None),
        },
        3 => match rest {
            [length, rest @ ..] => match rest.get(..usize::from(*length)) {
                Some(name) => (
                    std::str::from_utf8(name)
                        .map_err(|_| SocksError::Name)
                        .and_then(|name| Host::parse(name).map_err(|_| SocksError::Name)),
                    1 + name.len(),
                ),
                None => return Ok(None),
            },
            [] => return Ok(None),
        },
        _ => return Err(SocksError::AddressKind),
    };
    let Some(port) = rest.get(used..).and_then(|rest| rest.first_chunk::<2>()) else {
        return Ok(None);
    };
    let request = Request {
        command: *command,
        host: host?,
        port: u16::from_be_bytes(*port),
    };
    Ok(Some((request, 4 + used + 2)))
}

/// For bytes that are too short: wrong from the start, or more to come.
fn begins_with<T>(bytes: &[u8], version: u8, error: SocksError) -> Parsed<T> {
    match bytes.first() {
        Some(first) if *first != version => Err(error),
        _ => Ok(None),
    }
}

/// Lets a client in and opens what it wants. `None`: it was told why not.
pub(super) async fn enter(
    shared: &Shared,
    client: &mut TcpStream,
    entering: OwnedSemaphorePermit,
) -> io::Result<Option<Stream>> {
    let mut buffer = Vec::with_capacity(64);
    let greeting = read(client, &mut buffer, Greeting::parse).await??;
    let access = &shared.access;
    if greeting.password && access.takes_passwords() {
        client.write_all(&[VERSION, PASSWORD]).await?;
        let right = read(client, &mut buffer, |bytes| {
            Ok(parse_password(bytes)?
                .map(|((user, password), used)| (access.is_right(user, password), used)))
        })
        .await??;
        if !right {
            client.write_all(&[1, 1]).await?;
            return Ok(None);
        }
        client.write_all(&[1, 0]).await?;
    } else if greeting.no_password && access.is_ours(client).await {
        client.write_all(&[VERSION, NO_PASSWORD]).await?;
    } else {
        tracing::warn!("A foreign process tried the local port");
        client.write_all(&[VERSION, NOTHING_FITS]).await?;
        return Ok(None);
    }
    let request = match read(client, &mut buffer, parse_request).await? {
        Ok(request) => request,
        Err(error) => {
            let code = match error {
                SocksError::AddressKind => ADDRESS_NOT_SUPPORTED,
                SocksError::Name => HOST_UNREACHABLE,
                _ => GENERAL_FAILURE,
            };
            return reply(client, code).await.map(|()| None);
        }
    };
    if request.command != CONNECT {
        // BIND, and UDP ASSOCIATE: a client must know at once that its datagrams go nowhere.
        return reply(client, COMMAND_NOT_SUPPORTED).await.map(|()| None);
    }
    drop(entering);
    match shared.dialer.connect(&request.host, request.port).await {
        Ok(mut stream) => {
            reply(client, SUCCEEDED).await?;
            if !buffer.is_empty() {
                stream.write_all(&buffer).await?;
            }
            Ok(Some(stream))
        }
        Err(error) => reply(client, code(error)).await.map(|()| None),
    }
}

/// RFC 1928 §6. The bound address is none of the client's business.
async fn reply(client: &mut TcpStream, code: u8) -> io::Result<()> {
    client
        .write_all(&[VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0])
        .await
}

const fn code(error: ConnectError) -> u8 {
    match error {
        ConnectError::Refused(_) => NOT_ALLOWED,
        ConnectError::NotConnected(_) => NETWORK_UNREACHABLE,
        ConnectError::NoSuchName | ConnectError::Unreachable => HOST_UNREACHABLE,
        ConnectError::ConnectionRefused => CONNECTION_REFUSED,
        ConnectError::TimedOut => TTL_EXPIRED,
        ConnectError::NamesUnavailable => GENERAL_FAILURE,
    }
}

/// Reads until a message is whole, and takes it from the buffer. The outer error is the
/// connection's, the inner one the message's.
async fn read<T>(
    client: &mut TcpStream,
    buffer: &mut Vec<u8>,
    parse: impl Fn(&[u8]) -> Parsed<T>,
) -> io::Result<Result<T, SocksError>> {
    loop {
        match parse(buffer) {
            Ok(Some((message, used))) => {
                buffer.drain(..used);
                return Ok(Ok(message));
            }
            Ok(None) => more(client, buffer, LONGEST).await?,
            Err(error) => return Ok(Err(error)),
        }
    }
}

impl From<SocksError> for io::Error {
    fn from(error: SocksError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_is_read_with_each_kind_of_address() {
        let v4 = [5, 1, 0, 1, 10, 50, 0, 80, 1, 187];
        let (request, used) = parse_request(&v4).unwrap().unwrap();
        assert_eq!((request.port, used), (443, 10));
        assert_eq!(request.host, Host::parse("10.50.0.80").unwrap());

        let mut v6 = vec![5, 1, 0, 4];
        v6.extend([0xfd, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80]);
        let (request, _) = parse_request(&v6).unwrap().unwrap();
        assert_eq!(request.host, Host::parse("fd50::1").unwrap());

        let mut name = vec![5, 1, 0, 3, 9];
        name.extend(b"Corp.test\x00\x50behind");
        let (request, used) = parse_request(&name).unwrap().unwrap();
        assert_eq!(request.host, Host::parse("corp.test").unwrap());
        assert_eq!(&name[used..], b"behind");
    }

    #[test]
    fn what_is_wrong_is_said_as_early_as_possible() {
        assert_eq!(Greeting::parse(&[4]), Err(SocksError::Version));
        assert_eq!(Greeting::parse(&[5]), Ok(None));
        assert_eq!(parse_request(&[5, 1, 0, 9]), Err(SocksError::AddressKind));
        assert_eq!(
            parse_request(b"\x05\x01\x00\x03\x03a b\x00\x50"),
            Err(SocksError::Name)
        );
        assert_eq!(parse_password(&[2, 0]), Err(SocksError::PasswordVersion));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_a_prefix_never_changes_its_meaning(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            fix in any::<bool>(),
            kind in 0u8..6,
        ) {
            let mut bytes = bytes;
            if fix && bytes.len() > 4 {
                bytes[..4].copy_from_slice(&[5, 1, 0, kind]);
            }
            // Once whole, more bytes behind it change nothing; before that, it is "more".
            let whole = parse_request(&bytes);
            for cut in 0..bytes.len().min(40) {
                match parse_request(&bytes[..cut]) {
                    Ok(Some((_, used))) => prop_assert!(used <= cut),
                    Ok(None) => {}
                    Err(error) => prop_assert_eq!(whole.as_ref().err(), Some(&error)),
                }
            }
            if let Ok(Some((_, used))) = Greeting::parse(&bytes) {
                prop_assert!(used <= bytes.len() && used <= 257);
            }
            if let Ok(Some((_, used))) = parse_password(&bytes) {
                prop_assert!(used <= bytes.len() && used <= LONGEST);
            }
        }
    }
}
