//! Opens connections as the policy says: through the tunnel, past it, or not at all.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use netstack::Netstack;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::policy::{Host, Policy, Refused, Route};
use crate::state::Why;
use crate::stream::{Stream, Way};

/// Longest time from a request to an open connection.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(15);
/// Longest time for one of several addresses.
const ADDRESS_DEADLINE: Duration = Duration::from_secs(6);
/// Longest wait for a tunnel that is about to be up.
const ADMISSION_DEADLINE: Duration = Duration::from_secs(10);

/// Opens connections. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    policy: Arc<Policy>,
    reach: watch::Receiver<Reach>,
}

/// How the organisation's networks are reached at the moment.
#[derive(Clone)]
pub(crate) enum Reach {
    /// Through the tunnel. Its size was probed: connections may begin.
    Tunnel(Netstack),
    /// The system itself reaches them: an office network, or a VPN of the system.
    System,
    /// Soon: the tunnel is being set up.
    Soon,
    /// Not at all.
    Nowhere(Why),
}

/// Why no connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The policy says no.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The tunnel is not up.
    #[error("the organisation's network is not connected: {0}")]
    NotConnected(Why),
    #[error("there is no such name")]
    NoSuchName,
    /// The resolver does not answer, or answers nonsense.
    #[error("names cannot be resolved")]
    NamesUnavailable,
    /// The destination is there and does not want the connection.
    #[error("connection refused")]
    ConnectionRefused,
    #[error("the destination cannot be reached")]
    Unreachable,
    #[error("no answer in time")]
    TimedOut,
}

impl Dialer {
    pub(crate) fn new(policy: Arc<Policy>, reach: watch::Receiver<Reach>) -> Self {
        Self { policy, reach }
    }

    /// Opens a connection within [`CONNECT_DEADLINE`]. Waits for a tunnel that is being set up.
    pub async fn connect(&self, host: &Host, port: u16) -> Result<Stream, ConnectError> {
        let deadline = Instant::now() + CONNECT_DEADLINE;
        let attempt = async {
            match self.policy.route(host, port) {
                Route::Refused(refused) => Err(refused.into()),
                Route::Direct => self.direct(host, port).await,
                Route::Inside => match self.admission().await? {
                    Some(stack) => self.through_tunnel(&stack, host, port).await,
                    None => self.system_inside(host, port).await,
                },
            }
        };
        timeout_at(deadline, attempt)
            .await
            .unwrap_or(Err(ConnectError::TimedOut))
    }

    /// Waits until connections may begin. `None`: the system reaches the inside by itself.
    async fn admission(&self) -> Result<Option<Netstack>, ConnectError> {
        let mut reach = self.reach.clone();
        let settled = reach.wait_for(|reach| !matches!(reach, Reach::Soon));
        match tokio::time::timeout(ADMISSION_DEADLINE, settled).await {
            Ok(Ok(reach)) => match &*reach {
                Reach::Tunnel(stack) => Ok(Some(stack.clone())),
                Reach::System => Ok(None),
                Reach::Nowhere(why) => Err(ConnectError::NotConnected(*why)),
                Reach::Soon => Err(ConnectError::TimedOut),
            },
            Ok(Err(_)) => Err(ConnectError::NotConnected(Why::Stopped)),
            Err(_) => Err(ConnectError::TimedOut),
        }
    }

    async fn through_tunnel(
        &self,
        stack: &Netstack,
        host: &Host,
        port: u16,
    ) -> Result<Stream, ConnectError> {
        let addresses = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => stack.resolve(name).await?,
        };
        let allowed = allowed(addresses, |address| self.policy.allows_inside(address))?;
        each(allowed, port, Some(stack)).await
    }

    async fn direct(&self, host: &Host, port: u16) -> Result<Stream, ConnectError> {
        let addresses = system_addresses(host).await?;
        let allowed = allowed(addresses, |address| self.policy.allows_direct(address))?;
        each(allowed, port, None).await
    }

    async fn system_inside(&self, host: &Host, port: u16) -> Result<Stream, ConnectError> {
        let addresses = system_addresses(host).await?;
        let allowed = allowed(addresses, |address| self.policy.allows_inside(address))?;
        each(allowed, port, None).await
    }
}

fn allowed(
    addresses: Vec<IpAddr>,
    rule: impl Fn(IpAddr) -> Result<(), Refused>,
) -> Result<Vec<IpAddr>, ConnectError> {
    let mut refused = None;
    let mut allowed = addresses;
    allowed.retain(|address| match rule(*address) {
        Ok(()) => true,
        Err(why) => {
            refused = Some(why);
            false
        }
    });
    match (allowed.is_empty(), refused) {
        (false, _) => Ok(allowed),
        (true, Some(why)) => Err(why.into()),
        (true, None) => Err(ConnectError::NoSuchName),
    }
}

/// One address after the other; the last failure counts. Without a stack: through the system.
async fn each(
    addresses: Vec<IpAddr>,
    port: u16,
    stack: Option<&Netstack>,
) -> Result<Stream, ConnectError> {
    let mut last = ConnectError::NoSuchName;
    for address in addresses {
        let to = SocketAddr::new(address, port);
        let attempt = async {
            match stack {
                Some(stack) => Ok(Stream(Way::Tunnel(stack.tcp_connect(to).await?))),
                None => system_connect(to).await,
            }
        };
        match tokio::time::timeout(ADDRESS_DEADLINE, attempt).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = ConnectError::TimedOut,
        }
    }
    Err(last)
}

async fn system_connect(to: SocketAddr) -> Result<Stream, ConnectError> {
    let stream = TcpStream::connect(to).await?;
    let _ = stream.set_nodelay(true);
    Ok(Stream(Way::System(stream)))
}

async fn system_addresses(host: &Host) -> Result<Vec<IpAddr>, ConnectError> {
    match host {
        Host::Address(address) => Ok(vec![*address]),
        // The final dot keeps the system's search domains out of it.
        Host::Name(name) => match tokio::net::lookup_host((format!("{name}."), 0)).await {
            Ok(found) => Ok(found.map(|address| address.ip()).collect()),
            Err(_) => Err(ConnectError::NoSuchName),
        },
    }
}

impl From<netstack::ResolveError> for ConnectError {
    fn from(error: netstack::ResolveError) -> Self {
        match error {
            netstack::ResolveError::BadName
            | netstack::ResolveError::NoSuchName
            | netstack::ResolveError::NoAddress => Self::NoSuchName,
            _ => Self::NamesUnavailable,
        }
    }
}

impl From<netstack::ConnectError> for ConnectError {
    fn from(error: netstack::ConnectError) -> Self {
        match error {
            netstack::ConnectError::Refused => Self::ConnectionRefused,
            netstack::ConnectError::TimedOut => Self::TimedOut,
            _ => Self::Unreachable,
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::ConnectionRefused,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Unreachable,
        }
    }
}
