//! Programs that end when what they serve does.

use std::process::{Child, Command};

/// The program ends when the thread that starts it does, whatever happens to that.
pub fn bound_to_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// A program that ends with this.
pub struct Running(pub Child);

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
