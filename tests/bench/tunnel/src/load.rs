//! The load: the same for our stack and for the kernel's.

use std::ffi::OsString;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpCongestion;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::order::{Answer, Kind, Order};

const BLOCK: usize = 256 * 1024;

/// For one connection to open.
const PATIENCE: Duration = Duration::from_secs(20);

/// Something that opens connections.
pub trait Dial: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    fn dial(&self, to: SocketAddr) -> impl Future<Output = Result<Self::Stream>> + Send;
}

/// Serves orders on the input until it ends.
pub async fn serve(dial: impl Dial, began: Instant) -> Result<()> {
    let dial = Arc::new(dial);
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = orders.next_line().await? {
        let order: Order = serde_json::from_str(&line).context("an order")?;
        let cpu = processor_seconds()?;
        let mut answer = match order.kind {
            Kind::First => first(&dial, &order, began).await?,
            Kind::Down => down(&dial, &order).await?,
            Kind::Up => up(&dial, &order).await?,
            Kind::Latency => latency(&dial, &order).await?,
            Kind::Connections => connections(&dial, &order).await?,
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

async fn down<D: Dial>(dial: &Arc<D>, order: &Order) -> Result<Answer> {
    let began = Instant::now();
    let end = tokio::time::Instant::now() + Duration::from_secs_f64(order.seconds);
    let mut streams = JoinSet::new();
    for _ in 0..order.count {
        let (dial, to) = (Arc::clone(dial), order.to.clone());
        streams.spawn(async move {
            let mut stream = open(&*dial, &to).await?;
            let mut block = vec![0; BLOCK];
            let mut bytes = 0;
            while let Ok(count) = tokio::time::timeout_at(end, stream.read(&mut block)).await {
                bytes += count? as u64;
            }
            anyhow::Ok(bytes)
        });
    }
    sum(streams, began).await
}

async fn up<D: Dial>(dial: &Arc<D>, order: &Order) -> Result<Answer> {
    let began = Instant::now();
    let end = tokio::time::Instant::now() + Duration::from_secs_f64(order.seconds);
    let mut streams = JoinSet::new();
    for _ in 0..order.count {
        let (dial, to) = (Arc::clone(dial), order.to.clone());
        streams.spawn(async move {
            let mut stream = open(&*dial, &to).await?;
            let block = vec![7; BLOCK];
            while let Ok(written) = tokio::time::timeout_at(end, stream.write(&block)).await {
                written?;
            }
            stream.shutdown().await?;
            anyhow::Ok(stream.read_u64().await?)
        });
    }
    sum(streams, began).await
}

async fn sum(mut streams: JoinSet<Result<u64>>, began: Instant) -> Result<Answer> {
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
