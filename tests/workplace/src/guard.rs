//! The guard: the one process that outlives the program that runs a workplace, just long enough to clear up.
//!
//! It is a small shell that reads its input. The other end of that pipe is held by the program alone, so it closes
//! when the program ends, however it ends: return, panic, Ctrl C, `kill -9`. Then the guard kills every process
//! group that it was told about and removes the run folder.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

const SCRIPT: &str = r#"
run=$1
groups=
while read -r sign group; do
  case $sign in
    +) groups="$groups $group" ;;
    -) rest=
       for g in $groups; do [ "$g" = "$group" ] || rest="$rest $g"; done
       groups=$rest ;;
  esac
done
for g in $groups; do kill -s KILL -- "-$g" 2>/dev/null; done
[ -z "$run" ] || rm -rf -- "$run"
"#;

/// Held by whoever runs servers; see [`crate::process::Crew`].
pub struct Guard {
    shell: Mutex<Child>,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Guard {
    /// `folder` is removed at the end unless `keep`.
    pub fn post(folder: &Path, keep: bool) -> Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "workplace-guard"])
            .arg(if keep { Path::new("") } else { folder })
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own group: a Ctrl C at the terminal is not for it.
            .process_group(0)
            .spawn()
            .context("cannot start the shell that clears up after us")?;
        let pipe = shell.stdin.take();
        Ok(Self {
            shell: Mutex::new(shell),
            pipe: Mutex::new(pipe),
        })
    }

    /// From now on this process group dies with us.
    pub fn watch(&self, group: i32) -> Result<()> {
        self.tell('+', group)
    }

    /// The group has ended in order; its number may be given to somebody else.
    pub fn forget(&self, group: i32) {
        // A guard that is gone has nothing to forget.
        let _ = self.tell('-', group);
    }

    /// Lets the guard do its work and waits for it.
    pub fn dismiss(&self) {
        drop(
            self.pipe
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let _ = self
            .shell
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .wait();
    }

    fn tell(&self, sign: char, group: i32) -> Result<()> {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = pipe.as_mut().context("the workplace is being closed")?;
        writeln!(pipe, "{sign} {group}").context("the guard of the workplace is gone")
    }
}
