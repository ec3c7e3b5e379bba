//! The host inside.

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const SOURCE: u16 = 5001;
pub const SINK: u16 = 5002;
pub const ECHO: u16 = 5003;

/// Serves for ever.
pub async fn serve() -> Result<()> {
    let source = TcpListener::bind(("::", SOURCE)).await?;
    let sink = TcpListener::bind(("::", SINK)).await?;
    let echo = TcpListener::bind(("::", ECHO)).await?;
    loop {
        tokio::select! {
            stream = source.accept() => { tokio::spawn(send(stream?.0)); }
            stream = sink.accept() => { tokio::spawn(count(stream?.0)); }
            stream = echo.accept() => { tokio::spawn(answer(stream?.0)); }
        }
    }
}

async fn send(mut stream: TcpStream) {
    let block = vec![7; 256 * 1024];
    while stream.write_all(&block).await.is_ok() {}
}

/// Reads to the end, then tells how much it was.
async fn count(mut stream: TcpStream) {
    let mut block = vec![0; 256 * 1024];
    let mut bytes = 0_u64;
    while let Ok(count @ 1..) = stream.read(&mut block).await {
        bytes += count as u64;
    }
    // The client may have gone.
    let _ = stream.write_all(&bytes.to_be_bytes()).await;
}

async fn answer(mut stream: TcpStream) {
    // Small answers at once: what is measured is the tunnel.
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.split();
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
}
