//! The demo alone: `cargo run -p desktop --example demo -- DIR` leaves its pictures in DIR. People use `./x demo`.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let seen =
        "warn,desktop=info,workplace=info,matrix_sdk=off,matrix_sdk_base=off,matrix_sdk_crypto=off";
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_env_filter(seen)
        .init();
    let shots = std::env::args_os().nth(1).map(Into::into);
    desktop::demo::run(desktop::demo::Options {
        headless: true,
        shots,
        ..Default::default()
    })
    .await
}
