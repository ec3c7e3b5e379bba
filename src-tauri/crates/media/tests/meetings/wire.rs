//! What stands between a peer's websocket and the server, and does what networks and proxies do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to those that connect from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Newcomers {
    Pass,
    /// The connection ends at once.
    Cut,
    /// It stands, and nothing ever comes back.
    Silence,
    /// As from a server, or a proxy in front of it, that does not let them in any more.
    Refused,
}

/// What happened to those that are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Untouched,
    Cut,
    Silenced,
}

pub struct Wire {
    pub url: String,
    fate: watch::Sender<Fate>,
    newcomers: Arc<AtomicU8>,
}

impl Wire {
    pub async fn to(url: &str) -> Self {
        let server = url.strip_prefix("ws://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let (fate, fates) = watch::channel(Fate::Untouched);
        let newcomers = Arc::new(AtomicU8::new(Newcomers::Pass as u8));
        let wanted = newcomers.clone();
        tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                let newcomer = wanted.load(Relaxed);
                let mut fates = fates.clone();
                fates.mark_unchanged();
                tokio::spawn(carry(peer, server.clone(), newcomer, fates));
            }
        });
        Self {
            url,
            fate,
            newcomers,
        }
    }

    /// All that are connected.
    pub fn cut(&self) {
        self.fate.send_replace(Fate::Cut);
    }

    /// All that are connected stay so, and nothing passes any more.
    pub fn silence(&self) {
        self.fate.send_replace(Fate::Silenced);
    }

    pub fn newcomers(&self, newcomers: Newcomers) {
        self.newcomers.store(newcomers as u8, Relaxed);
    }
}

async fn carry(
    mut peer: TcpStream,
    server: String,
    newcomer: u8,
    mut fates: watch::Receiver<Fate>,
) {
    if newcomer == Newcomers::Cut as u8 {
        return;
    }
    if newcomer == Newcomers::Silence as u8 {
        let _ = fates.wait_for(|fate| *fate == Fate::Cut).await;
        return;
    }
    if newcomer == Newcomers::Refused as u8 {
        // The request has to be read, or its sender never sees the answer.
        let _ = peer.read(&mut [0; 8192]).await;
        let answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = peer.write_all(answer.as_bytes()).await;
        let _ = peer.shutdown().await;
        return;
    }
    let Ok(mut server) = TcpStream::connect(&server).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut peer, &mut server) => return,
        _ = fates.changed() => {}
    }
    if *fates.borrow_and_update() == Fate::Silenced {
        // Both ends believe that they are connected.
        let _ = fates.changed().await;
    }
}
