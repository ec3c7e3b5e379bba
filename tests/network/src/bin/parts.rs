//! The lab's own small programs; see `workplace::gateway::parts`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter("error")
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    workplace::gateway::parts::main(&arguments)
}
