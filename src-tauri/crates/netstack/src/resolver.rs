//! Names, asked inside the tunnel: hickory's resolver on our own sockets.
//!
//! A name with a dot is asked as it is; a single label is completed by the search domains first.
//! UDP, then TCP when an answer was cut short; all resolvers that are configured take part; answers
//! are kept for as long as they say, but no longer than five minutes.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioTime};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use parking_lot::Mutex;

use crate::config::Config;
use crate::stack::Shared;
use crate::tcp::{self, TcpStream};
use crate::udp::UdpSocket;

/// For one question to one resolver; asked three times.
const PATIENCE: Duration = Duration::from_millis(1200);
const REPETITIONS: usize = 2;

/// For everything together.
const DEADLINE: Duration = Duration::from_secs(6);

/// A name that moved is found again without waiting for a day.
const KEPT_MAX: Duration = Duration::from_mins(5);

/// Answers that are kept.
const KEPT_COUNT: u64 = 1024;

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
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

pub struct Resolver {
    /// `None` when no resolver is configured.
    inner: Option<hickory_resolver::Resolver<InTunnel>>,
}

impl Resolver {
    pub fn new(config: &Config, shared: &Arc<Shared>) -> Self {
        let inner = build(config, shared)
            .inspect_err(|why| tracing::warn!(%why, "the resolver of the tunnel can not start"))
            .ok()
            .flatten();
        Self { inner }
    }

    /// Every address, never none. `fresh` asks even when an answer is kept.
    pub async fn resolve(&self, text: &str, fresh: bool) -> Result<Vec<IpAddr>, ResolveError> {
        if let Ok(address) = text.parse() {
            return Ok(vec![address]);
        }
        let mut name = Name::from_utf8(text).map_err(|_| ResolveError::BadName)?;
        if name.num_labels() == 0 {
            return Err(ResolveError::BadName);
        }
        // The search domains are for short names only: otherwise every typing error is asked
        // several times.
        if name.num_labels() > 1 {
            name.set_fqdn(true);
        }
        let resolver = self.inner.as_ref().ok_or(ResolveError::NoResolver)?;
        if fresh {
            resolver.clear_lookup_cache(name.clone(), RecordType::A);
            resolver.clear_lookup_cache(name.clone(), RecordType::AAAA);
        }
        let answer = tokio::time::timeout(DEADLINE, resolver.lookup_ip(name))
            .await
            .map_err(|_| ResolveError::TimedOut)?
            .map_err(|why| reason(&why))?;
        let addresses: Vec<_> = answer.iter().collect();
        if addresses.is_empty() {
            return Err(ResolveError::NoAddress);
        }
        Ok(addresses)
    }
}

fn build(
    config: &Config,
    shared: &Arc<Shared>,
) -> Result<Option<hickory_resolver::Resolver<InTunnel>>, NetError> {
    let servers: Vec<_> = config
        .dns
        .iter()
        .map(|address| NameServerConfig::udp_and_tcp(*address))
        .collect();
    let strategy = match (config.v4, config.v6) {
        (Some(_), None) => LookupIpStrategy::Ipv4Only,
        (None, Some(_)) => LookupIpStrategy::Ipv6Only,
        (Some(_), Some(_)) => LookupIpStrategy::Ipv6AndIpv4,
        (None, None) => return Ok(None),
    };
    if servers.is_empty() {
        return Ok(None);
    }
    let search = config
        .search
        .iter()
        .filter_map(|domain| Name::from_utf8(domain).ok())
        .collect();
    let mut options = ResolverOpts::default();
    options.ip_strategy = strategy;
    options.timeout = PATIENCE;
    options.attempts = REPETITIONS;
    options.cache_size = KEPT_COUNT;
    options.positive_max_ttl = Some(KEPT_MAX);
    // "No such name" is kept shortly: it is often said while a network comes up.
    options.negative_max_ttl = Some(Duration::from_secs(10));
    // The file of the system says nothing about the inside.
    options.use_hosts_file = ResolveHosts::Never;
    hickory_resolver::Resolver::builder_with_config(
        ResolverConfig::from_parts(None, search, servers),
        InTunnel {
            shared: Arc::clone(shared),
            tasks: TokioHandle::default(),
        },
    )
    .with_options(options)
    .build()
    .map(Some)
}

fn reason(why: &NetError) -> ResolveError {
    match why {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => ResolveError::NoSuchName,
            ResponseCode::NoError => ResolveError::NoAddress,
            _ => ResolveError::Failed,
        },
        NetError::Timeout | NetError::NoConnections | NetError::Io(_) => ResolveError::TimedOut,
        _ => ResolveError::Failed,
    }
}

/// Gives the resolver sockets of the stack instead of the system's.
#[derive(Clone)]
struct InTunnel {
    shared: Arc<Shared>,
    /// Owns the tasks of its TCP connections.
    tasks: TokioHandle,
}

type Pending<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

impl RuntimeProvider for InTunnel {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Datagrams;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.tasks.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _: Option<SocketAddr>,
        patience: Option<Duration>,
    ) -> Pending<Self::Tcp> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let opening = tcp::connect(&shared, server);
            match tokio::time::timeout(patience.unwrap_or(PATIENCE), opening).await {
                Ok(stream) => Ok(AsyncIoTokioAsStd(stream?)),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        })
    }

    fn bind_udp(&self, _: SocketAddr, _: SocketAddr) -> Pending<Self::Udp> {
        let socket = UdpSocket::bind(&self.shared);
        Box::pin(async move { Ok(Datagrams(Mutex::new(socket?))) })
    }
}

struct Datagrams(Mutex<UdpSocket>);

impl DnsUdpSocket for Datagrams {
    type Time = TokioTime;

    fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.0
            .lock()
            .poll_recv_from(context)
            .map_ok(|(from, datagram)| {
                // What does not fit is cut, as a socket of the system does.
                let count = datagram.len().min(buffer.len());
                buffer[..count].copy_from_slice(&datagram[..count]);
                (count, from)
            })
    }

    fn poll_send_to(
        &self,
        _: &mut Context<'_>,
        datagram: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.lock().send_to(datagram, to).map(|()| datagram.len()))
    }
}
