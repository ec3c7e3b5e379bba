//! Starts Cordée, or answers one of the few questions that need no window.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match cordee::arguments::Arguments::parse(&arguments) {
        cordee::arguments::Arguments::Lint { source } => cordee::arguments::lint(&source),
        cordee::arguments::Arguments::Version => cordee::arguments::version(),
        cordee::arguments::Arguments::Window { link } => {
            #[cfg(target_os = "linux")]
            cordee::painting::choose();
            cordee::run(link)
        }
    }
}
