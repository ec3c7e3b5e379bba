//! The load: the same for our stack and for the kernel's.

use std::ffi::OsString;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpCongestion;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};

use crate::host::{SINK, SOURCE};
use crate::order::{Answer, Kind, Order};

const BLOCK: usize = 256 * 1024;

/// For one connection to open.
const PATIENCE: Duration = Duration::from_secs(20);

/// Something that opens connections.
pub trait Dial: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// Whether an answer still comes after the end of what was sent.
    const HALF_CLOSES: bool = true;
    fn dial(&self, to: SocketAddr) -> impl Future<Output = Result<Self::Stream>> + Send;
}

/// Serves orders on the input until it ends.
pub async fn serve<D: Dial>(dial: D, began: Instant) -> Result<()> {
    let dial = Arc::new(dial);
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = orders.next_line().await? {
        let order: Order = serde_json::from_str(&line).context("an order")?;
        let cpu = processor_seconds()?;
        let mut answer = match order.kind {
            Kind::First => first(&dial, &order, began).await?,
            Kind::Down => transfer(&dial, &order, receive).await?,
            Kind::Up => transfer(&dial, &order, send::<D>).await?,
            Kind::Latency => latency(&dial, &order).await?,
            Kind::Connections => connections(&dial, &order).await?,
            Kind::Soak => soak(&dial, &order).await?,
        };
        answer.cpu = processor_seconds()? - cpu;
        if answer.memory == 0 {
            answer.memory = resident_bytes()?;
        }
        let mut output = std::io::stdout().lock();
        writeln!(output, "{}", serde_json::to_string(&answer)?)?;
        output.flush()?;
    }
    Ok(())
}

/// The kernel's TCP.
pub async fn kernel(congestion_control: OsString) -> Result<()> {
    serve(Kernel { congestion_control }, Instant::now()).await
}

struct Kernel {
    congestion_control: OsString,
}

impl Dial for Kernel {
    type Stream = tokio::net::TcpStream;

    async fn dial(&self, to: SocketAddr) -> Result<Self::Stream> {
        let stream = tokio::net::TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        setsockopt(&stream, TcpCongestion, &self.congestion_control)?;
        Ok(stream)
    }
}

/// A stranger's network stack, behind a SOCKS port without a password (RFC 1928).
pub async fn socks(proxy: SocketAddr) -> Result<()> {
    serve(Socks { proxy }, Instant::now()).await
}

struct Socks {
    proxy: SocketAddr,
}

impl Dial for Socks {
    type Stream = tokio::net::TcpStream;
    /// ocproxy closes both directions.
    const HALF_CLOSES: bool = false;

    async fn dial(&self, to: SocketAddr) -> Result<Self::Stream> {
        let SocketAddr::V4(to) = to else {
            bail!("an IPv4 address is wanted")
        };
        let mut stream = tokio::net::TcpStream::connect(self.proxy).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&[5, 1, 0]).await?;
        let mut method = [0; 2];
        stream.read_exact(&mut method).await?;
        let mut request = vec![5, 1, 0, 1];
        request.extend(to.ip().octets());
        request.extend(to.port().to_be_bytes());
        stream.write_all(&request).await?;
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).await?;
        ensure!(answer[1] == 0, "the proxy answers {}", answer[1]);
        Ok(stream)
    }
}

async fn open<D: Dial>(dial: &D, to: &str) -> Result<D::Stream> {
    timeout(PATIENCE, dial.dial(to.parse()?)).await?
}

async fn first<D: Dial>(dial: &Arc<D>, order: &Order, began: Instant) -> Result<Answer> {
    let mut stream = open(&**dial, &order.to).await?;
    touch(&mut stream).await?;
    Ok(Answer {
        seconds: began.elapsed().as_secs_f64(),
        ..Answer::default()
    })
}

/// `count` streams at once, each used by `one` until the end; gives all their bytes.
async fn transfer<D: Dial, F>(
    dial: &Arc<D>,
    order: &Order,
    one: impl Fn(D::Stream, tokio::time::Instant) -> F + Copy + Send + 'static,
) -> Result<Answer>
where
    F: Future<Output = Result<u64>> + Send + 'static,
{
    let began = Instant::now();
    let end = tokio::time::Instant::now() + Duration::from_secs_f64(order.seconds);
    let mut streams = JoinSet::new();
    for _ in 0..order.count {
        let (dial, to) = (Arc::clone(dial), order.to.clone());
        streams.spawn(async move {
            let stream = open(&*dial, &to).await?;
            one(stream, end).await
        });
    }
    let mut bytes = 0;
    while let Some(stream) = streams.join_next().await {
        bytes += stream??;
    }
    Ok(Answer {
        bytes,
        seconds: began.elapsed().as_secs_f64(),
        ..Answer::default()
    })
}

async fn receive<S: AsyncRead + Unpin>(mut stream: S, end: tokio::time::Instant) -> Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut bytes = 0;
    while let Ok(count) = timeout_at(end, stream.read(&mut block)).await {
        bytes += count? as u64;
    }
    Ok(bytes)
}

/// Gives what the other side counted. Where it cannot tell, what was written: that is too much by what stands in
/// queues, in the peer's favour.
async fn send<D: Dial>(mut stream: D::Stream, end: tokio::time::Instant) -> Result<u64> {
    let block = vec![7; BLOCK];
    let mut bytes = 0;
    while let Ok(written) = timeout_at(end, stream.write(&block)).await {
        bytes += written? as u64;
    }
    if !D::HALF_CLOSES {
        return Ok(bytes);
    }
    stream.shutdown().await?;
    Ok(stream.read_u64().await?)
}

async fn latency<D: Dial>(dial: &Arc<D>, order: &Order) -> Result<Answer> {
    let mut stream = open(&**dial, &order.to).await?;
    let mut took = Vec::with_capacity(order.count);
    for _ in 0..order.count {
        let began = Instant::now();
        touch(&mut stream).await?;
        took.push(began.elapsed().as_secs_f64());
    }
    Ok(Answer {
        median: crate::figures::percentile(&took, 0.5),
        ..Answer::default()
    })
}

async fn connections<D: Dial>(dial: &Arc<D>, order: &Order) -> Result<Answer> {
    let began = Instant::now();
    let mut opening = JoinSet::new();
    for _ in 0..order.count {
        let (dial, to) = (Arc::clone(dial), order.to.clone());
        opening.spawn(async move {
            let mut stream = open(&*dial, &to).await?;
            touch(&mut stream).await?;
            anyhow::Ok(stream)
        });
    }
    let opened = opening.join_all().await;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Answer {
        seconds,
        failed: opened.iter().filter(|stream| stream.is_err()).count(),
        memory: resident_bytes()?,
        ..Answer::default()
    })
}

/// Longest wait for an echo while the tunnel is used: a second each way out of ten.
async fn soak<D: Dial>(dial: &Arc<D>, order: &Order) -> Result<Answer> {
    let inside = order.to.parse::<SocketAddr>()?.ip();
    let transfers = [(SOURCE, true), (SINK, false)].map(|(port, down)| {
        let to = SocketAddr::new(inside, port).to_string();
        let (count, seconds, kind) = (1, 1.0, order.kind);
        (
            Order {
                kind,
                to,
                count,
                seconds,
            },
            down,
        )
    });
    let stream = open(&**dial, &order.to).await?;
    let end = Instant::now() + Duration::from_secs_f64(order.seconds);
    let echoes = tokio::spawn(longest_echo(stream, end));
    let early = Instant::now() + Duration::from_secs_f64((order.seconds / 2.0).min(60.0));
    let mut memory_early = 0;
    while Instant::now() < end {
        for (transfer, is_down) in &transfers {
            if *is_down {
                self::transfer(dial, transfer, receive).await?;
            } else {
                self::transfer(dial, transfer, send::<D>).await?;
            }
        }
        if memory_early == 0 && Instant::now() >= early {
            memory_early = resident_bytes()?;
        }
        let rest = Duration::from_secs(8).min(end.saturating_duration_since(Instant::now()));
        tokio::time::sleep(rest).await;
    }
    Ok(Answer {
        longest: echoes.await??.as_secs_f64(),
        memory: resident_bytes()?,
        memory_early,
        ..Answer::default()
    })
}

async fn longest_echo<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    end: Instant,
) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    while Instant::now() < end {
        let began = Instant::now();
        touch(&mut stream).await?;
        longest = longest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(longest)
}

async fn touch<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<()> {
    let mut text = [5; 32];
    stream.write_all(&text).await?;
    stream.flush().await?;
    stream.read_exact(&mut text).await?;
    Ok(())
}

fn processor_seconds() -> Result<f64> {
    crate::peers::processor_seconds(std::process::id())
}

fn resident_bytes() -> Result<u64> {
    crate::peers::resident_bytes(std::process::id())
}
