//! The container runtime: a program with the command line of runc.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Deserialize;
use wasmbatch_jail::spawn::tie_to_parent;

/// A runtime that takes longer to begin or remove a container is stuck, and killed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most of what a runtime writes that is read, bytes.
const MOST_TEXT: u64 = 1 << 20;
/// Versions of runc from which no hole is known that a container could use: fixed were CVE-2025-31133,
/// CVE-2025-52565 and CVE-2025-52881 in 1.2.8, 1.3.3 and 1.4.0-rc.3 (runc's security advisories).
const SAFE_RUNC: [[u32; 3]; 3] = [[1, 2, 8], [1, 3, 3], [1, 4, 0]];
/// The same of crun: CVE-2026-47766 was fixed in 1.28.
const SAFE_CRUN: [u32; 3] = [1, 28, 0];

/// A runtime, and the folder in which it keeps what it knows of one container.
#[derive(Debug)]
pub(crate) struct Runtime<'a> {
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
}

/// What a runtime is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeInfo {
    /// Its program, absolute.
    pub program: PathBuf,
    /// Its name and version as it tells them.
    pub version: String,
    /// What its owner should know: holes that this version is known for.
    pub warning: Option<String>,
}

/// Finds a runtime by its name or path and asks for its version.
///
/// # Errors
/// There is none, or it doesn't answer as one; the text is fit for people.
pub fn find_runtime(name: &Path) -> Result<RuntimeInfo, String> {
    let shown = name.display();
    let program = locate(name).ok_or_else(|| format!("{shown} is not installed"))?;
    let mut command = command(&program);
    command.arg("--version").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("{shown} can't be run: {error}"))?;
    let mut text = String::new();
    if let Some(stdout) = child.stdout.take() {
        // What is no text is no version either.
        let _ = stdout.take(MOST_TEXT).read_to_string(&mut text);
    }
    let status = wait(&mut child).map_err(|error| format!("{shown}: {error}"))?;
    let version = text.lines().next().unwrap_or_default().trim().to_owned();
    if !status.success() || version.is_empty() {
        return Err(format!("{shown} doesn't tell its version"));
    }
    let warning = warning(&version);
    Ok(RuntimeInfo { program, version, warning })
}

fn locate(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return name.canonicalize().ok();
    }
    // A service's PATH may lack the folders for root's programs.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn warning(version: &str) -> Option<String> {
    let mut words = version.split_whitespace();
    let (name, number) = (words.next()?, words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?);
    let mut parts = number.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    let number = [(); 3].map(|()| parts.next().unwrap_or(0));
    let safe = match name {
        "runc" => {
            let of_its_line = SAFE_RUNC.iter().find(|safe| safe[..2] == number[..2]);
            of_its_line.map_or(number >= SAFE_RUNC[2], |safe| number >= *safe)
        }
        "crun" => number >= SAFE_CRUN,
        _ => true,
    };
    let holes = "has known holes; containers keep to users and folders of their own, which closes the ways that are \
                 known, but a newer one is better";
    (!safe).then(|| format!("{version} {holes}"))
}

impl Runtime<'_> {
    /// Begins a container, whose outputs go to these pipes, and gives the number of its first process.
    /// The bundle is the folder with its specification.
    pub(crate) fn run(&self, bundle: &Path, name: &str, outputs: [OwnedFd; 2]) -> Result<i32, String> {
        let (log, number) = (self.folder.join("log"), self.folder.join("pid"));
        let failed = |error: io::Error| format!("{}: {error}", self.program.display());
        let [stdout, stderr] = outputs;
        let mut command = self.command(&log);
        command.args(["run", "--detach", "--pid-file"]).arg(&number).arg("--bundle").arg(bundle).arg(name);
        command.stdout(stdout).stderr(stderr);
        // A container begun behind the back of its shim would be nobody's.
        tie_to_parent(&mut command);
        let mut child = command.spawn().map_err(failed)?;
        // Its copies of the pipes would never end.
        drop(command);
        let status = wait(&mut child).map_err(failed)?;
        if !status.success() {
            return Err(complaint(&log).unwrap_or_else(|| format!("{}: {status}", self.program.display())));
        }
        let text = fs::read_to_string(&number).map_err(failed)?;
        text.trim().parse().map_err(|_| "the runtime tells no process".to_owned())
    }

    /// Ends a container, if it is there, and removes what the runtime and the kernel have of it.
    pub(crate) fn delete(&self, name: &str) -> io::Result<()> {
        let mut command = self.command(&self.folder.join("log"));
        let mut child =
            command.args(["delete", "--force", name]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let status = wait(&mut child)?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("{status}"))) }
    }

    fn command(&self, log: &Path) -> Command {
        let mut command = command(self.program);
        command.arg("--root").arg(self.folder).arg("--log").arg(log).args(["--log-format", "json"]);
        command
    }
}

#[expect(clippy::disallowed_methods, reason = "the runtime is a program that is run")]
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    // What it looks up by name are its own helpers.
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null());
    command
}

/// Waits for a runtime to end, and kills it where it is stuck.
fn wait(child: &mut std::process::Child) -> io::Result<ExitStatus> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    if wait_readable(&pidfd, PATIENCE) {
        return child.wait();
    }
    // Gone is as good.
    let _ = child.kill();
    child.wait()?;
    Err(io::Error::from(io::ErrorKind::TimedOut))
}

/// Waits for something to read, or for the end of a process; `false` where that takes too long.
pub(crate) fn wait_readable(descriptor: &OwnedFd, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else { return false };
        match poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(count) => return count > 0,
            Err(_) => return false,
        }
    }
}

#[derive(Deserialize)]
struct LogLine {
    level: String,
    msg: String,
}

/// The last error in a runtime's log.
fn complaint(log: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(log).ok()?.take(MOST_TEXT).read_to_string(&mut text).ok()?;
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<LogLine>(line).ok());
    lines.rfind(|line| line.level == "error").map(|line| line.msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_known_holes_are_told_of() {
        for holed in ["runc version 1.1.5+ds1", "runc version 1.2.7", "runc version 1.3.2", "crun version 1.8.1"] {
            assert!(warning(holed).is_some(), "{holed}");
        }
        for safe in
            ["runc version 1.2.8", "runc version 1.3.6", "runc version 1.4.0", "crun version 1.28", "youki 0.7.0"]
        {
            assert_eq!(warning(safe), None, "{safe}");
        }
    }

    #[test]
    fn a_missing_runtime_is_named() {
        let error = find_runtime(Path::new("no-such-runtime")).unwrap_err();
        assert_eq!(error, "no-such-runtime is not installed");
        let error = find_runtime(Path::new("/bin/false")).unwrap_err();
        assert!(error.contains("doesn't tell its version"), "{error}");
    }
}
