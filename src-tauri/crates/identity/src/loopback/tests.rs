#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use tokio::task::JoinHandle;

use super::*;
use crate::double::{browse, free_ports, raw};

/// Serves until `/end`; answers `/callback` with the last page.
async fn listening() -> (u16, JoinHandle<Vec<Visit>>) {
    let loopback = Loopback::bind(&free_ports::<1>().await).await.unwrap();
    let port = loopback.port;
    let task = tokio::spawn(async move {
        let mut visits = Vec::new();
        let pages = Pages::in_language("fr");
        loopback
            .serve(pages, |visit| {
                let reply = match visit.path.as_str() {
                    "/callback" | "/end" => Reply::Done,
                    _ => Reply::NotFound,
                };
                let enough = visit.path == "/end";
                visits.push(visit);
                (reply, enough)
            })
            .await;
        visits
    });
    (port, task)
}

fn at(port: u16, path: &str) -> Url {
    Url::parse(&format!("http://127.0.0.1:{port}{path}")).unwrap()
}

#[tokio::test]
async fn the_first_free_port_of_the_list_is_taken_and_none_is_an_answer_too() {
    let ports = free_ports::<2>().await;
    let first = Loopback::bind(&ports).await.unwrap();
    let second = Loopback::bind(&ports).await.unwrap();
    assert_eq!((first.port, second.port), (ports[0], ports[1]));
    assert!(Loopback::bind(&ports).await.is_none());
    assert_eq!(
        second.address("/callback").unwrap(),
        at(ports[1], "/callback")
    );
}

#[tokio::test]
async fn the_last_page_reaches_the_browser_whole_although_the_listener_ends() {
    let (port, task) = listening().await;
    let (status, _, page) = browse(&at(port, "/end?code=x")).await;
    assert_eq!(status, 200);
    assert!(page.contains("C’est fait") && page.ends_with("</html>"));
    assert!(!page.contains("<script"));
    assert_eq!(task.await.unwrap().len(), 1);
}

#[tokio::test]
async fn silent_and_garbled_connections_hold_nobody_up() {
    let (port, task) = listening().await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    assert!(raw(port, "\u{16}\u{3}\u{1}\r\n\r\n").await.contains("400"));
    assert!(
        raw(port, "POST /callback HTTP/1.1\r\n\r\n")
            .await
            .contains("405")
    );
    let rebound = "GET /callback HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert!(raw(port, rebound).await.contains("421"));
    let endless = format!("GET /{} HTTP/1.1\r\n", "a".repeat(64 * 1024));
    assert!(raw(port, &endless).await.contains("431"));
    assert_eq!(browse(&at(port, "/favicon.ico")).await.0, 404);
    let started = std::time::Instant::now();
    assert_eq!(browse(&at(port, "/end")).await.0, 200);
    let paths: Vec<String> = task
        .await
        .unwrap()
        .into_iter()
        .map(|visit| visit.path)
        .collect();
    assert_eq!(paths, ["/favicon.ico", "/end"]);
    // The spare connections are dropped at the end and not waited for.
    assert!(started.elapsed() < FAREWELL);
}

#[tokio::test]
async fn it_listens_on_the_loopback_address_only() {
    let loopback = Loopback::bind(&free_ports::<1>().await).await.unwrap();
    assert_eq!(
        loopback.listener.local_addr().unwrap().ip(),
        Ipv4Addr::LOCALHOST
    );
}
