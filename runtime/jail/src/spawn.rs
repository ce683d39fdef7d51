//! Worker processes: begun by one thread, killed by pidfd, reaped by their owner.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, getpid, getppid, pidfd_open, pidfd_send_signal,
    set_parent_process_death_signal, setrlimit,
};

use crate::inherited;
use crate::stderr::StderrNote;

/// First number at which a child finds the descriptors given to it.
const FIRST_DESCRIPTOR: RawFd = 3;
/// Most descriptors a child can be given.
const MAX_GIVEN: usize = 8;
/// The child's copies lie above those numbers, so that moving one can't overwrite another.
const PARKING: RawFd = 64;

/// What to run as a worker.
#[derive(Debug)]
pub struct WorkerCommand {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// The child finds them at 3, 4 and so on, in this order; at most 8.
    pub descriptors: Vec<OwnedFd>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEnd {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

/// A running worker process. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    killer: Killer,
    stderr: StderrNote,
    end: Option<ProcessEnd>,
}

/// Kills one process, whoever holds it, and never another that got its number.
#[derive(Debug, Clone)]
pub struct Killer(Arc<OwnedFd>);

impl Killer {
    /// SIGKILL. To a process that ended already it does nothing.
    pub fn kill(&self) {
        // The only possible error is that the process is gone.
        let _ = pidfd_send_signal(&*self.0, Signal::KILL);
    }
}

impl WorkerProcess {
    /// Something that kills this process from any thread.
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// The process's number, for people to read.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Blocks until the process has ended.
    ///
    /// # Errors
    /// Those of wait(2), which mean a bug.
    pub fn wait(&mut self) -> io::Result<ProcessEnd> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        let status = self.child.wait()?;
        let end = match (status.code(), status.signal()) {
            (Some(code), _) => ProcessEnd::Exited(code),
            (None, Some(signal)) => ProcessEnd::Signalled(signal),
            (None, None) => return Err(io::ErrorKind::InvalidData.into()),
        };
        self.end = Some(end);
        Ok(end)
    }

    /// The beginning of what the process wrote to its stderr.
    pub fn stderr_text(&self) -> String {
        self.stderr.text()
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.killer.kill();
        // Reaping can't fail for a child of ours that wasn't reaped.
        let _ = self.wait();
    }
}

type Request = (WorkerCommand, SyncSender<io::Result<WorkerProcess>>);

/// The one thread that begins processes. They are told to die when it does, which is why it lives
/// as long as the pool: the kernel's parent death signal is about the thread, not the process.
#[derive(Debug)]
pub struct Spawner {
    requests: Mutex<Option<SyncSender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Spawner {
    /// Starts the thread. What this process itself inherited is from now on closed on exec, as all
    /// that Rust opens is anyway.
    ///
    /// # Errors
    /// There is no room for another thread, or no /proc.
    pub fn start() -> io::Result<Self> {
        inherited::close_on_exec()?;
        let (requests, inbox) = sync_channel(64);
        let thread = std::thread::Builder::new().name("spawner".to_owned()).spawn(move || serve(&inbox))?;
        Ok(Self { requests: Mutex::new(Some(requests)), thread: Mutex::new(Some(thread)) })
    }

    /// Begins a process: empty environment, stdin and stdout at /dev/null, stderr kept for
    /// [`WorkerProcess::stderr_text`], no core dumps, killed when this spawner ends.
    ///
    /// # Errors
    /// Those of fork(2) and execve(2), too many descriptors, or the spawner has ended.
    pub fn spawn(&self, command: WorkerCommand) -> io::Result<WorkerProcess> {
        let gone = || io::Error::other("the spawner has ended");
        let requests = self.requests.lock().expect("no holder of this lock panics").clone();
        let (answer, answered) = sync_channel(1);
        requests.ok_or_else(gone)?.send((command, answer)).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        drop(self.requests.lock().expect("no holder of this lock panics").take());
        if let Some(thread) = self.thread.lock().expect("no holder of this lock panics").take() {
            // It only ends by the channel's end; a panic in it was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn serve(inbox: &Receiver<Request>) {
    while let Ok((command, answer)) = inbox.recv() {
        // Whoever asked may have gone; then the process is killed by its drop.
        let _ = answer.send(begin(command));
    }
}

fn begin(worker: WorkerCommand) -> io::Result<WorkerProcess> {
    let WorkerCommand { command, descriptors } = worker;
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    if descriptors.len() > MAX_GIVEN {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let parked = descriptors
        .iter()
        .map(|descriptor| Ok(rustix::io::fcntl_dupfd_cloexec(descriptor, PARKING)?))
        .collect::<io::Result<Vec<OwnedFd>>>()?;
    drop(descriptors);
    let stderr = StderrNote::new()?;
    let parent = getpid();
    #[expect(clippy::disallowed_methods, reason = "this is the jail that makes processes")]
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(stderr.writer()?));
    #[expect(unsafe_code, reason = "the child's walls are put up between fork and exec")]
    // SAFETY: the closure makes system calls only: it doesn't allocate, lock or panic.
    unsafe {
        command.pre_exec(move || {
            die_with_parent(parent)?;
            setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
            for (descriptor, number) in parked.iter().zip(FIRST_DESCRIPTOR..) {
                put_at(descriptor.as_fd(), number)?;
            }
            Ok(())
        });
    }
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.expect("a process number is a positive 32-bit number");
    // The child can't be reaped before this, so the number is still its own.
    let killer = Killer(Arc::new(pidfd_open(pid, PidfdFlags::empty())?));
    Ok(WorkerProcess { child, killer, stderr, end: None })
}

/// Asks for SIGKILL when the parent thread dies, and fails if it died before the asking.
fn die_with_parent(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// Copies `descriptor` to `number`, to be kept across exec.
fn put_at(descriptor: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    #[expect(unsafe_code, reason = "dup2 wants an owner of the number that it replaces")]
    // SAFETY: the child between fork and exec: nobody else owns the number, and this owner is
    // forgotten below, so nothing is closed twice.
    let target = unsafe { OwnedFd::from_raw_fd(number) };
    let mut target = std::mem::ManuallyDrop::new(target);
    Ok(rustix::io::dup2(descriptor, &mut target)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket;

    fn shell(script: &str, descriptors: Vec<OwnedFd>) -> WorkerCommand {
        let command = ["/bin/sh", "-c", script].iter().map(OsString::from).collect();
        WorkerCommand { command, descriptors }
    }

    fn read_all(socket: &OwnedFd) -> String {
        let (mut text, mut buffer) = (Vec::new(), [0; 256]);
        loop {
            let read = socket::receive_bytes(socket.as_fd(), &mut buffer).unwrap();
            if read == 0 {
                return String::from_utf8(text).unwrap();
            }
            text.extend_from_slice(&buffer[..read]);
        }
    }

    #[test]
    fn a_worker_inherits_what_was_named_and_nothing_else() {
        let spawner = Spawner::start().unwrap();
        let (ours, theirs) = socket::pair().unwrap();
        let (_other, second) = socket::pair().unwrap();
        let script = "exec >&3; cd /proc/$$/fd; echo *; /usr/bin/env | grep -v -e '^PWD' -e '^OLDPWD' -e '^_' -e SHLVL";
        let mut worker = spawner.spawn(shell(script, vec![theirs, second])).unwrap();
        // 5 is the shell's own, for listing the folder.
        assert_eq!(read_all(&ours).lines().collect::<Vec<_>>(), ["0 1 2 3 4 5"]);
        assert!(matches!(worker.wait().unwrap(), ProcessEnd::Exited(_)));
    }

    #[test]
    fn ends_are_told_apart() {
        let spawner = Spawner::start().unwrap();
        let mut seven = spawner.spawn(shell("echo oops >&2; exit 7", vec![])).unwrap();
        assert_eq!(seven.wait().unwrap(), ProcessEnd::Exited(7));
        assert_eq!(seven.stderr_text(), "oops\n");
        let mut endless = spawner.spawn(shell("while :; do :; done", vec![])).unwrap();
        let killer = endless.killer();
        killer.kill();
        assert_eq!(endless.wait().unwrap(), ProcessEnd::Signalled(9));
        killer.kill();
        let nothing = WorkerCommand { command: vec!["/no/such/program".into()], descriptors: vec![] };
        assert_eq!(spawner.spawn(nothing).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn stderr_is_bounded() {
        let spawner = Spawner::start().unwrap();
        let script = "i=0; while [ $i -lt 9999 ]; do echo 1234567 >&2 || exit 3; i=$((i+1)); done";
        let mut worker = spawner.spawn(shell(script, vec![])).unwrap();
        assert_eq!(worker.wait().unwrap(), ProcessEnd::Exited(3));
        assert_eq!(worker.stderr_text().len(), 16 * 1024);
    }

    #[test]
    fn workers_die_with_their_spawner() {
        let spawner = Spawner::start().unwrap();
        let (ours, theirs) = socket::pair().unwrap();
        let mut worker = spawner.spawn(shell("while :; do :; done", vec![theirs])).unwrap();
        drop(spawner);
        assert_eq!(worker.wait().unwrap(), ProcessEnd::Signalled(9));
        assert_eq!(read_all(&ours), "");
    }
}
