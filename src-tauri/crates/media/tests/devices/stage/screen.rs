//! A screen without a monitor.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::Stage;
use super::program::{Running, bound_to_us};

/// The process of the X11 server.
const SCREEN: &str = "CORDEE_TEST_SCREEN";

/// An X11 server without a monitor.
pub struct XServer {
    running: Running,
    display: String,
}

impl XServer {
    pub fn start() -> Self {
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

    /// Tells a program where the screen is, and how to end it.
    pub fn announce(&self, command: &mut Command) {
        command.env("DISPLAY", &self.display);
        command.env(SCREEN, self.running.0.id().to_string());
    }
}

impl Stage {
    /// Ends the X11 server.
    pub fn end_screen(&self) {
        let process = std::env::var(SCREEN).unwrap();
        let status = Command::new("kill").args(["-9", &process]).status();
        assert!(status.unwrap().success());
    }
}
