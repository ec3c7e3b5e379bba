use std::process::Command;

use ::media::Line;

use crate::loss::try_to_join;
use crate::place::{join, numbers, room, with};

const INSIDE: &str = "MEETINGS_NAMESPACE";

/// The server's TCP port is open on all interfaces, so it runs on a network of its own: the test calls itself there.
#[test]
fn where_udp_is_blocked_a_meeting_goes_over_tcp() {
    if std::env::var_os(INSIDE).is_some() {
        tokio::runtime::Runtime::new().unwrap().block_on(meet());
        return;
    }
    let test = "blocked::where_udp_is_blocked_a_meeting_goes_over_tcp";
    let inside = "ip link set lo up && exec \"$0\" \"$@\"";
    let status = Command::new("unshare")
        // nginx, as root, would want to be somebody else, whom there is not in the namespace.
        .args(["--user", "--map-user=1000", "--keep-caps", "--net"])
        .args(["sh", "-c", inside])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare(1) of util-linux");
    assert!(status.success());
}

async fn meet() {
    let place = with(workplace::Options {
        meetings_tcp: true,
        ..workplace::Options::default()
    })
    .await;
    let name = room();
    let camille = try_to_join(&place, &name, "camille", Line::losing(1.0)).await;
    let camille = camille.unwrap();
    let (_camera, _pictures) = camille.show_small_pattern().await;
    let noor = join(&place, &name, "noor").await;
    let (_camera, _pictures) = noor.show_small_pattern().await;
    for peer in [&camille, &noor] {
        let mut watched = peer.watch().await;
        numbers(&mut watched, 30).await;
    }
    place.down().await;
}
