//! The small jobs that a test asks for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use netstack::Netstack;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use tunnel::{Dialer, Host};

use super::say;

/// Longest job.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Job {
    /// A page over TLS, on a stream of our own without any port.
    Fetch { host: String, path: String },
    /// A page with reqwest through the port: `socks5h` or `http`.
    Reqwest { scheme: String, url: String },
    /// Sends this many bytes to the echo and wants the same back.
    Echo { host: String, bytes: usize },
    /// Opens a connection to the echo and keeps it under this name.
    Hold { name: String, host: String },
    /// Wants an echo over a kept connection.
    Touch { name: String },
    /// Runs a program as a descendant of ours; `$PROXY`, `$FORWARD`, `$USER` and `$PASSWORD` in its arguments are filled in.
    Run { program: Vec<String> },
}

/// How a connection is made without a port.
pub enum Dial {
    Stack(Netstack),
    Tunnel(Dialer),
}

/// Where the port is, and who may use it.
#[derive(Debug, Clone)]
pub struct Port {
    pub address: SocketAddr,
    /// Leads to the desktop inside.
    pub forward: SocketAddr,
    pub user: String,
    pub password: String,
}

pub struct Jobs {
    dial: Dial,
    tls: TlsConnector,
    authority: Arc<rustls::ClientConfig>,
    port: Option<Port>,
    kept: Mutex<HashMap<String, Stream>>,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
type Stream = Box<dyn Io>;

impl Jobs {
    pub fn new(dial: Dial, tls: Arc<rustls::ClientConfig>, port: Option<Port>) -> Self {
        Self {
            dial,
            tls: TlsConnector::from(tls.clone()),
            authority: tls,
            port,
            kept: Mutex::default(),
        }
    }

    pub async fn run(&self, id: u64, job: Job) {
        let began = Instant::now();
        let result = timeout(PATIENCE, self.done(job))
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("no end in time")));
        let milliseconds = began.elapsed().as_millis();
        say(&match result {
            Ok(text) => {
                serde_json::json!({ "event": "done", "id": id, "ok": true, "text": text, "ms": milliseconds })
            }
            Err(why) => {
                serde_json::json!({ "event": "done", "id": id, "ok": false, "text": format!("{why:#}"), "ms": milliseconds })
            }
        });
    }

    async fn done(&self, job: Job) -> Result<String> {
        match job {
            Job::Fetch { host, path } => self.fetch(&host, &path).await,
            Job::Reqwest { scheme, url } => self.reqwest(&scheme, &url).await,
            Job::Echo { host, bytes } => echo(self.connect(&host, 3389).await?, bytes).await,
            Job::Hold { name, host } => {
                let mut stream = self.connect(&host, 3389).await?;
                touch(&mut stream).await?;
                self.kept.lock().await.insert(name, stream);
                Ok(String::new())
            }
            Job::Touch { name } => {
                let mut kept = self.kept.lock().await;
                let stream = kept.get_mut(&name).context("there is no such connection")?;
                touch(stream).await?;
                Ok(String::new())
            }
            Job::Run { program } => self.program(program).await,
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<Stream> {
        match &self.dial {
            Dial::Tunnel(dialer) => Ok(Box::new(dialer.connect(&Host::parse(host)?, port).await?)),
            Dial::Stack(stack) => {
                let addresses = stack.resolve(host).await?;
                let first = addresses.first().context("no address")?;
                Ok(Box::new(stack.tcp_connect((*first, port).into()).await?))
            }
        }
    }

    async fn fetch(&self, host: &str, path: &str) -> Result<String> {
        let stream = self.connect(host, 443).await?;
        let mut stream = self
            .tls
            .connect(ServerName::try_from(host.to_owned())?, stream)
            .await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").context("no page")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        Ok(body.to_owned())
    }

    async fn reqwest(&self, scheme: &str, url: &str) -> Result<String> {
        let port = self.port.as_ref().context("there is no port")?;
        let proxy = reqwest::Proxy::all(format!(
            "{scheme}://{}:{}@{}",
            port.user, port.password, port.address
        ))?;
        // What a program of somebody else would do; it has no `network` crate.
        #[allow(clippy::disallowed_methods)]
        let client = reqwest::Client::builder()
            .use_preconfigured_tls((*self.authority).clone())
            .proxy(proxy)
            .timeout(Duration::from_secs(10))
            .build()?;
        Ok(client
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .text()
            .await?)
    }

    async fn program(&self, program: Vec<String>) -> Result<String> {
        let fill = |text: &String| match &self.port {
            Some(port) => text
                .replace("$PROXY", &port.address.to_string())
                .replace("$FORWARD", &port.forward.port().to_string())
                .replace("$USER", &port.user)
                .replace("$PASSWORD", &port.password),
            None => text.clone(),
        };
        let program: Vec<String> = program.iter().map(fill).collect();
        let [name, arguments @ ..] = program.as_slice() else {
            bail!("a program is wanted")
        };
        let output = tokio::process::Command::new(name)
            .args(arguments)
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{}: {said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(said)
    }
}

/// Writes and reads at the same time, as a screen that moves.
async fn echo(stream: Stream, bytes: usize) -> Result<String> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let block: Vec<u8> = (0..64 * 1024_usize)
        .map(|at| u8::try_from(at % 251).unwrap_or_default())
        .collect();
    let sent = block.clone();
    let write = async move {
        let mut left = bytes;
        while left > 0 {
            let count = left.min(sent.len());
            writer.write_all(&sent[..count]).await?;
            left -= count;
        }
        writer.shutdown().await
    };
    let read = async move {
        let mut seen = 0;
        let mut part = vec![0; block.len()];
        loop {
            let count = reader.read(&mut part).await?;
            if count == 0 {
                return anyhow::Ok(seen);
            }
            for (at, byte) in part[..count].iter().enumerate() {
                ensure!(
                    *byte == block[(seen + at) % block.len()],
                    "byte {} came back wrong",
                    seen + at
                );
            }
            seen += count;
        }
    };
    let ((), seen) = tokio::try_join!(async { write.await.map_err(Into::into) }, read)?;
    ensure!(seen == bytes, "{seen} of {bytes} bytes came back");
    Ok(seen.to_string())
}

async fn touch(stream: &mut Stream) -> Result<()> {
    stream.write_all(b"still there?").await?;
    stream.flush().await?;
    let mut back = [0; 12];
    stream.read_exact(&mut back).await?;
    ensure!(&back == b"still there?", "something else came back");
    Ok(())
}
