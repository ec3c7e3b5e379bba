//! A peer whose process stands still for a minute, as on a computer that is asleep.

use std::process::Stdio;
use std::time::{Duration, Instant};

use ::media::{Access, Decoding, Session, TrackKind};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::place::{Peer, join, numbers, options, own, room, soon};

const URL: &str = "MEETINGS_FROZEN_URL";
const TOKEN: &str = "MEETINGS_FROZEN_TOKEN";
const FROZEN: Duration = Duration::from_mins(1);
/// Pictures of half of that time: none from before has a number that much larger.
const MEANWHILE: u32 = 30 * 30;
/// Pictures that may have come between the last one that was looked at and the moment of standing still.
const JUST_BEFORE: u32 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn who_stood_still_for_a_minute_is_soon_seen_and_sees_again() {
    if let (Ok(url), Ok(token)) = (std::env::var(URL), std::env::var(TOKEN)) {
        return stand_still(Access { url, token }).await;
    }
    let place = own().await;
    let name = room();
    let noor = join(&place, &name, "noor").await;
    let (_camera, _pictures) = noor.show_small_pattern().await;
    let token = place.meeting_token(&name, "camille").unwrap();
    let mut camille = start(&place.meetings(), &token);
    let mut lines = BufReader::new(camille.stdout.take().unwrap()).lines();
    let mut seen = async || loop {
        let line = soon("a picture over there", lines.next_line()).await;
        let line = line.unwrap().expect("the other process runs");
        if let Some(number) = line.strip_prefix("picture ") {
            break number.parse::<u32>().unwrap();
        }
    };
    let seen_before = seen().await;
    let mut watched = noor.watch().await;
    let shown_before = *numbers(&mut watched, 5).await.last().unwrap();

    signal(&camille, "-STOP").await;
    // What the test is about: there is no event to wait for.
    tokio::time::sleep(FROZEN).await;
    signal(&camille, "-CONT").await;
    let began = Instant::now();
    let our_view = async {
        while seen().await < seen_before + MEANWHILE {}
        began.elapsed()
    };
    let is_seen = async {
        // The server may have taken it for gone meanwhile: then this is a new track.
        loop {
            let mut watched = watch(&noor).await;
            while let Some(shown) = watched.next().await {
                let number = ::media::read_counter(&shown.picture);
                if number.is_some_and(|number| number > shown_before + JUST_BEFORE) {
                    return began.elapsed();
                }
            }
        }
    };
    let back = async { tokio::join!(our_view, is_seen) };
    let (our_view, is_seen) = soon("both ways", back).await;
    println!(
        "after a minute of standing still: sees after {our_view:?}, is seen after {is_seen:?}"
    );
    assert!(our_view.max(is_seen) < Duration::from_secs(15));
    drop((camille, noor));
    place.down().await;
}

/// The same test in a process of its own, which is the one who stands still.
fn start(url: &str, token: &str) -> Child {
    let test = "frozen::who_stood_still_for_a_minute_is_soon_seen_and_sees_again";
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(URL, url)
        .env(TOKEN, token)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("setpriv(1) of util-linux")
}

/// Shows and watches until it is ended.
async fn stand_still(access: Access) {
    let (session, events) = Session::join(access, options(None)).await.unwrap();
    let peer = Peer { session, events };
    let (_camera, _pictures) = peer.show_small_pattern().await;
    loop {
        let mut watched = watch(&peer).await;
        while let Some(shown) = watched.next().await {
            if let Some(number) = ::media::read_counter(&shown.picture) {
                println!("picture {number}");
            }
        }
    }
}

/// The other one's pictures, also while tracks come and go.
async fn watch(peer: &Peer) -> Decoding {
    loop {
        let track = peer.track(TrackKind::Video).await;
        if let Some(feed) = peer.session.video(&track.sid) {
            return Decoding::start(feed).unwrap();
        }
        tokio::task::yield_now().await;
    }
}

async fn signal(process: &Child, which: &str) {
    let process = process.id().unwrap().to_string();
    let sent = Command::new("kill").args([which, &process]).status().await;
    assert!(sent.unwrap().success());
}
