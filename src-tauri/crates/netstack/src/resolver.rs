//! Names, asked inside the tunnel.
#![allow(clippy::pedantic)]

use crate::config::Config;
use crate::stack::Shared;
use crate::tcp;
use crate::udp::UdpSocket;
use std::sync::Arc;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn query(id: u16, name: &str, qtype: u16) -> io::Result<Vec<u8>> {
    let mut q = vec![];
    q.extend_from_slice(&id.to_be_bytes());
    q.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for l in name.split('.') {
        if l.is_empty() || l.len() > 63 || !l.is_ascii() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "bad host name"));
        }
        q.push(l.len() as u8);
        q.extend_from_slice(l.as_bytes());
    }
    q.push(0);
    q.extend_from_slice(&qtype.to_be_bytes());
    q.extend_from_slice(&[0, 1]);
    Ok(q)
}

fn skip_name(b: &[u8], mut p: usize) -> Option<usize> {
    loop {
        match *b.get(p)? {
            0 => return Some(p + 1),
            l if l & 0xc0 == 0xc0 => return Some(p + 2),
            l => p += 1 + l as usize,
        }
    }
}

/// (rcode, truncated, addresses, smallest ttl)
fn parse(b: &[u8], query: &[u8], qtype: u16) -> Option<(u8, bool, Vec<IpAddr>, u32)> {
    // id and the whole question must match ours
    if b.len() < query.len() || b[..2] != query[..2] || b[2] & 0x80 == 0 {
        return None;
    }
    if !b[12..query.len()].eq_ignore_ascii_case(&query[12..]) {
        return None;
    }
    let an = u16::from_be_bytes([b[6], b[7]]);
    let mut p = query.len();
    let (mut v, mut ttl) = (vec![], u32::MAX);
    for _ in 0..an {
        p = skip_name(b, p)?;
        let h = b.get(p..p + 10)?;
        let t = u16::from_be_bytes([h[0], h[1]]);
        let n = u16::from_be_bytes([h[8], h[9]]) as usize;
        let d = b.get(p + 10..p + 10 + n)?;
        if t == qtype {
            ttl = ttl.min(u32::from_be_bytes([h[4], h[5], h[6], h[7]]));
            match (t, n) {
                (1, 4) => v.push(IpAddr::V4(Ipv4Addr::new(d[0], d[1], d[2], d[3]))),
                (28, 16) => v.push(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(d).ok()?))),
                _ => {}
            }
        }
        p += 10 + n;
    }
    Some((b[3] & 15, b[2] & 2 != 0, v, ttl))
}

async fn one(ns: &Arc<Shared>, name: &str, qtype: u16) -> io::Result<(Vec<IpAddr>, u32)> {
    let servers = &ns.config.dns;
    let mut last = io::Error::new(
        io::ErrorKind::TimedOut,
        "no answer from the internal resolver",
    );
    for round in 0..3u32 {
        for srv in servers {
            let q = query(rand::random(), name, qtype)?;
            let mut s = UdpSocket::bind(ns)?;
            s.send_to(&q, SocketAddr::new(*srv, 53))?;
            let answer = tokio::time::timeout(Duration::from_millis(700 << round), async {
                loop {
                    let (from, b) = s.recv_from().await?;
                    if from == SocketAddr::new(*srv, 53) {
                        if let Some(r) = parse(&b, &q, qtype) {
                            return io::Result::Ok(r);
                        }
                    }
                }
            })
            .await;
            let (mut rc, mut tc, mut v, mut ttl) = match answer {
                Ok(r) => r?,
                Err(_) => continue,
            };
            if tc {
                let mut t = tcp::connect(ns, SocketAddr::new(*srv, 53)).await?;
                t.write_all(&(q.len() as u16).to_be_bytes()).await?;
                t.write_all(&q).await?;
                let n = t.read_u16().await? as usize;
                let mut b = vec![0; n];
                t.read_exact(&mut b).await?;
                (rc, tc, v, ttl) = parse(&b, &q, qtype)
                    .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
                let _ = tc;
            }
            match rc {
                0 => return Ok((v, ttl)),
                3 => return Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
                c => last = io::Error::other(format!("resolver answered rcode {c}")),
            }
        }
    }
    Err(last)
}

async fn ask(ns: &Arc<Shared>, name: &str) -> io::Result<(Vec<IpAddr>, u32)> {
    let c = &ns.config;
    let a = async {
        if c.v4.is_some() {
            one(ns, name, 1).await
        } else {
            Ok((vec![], u32::MAX))
        }
    };
    let b = async {
        if c.v6.is_some() {
            one(ns, name, 28).await
        } else {
            Ok((vec![], u32::MAX))
        }
    };
    let (a, b) = tokio::join!(a, b);
    let (mut v, mut ttl) = (vec![], 60u32);
    let mut err = None;
    for r in [b, a] {
        match r {
            Ok((x, t)) => {
                if !x.is_empty() {
                    ttl = ttl.min(t);
                }
                v.extend(x);
            }
            Err(e) => err = Some(e),
        }
    }
    if v.is_empty() {
        return Err(
            err.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "name has no address"))
        );
    }
    Ok((v, ttl))
}

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The text can not be a host name.
    #[error("not a host name")]
    BadName,
    /// No resolver is configured.
    #[error("the tunnel has no resolver")]
    NoResolver,
    /// The resolvers say that the name does not exist.
    #[error("the name does not exist")]
    NoSuchName,
    /// The name exists, but has no address of a family that the tunnel has.
    #[error("the name has no address")]
    NoAddress,
    /// No resolver answered in time.
    #[error("no resolver answered")]
    TimedOut,
    /// The resolvers answered, but with a failure of theirs or with nonsense.
    #[error("the resolver failed")]
    Failed,
}

pub struct Resolver(Arc<Shared>);

impl Resolver {
    pub fn new(_: &Config, shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(ip) = name.parse() {
            return Ok(vec![ip]);
        }
        if self.0.config.dns.is_empty() {
            return Err(ResolveError::NoResolver);
        }
        ask(&self.0, &name.trim_end_matches('.').to_ascii_lowercase())
            .await
            .map(|(v, _)| v)
            .map_err(|e| match e.kind() {
                io::ErrorKind::InvalidInput => ResolveError::BadName,
                io::ErrorKind::NotFound => ResolveError::NoSuchName,
                io::ErrorKind::TimedOut => ResolveError::TimedOut,
                _ => ResolveError::Failed,
            })
    }
}

impl From<ResolveError> for io::Error {
    fn from(why: ResolveError) -> Self {
        let kind = match why {
            ResolveError::BadName => io::ErrorKind::InvalidInput,
            ResolveError::NoSuchName | ResolveError::NoAddress => io::ErrorKind::NotFound,
            ResolveError::TimedOut => io::ErrorKind::TimedOut,
            ResolveError::NoResolver | ResolveError::Failed => io::ErrorKind::Other,
        };
        Self::new(kind, why)
    }
}
