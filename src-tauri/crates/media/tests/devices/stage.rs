//! A computer for one test: `PipeWire` with its session and its `PulseAudio` side, a session bus, and programs that play
//! and listen.
//!
//! The servers are found by the environment, which belongs to a whole process: so each test runs in a process of its
//! own, this same program with the test's name.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ::media::{PatternSource, VideoSource, tone_share};

/// Longest wait for anything; what it waits for usually comes within a second.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Longest run of one test.
const LONGEST: &str = "150";
const STAGE: &str = "CORDEE_TEST_STAGE";
/// The process of the X11 server.
const SCREEN: &str = "CORDEE_TEST_SCREEN";
const RATE: f32 = 48_000.0;
const STEP: usize = 480;

/// Runs the test of this name on a stage.
pub fn on_stage<F: Future<Output = ()>>(test: impl FnOnce(Stage) -> F) {
    perform(test, None);
}

/// As [`on_stage`], with an X11 screen of 1280×720 that ends when the test says so.
pub fn on_stage_with_a_screen<F: Future<Output = ()>>(test: impl FnOnce(Stage) -> F) {
    let screen = std::env::var_os(STAGE).is_none().then(XServer::start);
    perform(test, screen.as_ref());
}

fn perform<F: Future<Output = ()>>(test: impl FnOnce(Stage) -> F, screen: Option<&XServer>) {
    if let Some(folder) = std::env::var_os(STAGE) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _ = tracing_subscriber::fmt()
            .with_env_filter("warn,media=debug")
            .with_test_writer()
            .try_init();
        runtime.block_on(test(Stage::set(PathBuf::from(folder))));
        return;
    }
    let name = thread::current().name().unwrap().to_owned();
    let folder = tempfile::Builder::new().prefix("stage-").tempdir().unwrap();
    let within = |name: &str| folder.path().join(name);
    let mut command = bound_to_us("timeout");
    command
        .args(["--kill-after=5", LONGEST])
        // Nor does what runs in here outlive the clock, when that is ended by force.
        .args(["setpriv", "--pdeathsig", "KILL", "--"])
        .arg(std::env::current_exe().unwrap())
        .args([&*name, "--exact", "--nocapture", "--test-threads=1"])
        .env(STAGE, folder.path())
        .env("XDG_RUNTIME_DIR", folder.path())
        .env("XDG_CONFIG_HOME", within("config"))
        .env("XDG_STATE_HOME", within("state"))
        .env("PULSE_COOKIE", within("cookie"))
        .env("PIPEWIRE_RUNTIME_DIR", folder.path())
        .env(
            "DBUS_SESSION_BUS_ADDRESS",
            format!("unix:path={}", within("bus").display()),
        )
        .env_remove("PULSE_SERVER")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY");
    if let Some(screen) = screen {
        command.env("DISPLAY", &screen.display);
        command.env(SCREEN, screen.running.0.id().to_string());
    }
    let output = command.output().unwrap();
    let said = |bytes: &[u8]| -> String {
        // Its own total is not one of ours.
        let lines = String::from_utf8_lossy(bytes).into_owned();
        let lines: Vec<&str> = lines
            .lines()
            .filter(|line| !line.starts_with("test result:"))
            .collect();
        lines.join("\n")
    };
    let (out, errors) = (said(&output.stdout), said(&output.stderr));
    let ran = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(
        output.status.success() && ran,
        "{}\n{out}\n{errors}",
        output.status
    );
    println!("{out}");
}

/// The program ends when the thread that starts it does, whatever happens to that.
fn bound_to_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// Fails with `what` when it takes too long.
pub async fn soon<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(DEADLINE, waiting).await;
    waited.unwrap_or_else(|_| panic!("too long: {what}"))
}

/// Asks again and again until it is so.
pub async fn until(what: &str, so: impl Fn() -> bool) {
    soon(what, async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// An X11 server without a monitor.
struct XServer {
    running: Running,
    display: String,
}

impl XServer {
    fn start() -> Self {
        let mut command = bound_to_us("Xvfb");
        command
            .args(["-displayfd", "1", "-screen", "0", "1280x720x24"])
            .args(["-nolisten", "tcp", "-noreset"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut running = Running::start(command);
        let mut number = String::new();
        // It says which number it took once it listens.
        BufReader::new(running.0.stdout.take().unwrap())
            .read_line(&mut number)
            .unwrap();
        Self {
            running,
            display: format!(":{}", number.trim()),
        }
    }
}

pub struct Stage {
    folder: PathBuf,
    servers: RefCell<Vec<Running>>,
}

/// A program that ends with this.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let program = format!("{command:?}");
        let child = command.spawn();
        Self(child.unwrap_or_else(|error| panic!("{program}: {error}")))
    }
}

impl Stage {
    fn set(folder: PathBuf) -> Self {
        let stage = Self {
            folder,
            servers: RefCell::default(),
        };
        let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap();
        let bus = stage.server(
            "dbus-daemon",
            &[
                "--session",
                "--nofork",
                "--nopidfile",
                "--address",
                &address,
            ],
        );
        stage.servers.borrow_mut().push(bus);
        stage.await_file("bus");
        stage.start_servers();
        stage
    }

    /// A program that writes to a log file of its name.
    pub fn server(&self, program: &str, arguments: &[&str]) -> Running {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join(format!("{program}.log")))
            .unwrap();
        let mut command = bound_to_us(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Running::start(command)
    }

    fn start_servers(&self) {
        let mut servers = vec![self.server("pipewire", &[])];
        self.await_file("pipewire-0");
        servers.push(self.server("wireplumber", &[]));
        servers.push(self.server("pipewire-pulse", &[]));
        self.await_file("pulse/native");
        self.servers.borrow_mut().append(&mut servers);
        let began = Instant::now();
        // The session is ready once there is a loudspeaker, if only one that plays for nobody.
        while !self.pactl(&["get-default-sink"]).contains("auto_null") {
            assert!(began.elapsed() < DEADLINE, "no sound server");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the sound server at once, and starts it again without any device.
    pub fn restart_sound(&self) {
        self.servers.borrow_mut().truncate(1);
        for socket in ["pipewire-0", "pipewire-0.lock", "pulse/native"] {
            let _ = std::fs::remove_file(self.folder.join(socket));
        }
        self.start_servers();
    }

    fn await_file(&self, name: &str) {
        let began = Instant::now();
        while !self.folder.join(name).exists() {
            assert!(began.elapsed() < DEADLINE, "no {name}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn pactl(&self, arguments: &[&str]) -> String {
        let output = Command::new("pactl").args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Plugs in a loudspeaker; returns what unplugs it.
    pub fn speaker(&self, name: &str, rate: u32) -> Plug {
        let module = self.pactl(&[
            "load-module",
            "module-null-sink",
            &format!("sink_name={name}"),
            &format!("rate={rate}"),
            &format!("sink_properties=device.description={name}"),
        ]);
        Plug(vec![module])
    }

    /// Plugs in a microphone that hears what the loudspeaker plays.
    pub fn microphone(&self, name: &str, hears: &str) -> Plug {
        let module = self.pactl(&[
            "load-module",
            "module-remap-source",
            &format!("source_name={name}"),
            &format!("master={hears}.monitor"),
            &format!("source_properties=device.description={name}"),
        ]);
        Plug(vec![module])
    }

    /// Ends the X11 server.
    pub fn end_screen(&self) {
        let process = std::env::var(SCREEN).unwrap();
        let status = Command::new("kill").args(["-9", &process]).status();
        assert!(status.unwrap().success());
    }

    /// Plugs in a camera that shows a pattern of 30 pictures per second; it is unplugged when this ends.
    pub fn camera(&self, name: &str, width: usize, height: usize) -> Running {
        let size = format!("width={width} height={height}");
        let mut running = self.gstreamer(
            name,
            // The converter changes nothing; without it some versions of the sink fall over a parser's buffers.
            &format!("fdsrc fd=0 ! rawvideoparse format=i420 {size} framerate=30/1 ! videoconvert"),
        );
        let mut input = running.0.stdin.take().unwrap();
        thread::spawn(move || {
            let mut pattern = PatternSource::new(width, height, 30);
            while let Ok(Some(picture)) = pattern.next() {
                let (blue, red) = picture.chroma();
                let planes = [picture.luma(), blue, red].concat();
                if input.write_all(&planes).is_err() {
                    return;
                }
            }
        });
        running
    }

    /// Plugs in a camera whose pictures come from this pipeline.
    pub fn gstreamer(&self, name: &str, pipeline: &str) -> Running {
        let log = std::fs::File::create(self.folder.join(format!("{name}.log"))).unwrap();
        let sink = format!(
            "pipewiresink sync=false mode=provide stream-properties=\"properties,media.class=Video/Source,\
             node.name={name},node.description={name}\""
        );
        let mut command = bound_to_us("gst-launch-1.0");
        command
            .arg("--quiet")
            .args(pipeline.split(' '))
            .arg("!")
            .args(sink.split(' '))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Running::start(command)
    }

    /// `PipeWire`'s number for what has this name.
    pub fn node(&self, name: &str) -> Option<u32> {
        let output = Command::new("pw-dump").output().unwrap();
        let objects: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).ok()?;
        let found = objects
            .iter()
            .find(|object| object["info"]["props"]["node.name"] == name)?;
        found["id"].as_u64().and_then(|id| u32::try_from(id).ok())
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
