//! A computer for one test: `PipeWire` with its session and its `PulseAudio` side, a session bus, and programs that play
//! and listen.
//!
//! The servers are found by the environment, which belongs to a whole process: so each test runs in a process of its
//! own, this same program with the test's name.

mod camera;
mod program;
mod screen;
mod sound;

use std::cell::RefCell;
use std::future::Future;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

pub use camera::Show;
use program::{Running, bound_to_us};
use screen::XServer;

/// Longest wait for anything; what it waits for usually comes within a second.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Longest run of one test.
const LONGEST: &str = "150";
const STAGE: &str = "CORDEE_TEST_STAGE";

/// Runs the test of this name on a stage.
pub fn on_stage<F: Future<Output = ()>>(test: impl FnOnce(Stage) -> F) {
    perform(test, None);
}

/// As [`on_stage`], with an X11 screen of 1280×720 that ends when the test says so.
pub fn on_stage_with_a_screen<F: Future<Output = ()>>(test: impl FnOnce(Stage) -> F) {
    let screen = is_outside().then(XServer::start);
    perform(test, screen.as_ref());
}

/// Whether this is what starts the stages, and not a test on one.
pub fn is_outside() -> bool {
    std::env::var_os(STAGE).is_none()
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
        screen.announce(&mut command);
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

pub struct Stage {
    folder: PathBuf,
    servers: RefCell<Vec<Running>>,
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
        stage.await_server("bus");
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
        self.await_server("pipewire-0");
        servers.push(self.server("wireplumber", &[]));
        servers.push(self.server("pipewire-pulse", &[]));
        self.await_server("pulse/native");
        self.servers.borrow_mut().append(&mut servers);
        // The session is ready once there is a loudspeaker, if only one that plays for nobody.
        self.wait_for("a sound server", || {
            self.pactl(&["get-default-sink"]) == sound::NOBODY
        });
    }

    /// Ends the sound server at once, and starts it again without any device.
    pub fn restart_sound(&self) {
        self.servers.borrow_mut().truncate(1);
        for socket in ["pipewire-0", "pipewire-0.lock", "pulse/native"] {
            let _ = std::fs::remove_file(self.folder.join(socket));
        }
        self.start_servers();
    }

    /// Until it answers: its socket is there a moment before that.
    fn await_server(&self, name: &str) {
        let socket = self.folder.join(name);
        self.wait_for(name, || UnixStream::connect(&socket).is_ok());
    }

    /// As [`until`], where nothing else has to go on meanwhile.
    fn wait_for(&self, what: &str, so: impl Fn() -> bool) {
        let began = Instant::now();
        while !so() {
            assert!(began.elapsed() < DEADLINE, "too long: {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
