//! The other end is livekit-client, `LiveKit`'s own client, in a real browser.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use ::media::{Event, KeyRing, Material, State, TrackKind, VideoTrack, View};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use workplace::Workplace;

use crate::place::{Peer, join_with, room, shared, soon};
use crate::wire::Wire;

/// A page that can join a meeting. It ends with this.
struct Browser {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    async fn open() -> Self {
        // Cargo runs tests in the package's folder; its name as compiled in may be that of another checkout.
        let here = std::path::absolute("tests/meetings/browser").unwrap();
        let modules = tokio::task::spawn_blocking({
            let here = here.clone();
            move || modules(&here)
        });
        let mut child = Command::new("node")
            .arg(here.join("drive.mjs"))
            .arg(here.join("page.html"))
            .arg(modules.await.unwrap())
            .arg(chromium())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node is installed (./x brings it)");
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut browser = Self {
            _child: child,
            input,
            output,
        };
        browser.answer("the browser starts").await;
        browser
    }

    /// `wishes` are added to what the page is asked: keys, the size of a tile.
    async fn join(&mut self, place: &Workplace, room: &str, wishes: &Value) {
        let mut with = json!({
            "url": place.meetings(),
            "token": place.meeting_token(room, "browser").unwrap(),
            "publish": true,
        });
        with.as_object_mut()
            .unwrap()
            .extend(wishes.as_object().unwrap().clone());
        self.call("join", with).await;
    }

    async fn call(&mut self, name: &str, with: Value) -> Value {
        let line = json!({ "call": name, "with": with }).to_string() + "\n";
        self.input.write_all(line.as_bytes()).await.unwrap();
        self.answer(name).await
    }

    async fn answer(&mut self, what: &str) -> Value {
        let line = soon(what, self.output.next_line()).await.unwrap();
        let answer: Value = serde_json::from_str(&line.expect("the browser runs")).unwrap();
        assert_eq!(answer.get("error"), None, "{what}");
        answer["ok"].clone()
    }

    /// Looks until the page shows what is wanted.
    async fn sees(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        // A page has no event for "a frame was decoded".
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        soon(what, async {
            loop {
                tick.tick().await;
                let page = self.call("look", Value::Null).await;
                if wanted(&page) {
                    return page;
                }
            }
        })
        .await
    }
}

/// The page's packages, installed once into the cache.
fn modules(here: &Path) -> PathBuf {
    let folder = workplace::cache().unwrap().join("meetings-browser");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let wanted = std::fs::read(here.join("package.json")).unwrap();
    let done = folder.join("installed.json");
    if std::fs::read(&done).is_ok_and(|installed| installed == wanted) {
        return folder;
    }
    std::fs::write(folder.join("package.json"), &wanted).unwrap();
    let installed = std::process::Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(&folder)
        .output()
        .expect("npm is installed (./x brings it)");
    assert!(
        installed.status.success(),
        "{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    std::fs::write(done, wanted).unwrap();
    folder
}

fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).flat_map(|folder| {
        ["chromium", "google-chrome", "chromium-browser"].map(|name| folder.join(name))
    });
    found
        .find(|program| program.exists())
        .expect("Chromium is installed (./x brings it)")
}

/// Pictures, sound and data both ways between us and the browser.
async fn both_ways(keys: Option<Arc<KeyRing>>, key: Value) {
    let place = shared().await;
    let name = room();
    let encrypted = keys.is_some();
    let mut browser = Browser::open().await;
    let mut camille = join_with(place, &place.meetings(), &name, "camille", keys).await;
    let (_camera, _pictures) = camille.show(VideoTrack::camera()).await;
    let _tone = camille.sound().await;
    browser.join(place, &name, &key).await;

    let camera = camille.track(TrackKind::Video).await;
    assert_eq!(camera.encrypted, encrypted);
    pictures_arrive(&camille).await;
    browser
        .sees("our pictures and our tone", |page| {
            let ours = &page["people"]["camille"];
            ours["framesDecoded"].as_u64() > Some(30) && ours["audioEnergy"].as_f64() > Some(0.001)
        })
        .await;
    data_goes_both_ways(&mut browser, &mut camille).await;
}

async fn pictures_arrive(camille: &Peer) {
    let mut watched = camille.watch().await;
    for _ in 0..30 {
        let shown = soon("the browser's picture", watched.next()).await.unwrap();
        assert!(shown.picture.width() >= 8);
    }
    let sound = camille.track(TrackKind::Audio).await;
    let mut packets = camille.session.audio(&sound.sid).unwrap();
    let mut decoder = opus::Decoder::new(48_000, opus::Channels::Mono).unwrap();
    let beeps = async {
        loop {
            let packet = packets.next().await.unwrap();
            let mut samples = vec![0.0; 5760];
            let length = decoder
                .decode_float(&packet.data, &mut samples, false)
                .unwrap();
            if samples[..length].iter().any(|sample| *sample > 0.01) {
                break;
            }
        }
    };
    soon("the browser's beeps", beeps).await;
}

async fn data_goes_both_ways(browser: &mut Browser, camille: &mut Peer) {
    let with = json!({ "text": "bonjour", "topic": "greeting" });
    browser.call("send", with).await;
    let event = soon("data", camille.events.next()).await.unwrap();
    let expected = Event::Data {
        from: "browser".to_owned(),
        topic: "greeting".to_owned(),
        payload: "bonjour".into(),
    };
    assert_eq!(event, expected);
    let sent = camille.session.send_data(true, "greeting", "bonsoir").await;
    sent.unwrap();
    let expected = json!({ "from": "camille", "topic": "greeting", "text": "bonsoir" });
    browser
        .sees("our data", |page| page["heard"] == json!([expected]))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_and_we_see_and_hear_each_other() {
    both_ways(None, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_with_a_pass_phrase_opens_our_frames_and_we_open_its() {
    let keys = KeyRing::new();
    keys.set_shared(0, Material::pass_phrase("un mot de passe"));
    both_ways(
        Some(Arc::new(keys)),
        json!({ "passPhrase": "un mot de passe" }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_with_raw_keys_opens_our_frames_and_we_open_its() {
    let keys = KeyRing::new();
    keys.set_shared(0, Material::raw([7; 16]));
    let raw = [7_u8; 16];
    both_ways(Some(Arc::new(keys)), json!({ "raw": raw })).await;
}

/// The browser's picture of this width: it publishes 640×360 in two layers.
async fn width_is(camille: &Peer, sid: &str, wanted: u32) {
    let height = wanted * 9 / 16;
    let view = View::Size {
        width: wanted,
        height,
    };
    camille.session.view(sid, view).await;
    let mut watched = camille.watch().await;
    let shown = async {
        loop {
            let shown = watched.next().await.expect("the track is there");
            if shown.picture.width() == wanted as usize {
                break;
            }
        }
    };
    soon("the browser's layer", shown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_and_we_agree_on_layers_mutes_and_speakers_and_stay_through_a_resume() {
    let place = shared().await;
    let name = room();
    let mut browser = Browser::open().await;
    let wire = Wire::to(&place.meetings()).await;
    let camille = join_with(place, &wire.url, &name, "camille", None).await;
    let (camera, _pictures) = camille.show(VideoTrack::camera()).await;
    browser.join(place, &name, &json!({})).await;
    // The server tells who begins to speak, and not who does so already.
    let _tone = camille.sound().await;

    // Who speaks, both ways.
    browser
        .sees("that we speak", |page| {
            page["speakers"].to_string().contains("camille")
        })
        .await;
    camille
        .sees("that the browser speaks", |person| person.speaking)
        .await;

    // Each asks for the layer that fits, and what nobody watches is not encoded.
    let theirs = camille.track(TrackKind::Video).await.sid;
    for width in [320, 640] {
        width_is(&camille, &theirs, width).await;
    }
    let width_seen = |page: &Value| page["people"]["camille"]["frameWidth"].as_u64();
    browser.call("resize", json!({ "tile": 320 })).await;
    browser
        .sees("our small layer", |page| width_seen(page) == Some(320))
        .await;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    soon("nobody watches the top layer", async {
        while camera.wanted(2) {
            tick.tick().await;
        }
    })
    .await;

    // Mutes, both ways.
    let muted = |wanted: bool| {
        move |page: &Value| {
            let tracks = page["people"]["camille"]["tracks"].as_array().cloned();
            let mut tracks = tracks.into_iter().flatten();
            tracks.any(|track| track["kind"] == "video" && track["muted"] == wanted)
        }
    };
    camille.session.mute_video(&camera, true).await;
    browser.sees("our mute", muted(true)).await;
    camille.session.mute_video(&camera, false).await;
    browser.sees("no mute", muted(false)).await;
    let is_muted = |wanted: bool| {
        let theirs = theirs.clone();
        move |person: &::media::Participant| {
            let mut tracks = person.tracks.iter();
            tracks.any(|track| track.sid == theirs && track.muted == wanted)
        }
    };
    browser.call("mute", json!({ "muted": true })).await;
    camille.sees("the browser's mute", is_muted(true)).await;
    browser.call("mute", json!({ "muted": false })).await;
    camille.sees("no mute", is_muted(false)).await;

    // A cut websocket is no leave for the browser.
    let mut state = camille.session.state();
    state.mark_unchanged();
    wire.cut();
    let noticed = state.wait_for(|state| *state == State::Resuming);
    soon("the cut is noticed", noticed).await.unwrap();
    let back = state.wait_for(|state| *state != State::Resuming);
    assert_eq!(*soon("resumed", back).await.unwrap(), State::Connected);
    let decoded = |page: &Value| page["people"]["camille"]["framesDecoded"].as_u64();
    let before = decoded(&browser.call("look", Value::Null).await);
    let page = browser
        .sees("our pictures again", |page| {
            decoded(page) > before.map(|before| before + 30)
        })
        .await;
    assert_eq!(page["left"], json!([]));
    pictures_arrive(&camille).await;
}

/// Its presets send the lower layers at 20 pictures a second, which looks as if we lost some.
#[tokio::test(flavor = "multi_thread")]
async fn the_browser_sends_all_layers_at_the_wished_rate_and_we_lose_none_of_its_pictures() {
    let place = shared().await;
    let name = room();
    let mut browser = Browser::open().await;
    let camille = join_with(place, &place.meetings(), &name, "camille", None).await;
    let resolution = json!({ "width": 1280, "height": 720, "frameRate": 30 });
    let with = json!({ "resolution": resolution });
    browser.join(place, &name, &with).await;
    let camera = camille.track(TrackKind::Video).await;
    let size = View::Size {
        width: 640,
        height: 360,
    };
    camille.session.view(&camera.sid, size).await;
    let mut watched = camille.watch().await;
    soon("the middle layer", async {
        while watched.next().await.unwrap().picture.width() != 640 {}
    })
    .await;
    let received = || {
        let tracks = camille.session.statistics().tracks;
        let (_, track) = tracks.iter().find(|(sid, _)| *sid == camera.sid).unwrap();
        track.frames_received
    };
    let before = (browser.call("layers", Value::Null).await, received());
    for _ in 0..60 {
        soon("a picture", watched.next()).await.unwrap();
    }
    let after = (browser.call("layers", Value::Null).await, received());
    for layer in ["q", "h", "f"] {
        assert_eq!(after.0[layer]["most"].as_f64(), Some(30.0), "{}", after.0);
    }
    let count = |page: &Value| page["h"]["sent"].as_u64().unwrap();
    let (sent, received) = (count(&after.0) - count(&before.0), after.1 - before.1);
    println!("pictures of the browser: {sent} sent, {received} received");
    // Some are on their way at either moment, and the page counts them in steps.
    assert!(sent.abs_diff(received) <= sent / 10, "{sent}, {received}");
}
