//! The client of the tests: the tunnel as a program embeds it, driven over JSON lines. It runs without any right in the
//! client's namespace. What administrators run is the example `tunnel`; that one has a test of its own.

#![allow(clippy::print_stdout)]

use std::process::ExitCode;

fn main() -> ExitCode {
    // Two providers may be in one program; rustls then wants to be told.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(why) => {
            println!(
                "{}",
                serde_json::json!({ "event": "failed", "why": why.to_string() })
            );
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(network_tests::client::main()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!(
                "{}",
                serde_json::json!({ "event": "failed", "why": format!("{why:#}") })
            );
            ExitCode::FAILURE
        }
    }
}
