//! What another program needs to know about a running workplace: the content of `workplace up --json FILE`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::Workplace;
use crate::services::synapse;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// What a person types: `saint-elme.localhost:PORT`.
    pub organisation: String,
    pub port: u16,
    pub homeserver: String,
    /// The portal, unless people sign in with a password.
    pub issuer: Option<String>,
    /// The certificate authority, a PEM file, and the policy that makes the client trust it.
    pub ca: PathBuf,
    pub policy: PathBuf,
    /// What the phones received.
    pub phone_log: Option<PathBuf>,
    /// A token for the homeserver with which everybody's name can be used (`?user_id=`).
    pub everybody: String,
    pub people: Vec<Listed>,
    pub run_folder: PathBuf,
    /// Process groups by service.
    pub pids: BTreeMap<String, Vec<i32>>,
    /// The program that holds the workplace, and when it started (field 22 of proc(5) stat), so that its number is
    /// not taken for somebody else's.
    pub runner: i32,
    pub runner_started: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    pub uid: String,
    pub name: String,
    pub address: String,
    pub function: String,
    pub department: String,
    pub phone: String,
    pub password: String,
    pub mxid: String,
}

impl Description {
    pub(crate) fn of(workplace: &Workplace) -> Self {
        let site = &workplace.site;
        let identity = site.options.identity;
        let runner = i32::try_from(std::process::id()).unwrap_or_default();
        Self {
            organisation: site.organisation(),
            port: site.ports.front,
            homeserver: site.homeserver(),
            issuer: identity.then(|| site.issuer()),
            ca: site.authority_file(),
            policy: site.run.join("policy.json"),
            phone_log: identity.then(|| site.phone_log()),
            everybody: synapse::everybodys_token(site),
            people: site
                .people
                .iter()
                .map(|person| Listed {
                    uid: person.uid.clone(),
                    name: person.name.clone(),
                    address: workplace.address_of(&person.uid),
                    function: person.function.clone(),
                    department: person.department.clone(),
                    phone: person.phone.clone(),
                    password: person.password.clone(),
                    mxid: person.mxid.clone(),
                })
                .collect(),
            run_folder: site.run.clone(),
            pids: workplace
                .services
                .iter()
                .map(|s| (s.name().to_owned(), s.crew().pids()))
                .collect(),
            runner,
            runner_started: started(runner).unwrap_or_default(),
        }
    }

    /// True while the program that holds the workplace runs.
    pub fn running(&self) -> bool {
        started(self.runner).is_some_and(|started| started == self.runner_started)
    }
}

fn started(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // A program that has ended and was not reaped yet does not run.
    let state = fields.next()?;
    (state != "Z")
        .then(|| fields.nth(18).map(str::to_owned))
        .flatten()
}

/// Asks the workplace that this description names to end, and waits for it. `false`: it was not running.
pub fn down_by_description(file: &Path) -> Result<bool> {
    let Ok(text) = std::fs::read(file) else {
        return Ok(false);
    };
    let description: Description = serde_json::from_slice(&text)
        .with_context(|| format!("{} does not describe a workplace", file.display()))?;
    if !description.running() {
        let _ = std::fs::remove_file(file);
        return Ok(false);
    }
    let runner = Pid::from_raw(description.runner);
    kill(runner, Signal::SIGTERM)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while description.running() {
        if Instant::now() > deadline {
            // Its guard clears up.
            kill(runner, Signal::SIGKILL)?;
            bail!("the workplace did not end within 30 s and was killed");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(true)
}
