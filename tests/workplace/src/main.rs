//! `workplace up|down|status`: the demo workplace from a terminal.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "workplace",
    about = "Real back ends of a small hospital on this machine"
)]
struct Line {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start it and hold it until Ctrl C (or leave it running with --detach)
    Up(Up),
    /// End a workplace that runs in the background
    Down {
        /// The file that `up` wrote
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// A gateway to an inside of its own, in namespaces, until Ctrl C
    Gateway {
        /// People who may sign in to its AnyConnect server
        #[arg(long, default_value_t = 2)]
        colleagues: usize,
    },
    /// Say whether it runs and where
    Status {
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

#[derive(Args)]
struct Up {
    /// Write addresses, authority, people and passwords to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Return when everything is healthy; `down` ends it
    #[arg(long)]
    detach: bool,
    /// Start these alone, and what they need: oidc, synapse, livekit (the organisation's document is always there)
    #[arg(long, value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// Without the sign-in portal: people sign in to chat with a password
    #[arg(long)]
    no_oidc: bool,
    #[arg(long, default_value_t = 40)]
    people: usize,
    /// Rooms that Camille is in
    #[arg(long, default_value_t = 12)]
    rooms: usize,
    /// Messages in one more room for scrolling
    #[arg(long, default_value_t = 0)]
    long_room: usize,
    /// Keep logs and databases afterwards
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(workplace::TOLD)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if workplace::gateway::parts::is_part(&arguments) {
        return workplace::gateway::parts::main(&arguments);
    }
    let result = match Line::parse().action {
        Action::Up(up) if up.detach => detach(&up),
        Action::Up(up) => hold(&up),
        Action::Down { json } => place(json).and_then(|file| {
            let ended = workplace::down_by_description(&file)?;
            println!(
                "{}",
                if ended {
                    "The workplace has ended."
                } else {
                    "No workplace was running."
                }
            );
            Ok(())
        }),
        Action::Gateway { colleagues } => gateway(colleagues),
        Action::Status { json } => place(json).and_then(|file| status(&file)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn gateway(colleagues: usize) -> anyhow::Result<()> {
    use workplace::gateway::namespaces::{CLIENT, Net, Who};
    let gateway = workplace::gateway::Gateway::up(&workplace::gateway::Options {
        parts: std::env::current_exe()?,
        relay: None,
        programs: Vec::new(),
        colleagues,
        codes: true,
        rekey: 3600,
    })?;
    let keys = workplace::gateway::wireguard::KeyPair::random();
    let inside = gateway.add_peer(&keys)?;
    let ports = gateway.line()?;
    let profile = gateway.profile(&keys, &inside, &ports)?;
    let enter = gateway
        .net
        .command(Net::Client, Who::User(CLIENT), "PROGRAM");
    let words = enter.get_args().map(|word| word.to_string_lossy());
    let words = words.map(|word| {
        if word.contains([' ', '$']) {
            format!("'{word}'").into()
        } else {
            word
        }
    });
    println!("A profile for this gateway, where the client is: {profile}");
    println!(
        "AnyConnect: {}:{}",
        workplace::gateway::NAME,
        ports.anyconnect
    );
    for colleague in gateway
        .anyconnect()
        .iter()
        .flat_map(|server| &server.colleagues)
    {
        println!(
            "  {} with the password {} and the code {}",
            colleague.name,
            workplace::gateway::anyconnect::PASSWORD,
            colleague.code()?
        );
    }
    println!(
        "A program in the client's place: nsenter {}",
        words.collect::<Vec<_>>().join(" ")
    );
    println!("Ends with Ctrl C.");
    tokio::runtime::Runtime::new()?.block_on(tokio::signal::ctrl_c())?;
    Ok(())
}

fn place(json: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    Ok(match json {
        Some(file) => std::path::absolute(file)?,
        None => workplace::cache()?.join("workplace.json"),
    })
}

fn hold(up: &Up) -> anyhow::Result<()> {
    let known = ["organisation", "sms", "oidc", "synapse", "livekit"];
    if let Some(other) = up
        .only
        .iter()
        .flatten()
        .find(|name| !known.contains(&name.as_str()))
    {
        anyhow::bail!(
            "There is no service {other}. There are {}.",
            known.join(", ")
        );
    }
    let file = place(up.json.clone())?;
    if let Some(running) = running(&file) {
        anyhow::bail!(
            "A workplace already runs at {} (see {}).",
            running.organisation,
            file.display()
        );
    }
    tokio::runtime::Runtime::new()?.block_on(async {
        let wanted = |names: &[&str]| {
            up.only
                .as_ref()
                .is_none_or(|only| only.iter().any(|name| names.contains(&name.as_str())))
        };
        let options = workplace::Options {
            identity: !up.no_oidc && wanted(&["oidc", "sms"]),
            chat: wanted(&["synapse"]),
            // Nothing of the demo needs it yet, and it is built from source: only by name.
            meetings: up.only.iter().flatten().any(|name| name == "livekit"),
            people: up.people.max(2),
            rooms: up.rooms,
            long_room: up.long_room,
            keep: up.keep || workplace::Options::default().keep,
            ..workplace::Options::default()
        };
        // A signal that comes while things start ends them as well.
        let mut ended = std::pin::pin!(asked_to_end());
        let workplace = tokio::select! {
            workplace = workplace::Workplace::up(options) => workplace?,
            () = &mut ended => return Ok(()),
        };
        let description = workplace.description();
        std::fs::write(&description.policy, workplace.policy_json())?;
        write_whole(&file, &serde_json::to_vec_pretty(&description)?)?;
        say(&description, &file);
        ended.await;
        eprintln!("ending…");
        workplace.down().await;
        let _ = std::fs::remove_file(&file);
        Ok(())
    })
}

/// The same program once more, on its own, until its description appears.
fn detach(up: &Up) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt;
    let file = place(up.json.clone())?;
    if let Some(running) = running(&file) {
        anyhow::bail!(
            "A workplace already runs at {} (see {}).",
            running.organisation,
            file.display()
        );
    }
    let log = file.with_extension("log");
    let output = std::fs::File::create(&log)?;
    let arguments: Vec<_> = std::env::args_os()
        .skip(1)
        .filter(|argument| argument != "--detach")
        .collect();
    let mut runner = std::process::Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()?;
    loop {
        if let Some(running) = running(&file) {
            say(&running, &file);
            return Ok(());
        }
        if let Some(status) = runner.try_wait()? {
            anyhow::bail!(
                "The workplace did not start ({status}):\n{}",
                std::fs::read_to_string(&log)?
            );
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn running(file: &Path) -> Option<workplace::Description> {
    let description: workplace::Description =
        serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    description.running().then_some(description)
}

fn status(file: &Path) -> anyhow::Result<()> {
    let Some(description) = running(file) else {
        anyhow::bail!("No workplace is running.")
    };
    say(&description, file);
    Ok(())
}

fn say(description: &workplace::Description, file: &Path) {
    println!("Organisation   {}", description.organisation);
    if let Some(person) = description.people.first() {
        println!(
            "Try            {}, password {}",
            person.address, person.password
        );
    }
    if let Some(log) = &description.phone_log {
        println!("SMS codes      {}", log.display());
    }
    println!("Authority      {}", description.ca.display());
    println!("Everything     {}", file.display());
}

fn write_whole(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let fresh = file.with_extension("part");
    std::fs::write(&fresh, content)?;
    Ok(std::fs::rename(fresh, file)?)
}

async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}
