//! The lab's own small programs. They run inside the small network, so whoever makes a gateway names a program that
//! calls [`main`]: `PROGRAM echo ADDRESS`, `PROGRAM underlay ADDRESS CERTIFICATE KEY`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::underlay;

/// True for arguments that are meant for [`main`].
pub fn is_part(arguments: &[String]) -> bool {
    matches!(
        arguments.first().map(String::as_str),
        Some("echo" | "underlay")
    )
}

/// Does what the arguments say until it is killed.
pub fn main(arguments: &[String]) -> ExitCode {
    crate::install_crypto();
    let run = || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        match arguments {
            [part, address] if part == "echo" => runtime.block_on(echo(address)),
            [part, address, certificate, key] if part == "underlay" => {
                runtime.block_on(underlay::run(address.parse()?, certificate, key))
            }
            _ => bail!("a part of the gateway is wanted, with its arguments"),
        }
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tracing::error!("{why:#}");
            ExitCode::FAILURE
        }
    }
}

/// Gives back what it gets, as a remote desktop that mirrors its input would.
async fn echo(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .context("the echo's address")?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(reflect(stream));
    }
}

async fn reflect(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
