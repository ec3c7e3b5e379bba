//! Loudspeakers and microphones made of software, and programs that play and listen.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use ::media::tone_share;

use super::program::{Running, bound_to_us};
use super::{Stage, until};

const RATE: f32 = 48_000.0;
const STEP: usize = 480;
/// The loudspeaker of a computer that has none.
pub const NOBODY: &str = "auto_null";

impl Stage {
    pub fn pactl(&self, arguments: &[&str]) -> String {
        let output = Command::new("pactl").args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Plugs in a loudspeaker; returns what unplugs it, once it is the system's default if it is the only one.
    pub fn speaker(&self, name: &str, rate: u32) -> Plug {
        let plug = self.load(&[
            "module-null-sink",
            &format!("sink_name={name}"),
            &format!("rate={rate}"),
            &format!("sink_properties=device.description={name}"),
        ]);
        // The one that plays for nobody leaves a moment later, and is the default for another moment.
        self.wait_for(name, || {
            let sinks = self.listed("sinks");
            let default = self.pactl(&["get-default-sink"]);
            sinks.iter().any(|sink| sink == name) && sinks.contains(&default) && !is_none(&sinks)
        });
        plug
    }

    /// Plugs in a microphone that hears what the loudspeaker plays.
    pub fn microphone(&self, name: &str, hears: &str) -> Plug {
        let plug = self.load(&[
            "module-remap-source",
            &format!("source_name={name}"),
            &format!("master={hears}.monitor"),
            &format!("source_properties=device.description={name}"),
        ]);
        self.wait_for(name, || {
            self.listed("sources").iter().any(|source| source == name)
        });
        plug
    }

    fn load(&self, module: &[&str]) -> Plug {
        let number = self.pactl(&[&["load-module"], module].concat());
        assert!(number.parse::<u32>().is_ok(), "{module:?}: {number:?}");
        Plug(vec![number])
    }

    fn listed(&self, what: &str) -> Vec<String> {
        let list = self.pactl(&["list", "short", what]);
        let name = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
        list.lines().filter_map(name).collect()
    }

    /// Plays a tone into a loudspeaker until this ends.
    pub fn tone(&self, speaker: &str, frequency: f32, amplitude: f32) -> Running {
        let mut command = bound_to_us("pacat");
        command
            .args([
                "--playback",
                "--latency-msec=20",
                "--channels=1",
                "--rate=48000",
            ])
            .args(["--format=float32le", "--device", speaker])
            .stdin(Stdio::piped())
            .stderr(Stdio::null());
        let mut running = Running::start(command);
        let mut input = running.0.stdin.take().unwrap();
        thread::spawn(move || {
            let mut phase = 0.0_f32;
            loop {
                let samples: Vec<u8> = (0..STEP)
                    .flat_map(|_| {
                        phase = (phase + frequency / RATE) % 1.0;
                        let sample = (phase * std::f32::consts::TAU).sin() * amplitude;
                        sample.to_le_bytes()
                    })
                    .collect();
                if input.write_all(&samples).is_err() {
                    return;
                }
            }
        });
        running
    }

    /// Listens to what a loudspeaker plays.
    pub fn listen(&self, speaker: &str) -> Ear {
        let mut command = bound_to_us("parec");
        command
            .args(["--latency-msec=20", "--channels=1", "--rate=48000"])
            .args(["--format=float32le", &format!("--device={speaker}.monitor")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut running = Running::start(command);
        let mut output = running.0.stdout.take().unwrap();
        let heard: Arc<Mutex<VecDeque<f32>>> = Arc::default();
        let ours = heard.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4 * STEP];
            while output.read_exact(&mut bytes).is_ok() {
                let mut heard = ours.lock().unwrap();
                let samples = bytes.chunks_exact(4);
                heard.extend(samples.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
                // One second is kept.
                let old = heard.len().saturating_sub(48_000);
                heard.drain(..old);
            }
        });
        Ear {
            heard,
            _running: running,
        }
    }
}

/// Whether the loudspeaker that plays for nobody, which is there while there is no other one, is among them.
fn is_none(sinks: &[String]) -> bool {
    sinks.iter().any(|sink| sink == NOBODY)
}

/// Something that is plugged in until it is unplugged.
pub struct Plug(Vec<String>);

impl Plug {
    pub fn unplug(self, stage: &Stage) {
        for module in self.0 {
            stage.pactl(&["unload-module", &module]);
        }
    }
}

/// Hears what a loudspeaker plays.
pub struct Ear {
    heard: Arc<Mutex<VecDeque<f32>>>,
    _running: Running,
}

impl Ear {
    /// Waits until 100 ms of the last second are this tone: on a busy computer it has gaps.
    pub async fn hears(&self, frequency: f32) {
        self.forget();
        until(&format!("a tone of {frequency} Hz"), || {
            let heard = self.heard.lock().unwrap();
            let steps: Vec<f32> = heard.iter().copied().collect();
            let are = steps.chunks_exact(STEP);
            are.filter(|step| tone_share(step, frequency) > 0.8).count() >= 10
        })
        .await;
    }

    fn forget(&self) {
        self.heard.lock().unwrap().clear();
    }
}
