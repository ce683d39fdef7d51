//! Worker processes: begun by one thread, killed by pidfd, reaped by their owner.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, prlimit, waitid,
};

use crate::cgroup::CgroupEntry;
use crate::clone::{ChildPlan, clone_child};
use crate::inherited;
use crate::namespace::{self, NamespaceKind, Namespaces, UserMap};
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
    /// The namespaces that it gets of its own.
    pub namespaces: Namespaces,
    /// The cgroup that it begins in.
    pub cgroup: Option<CgroupEntry>,
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
    process: Pid,
    killer: Killer,
    stderr: StderrNote,
    end: Option<ProcessEnd>,
    /// All its CPU time, once it has ended.
    final_cpu_time: Option<Duration>,
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
        self.process.as_raw_nonzero().get().unsigned_abs()
    }

    /// Blocks until the process has ended.
    ///
    /// # Errors
    /// Those of wait(2), which mean a bug.
    pub fn wait(&mut self) -> io::Result<ProcessEnd> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        // Its clock stands still but is there until it is reaped.
        wait_for(self.killer.0.as_fd(), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        self.final_cpu_time = crate::clock::process_cpu_time(self.process);
        let end = wait_for(self.killer.0.as_fd(), WaitIdOptions::EXITED)?;
        self.end = Some(end);
        Ok(end)
    }

    /// The beginning of what the process wrote to its stderr.
    pub fn stderr_text(&self) -> String {
        self.stderr.text()
    }

    /// CPU time that all threads of the process took so far, as the kernel counts it.
    pub fn cpu_time(&self) -> Option<Duration> {
        match self.end {
            Some(_) => self.final_cpu_time,
            None => crate::clock::process_cpu_time(self.process),
        }
    }

    /// Memory that the process may write to as it is mapped now, bytes: what it allocated and what
    /// guests got, not what is only reserved.
    ///
    /// # Errors
    /// The process has ended.
    pub fn data(&self) -> io::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.process.as_raw_nonzero()))?;
        let pages = text.split(' ').nth(5).and_then(|pages| pages.parse::<u64>().ok());
        let pages = pages.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(pages.saturating_mul(rustix::param::page_size() as u64))
    }

    /// Bounds [`data`](Self::data).
    ///
    /// # Errors
    /// The process has ended, or is another user's and this one may not bound those.
    pub fn limit_data(&self, bytes: u64) -> io::Result<()> {
        if self.end.is_some() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // It isn't reaped, so the number is still its own.
        prlimit(Some(self.process), Resource::Data, Rlimit { current: Some(bytes), maximum: None })?;
        Ok(())
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.killer.kill();
        // Reaping can't fail for a child of ours that wasn't reaped.
        let _ = self.wait();
    }
}

fn wait_for(pidfd: BorrowedFd<'_>, options: WaitIdOptions) -> io::Result<ProcessEnd> {
    loop {
        match waitid(WaitId::PidFd(pidfd), options) {
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Err(error) => return Err(error.into()),
            Ok(Some(status)) => return end_of(&status).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        }
    }
}

fn end_of(status: &WaitIdStatus) -> Option<ProcessEnd> {
    let exited = status.exit_status().map(ProcessEnd::Exited);
    exited.or_else(|| status.terminating_signal().map(ProcessEnd::Signalled))
}

type Request = (WorkerCommand, UserMap, SyncSender<io::Result<WorkerProcess>>);

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
    /// Those of clone3(2) and execveat(2), too many descriptors, or the spawner has ended.
    pub fn spawn(&self, command: WorkerCommand) -> io::Result<WorkerProcess> {
        self.spawn_mapped(command, UserMap::Own)
    }

    /// Likewise; these are the users that exist in its user namespace, where it gets one.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn); this process may not map those users.
    pub fn spawn_mapped(&self, command: WorkerCommand, users: UserMap) -> io::Result<WorkerProcess> {
        let gone = || io::Error::other("the spawner has ended");
        let requests = self.requests.lock().expect("no holder of this lock panics").clone();
        let (answer, answered) = sync_channel(1);
        requests.ok_or_else(gone)?.send((command, users, answer)).map_err(|_| gone())?;
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
    while let Ok((command, users, answer)) = inbox.recv() {
        // Whoever asked may have gone; then the process is killed by its drop.
        let _ = answer.send(begin(&command, users));
    }
}

fn begin(worker: &WorkerCommand, users: UserMap) -> io::Result<WorkerProcess> {
    let WorkerCommand { command, descriptors, namespaces, cgroup } = worker;
    let program = command.first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    if descriptors.len() > MAX_GIVEN {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let arguments = command.iter().map(|argument| CString::new(argument.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    // Opened here: the child may have become somebody who can't reach it.
    let program = rustix::fs::open(program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let stderr = StderrNote::new()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let (low_gate, opener) = pipe_with(PipeFlags::CLOEXEC)?;
    let (told, low_failure) = pipe_with(PipeFlags::CLOEXEC)?;

    let streams = [null.as_fd(), null.as_fd(), stderr.as_fd()].into_iter().zip(0..);
    let given = descriptors.iter().map(OwnedFd::as_fd).zip(FIRST_DESCRIPTOR..);
    let parked = streams.chain(given).map(|(from, number)| Ok((park(from)?, number)));
    let parked = parked.collect::<io::Result<Vec<(OwnedFd, RawFd)>>>()?;
    let (gate, failure, program) = (park(low_gate.as_fd())?, park(low_failure.as_fd())?, park(program.as_fd())?);
    // The end of the pipe is the child's only.
    drop((low_gate, low_failure));
    let placed: Vec<(BorrowedFd<'_>, RawFd)> = parked.iter().map(|(from, number)| (from.as_fd(), *number)).collect();
    let (born_in, tasks) = cgroup.as_ref().map_or((None, Vec::new()), CgroupEntry::parts);
    let plan = ChildPlan {
        namespaces: namespaces.clone_flags(),
        born_in,
        tasks: &tasks,
        become_root: namespaces.kind == NamespaceKind::Unprivileged && users.root_is_another(),
        gate: gate.as_fd(),
        opener: opener.as_fd(),
        failure: failure.as_fd(),
        descriptors: &placed,
        program: program.as_fd(),
        arguments: &arguments,
    };
    let forked = clone_child(&plan)?;
    let process = Pid::from_raw(forked.process).expect("a process number is positive");
    let killer = Killer(Arc::new(forked.pidfd));
    // From here on the child is killed and reaped whatever happens.
    let child = WorkerProcess { process, killer, stderr, end: None, final_cpu_time: None };
    namespace::write_maps(process, *namespaces, users)?;
    rustix::io::write(&opener, &[1])?;
    drop(failure);
    match failure_told(told)? {
        Some(error) => Err(error),
        None => Ok(child),
    }
}

fn park(descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(descriptor, PARKING)?)
}

/// Waits for the program to begin, which closes the pipe, or for the reason why it can't.
fn failure_told(told: OwnedFd) -> io::Result<Option<io::Error>> {
    let mut number = Vec::new();
    File::from(told).read_to_end(&mut number)?;
    let number = number.first_chunk().copied().map(i32::from_ne_bytes);
    Ok(number.map(io::Error::from_raw_os_error))
}

/// Lets the kernel kill what this command begins when the thread that begins it ends.
pub fn tie_to_parent(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    #[expect(unsafe_code, reason = "what happens between fork and exec has no safe form")]
    // SAFETY: prctl(2) may be called there; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket;

    fn shell(script: &str, descriptors: Vec<OwnedFd>) -> WorkerCommand {
        let command = ["/bin/sh", "-c", script].iter().map(OsString::from).collect();
        WorkerCommand { command, descriptors, namespaces: Namespaces::default(), cgroup: None }
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
        let nothing = WorkerCommand { command: vec!["/no/such/program".into()], ..shell("", vec![]) };
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

    #[test]
    fn a_worker_is_root_of_users_that_are_not_the_hosts() {
        let spawner = Spawner::start().unwrap();
        let (ours, theirs) = socket::pair().unwrap();
        let namespaces = Namespaces { kind: NamespaceKind::Unprivileged, host_network: false };
        let command =
            WorkerCommand { namespaces, ..shell("exec >&3; id -u; id -G; cat /proc/self/uid_map", vec![theirs]) };
        let users = UserMap::of_this_host(1_900_065_536);
        let mut worker = spawner.spawn_mapped(command, users).unwrap();
        let told = read_all(&ours);
        let told: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(told[0], ["0"]);
        let own = rustix::process::geteuid().as_raw().to_string();
        match users {
            UserMap::Range { first, count } => {
                assert_eq!((told[1].as_slice(), count), (["0"].as_slice(), 65_536));
                assert_eq!(told[2], ["0", &first.to_string(), "65536"]);
            }
            UserMap::Own => assert_eq!(told[2], ["0", &own, "1"]),
            UserMap::Subordinate { users: (first, _), .. } => {
                assert_eq!(told[2], ["0", &own, "1"]);
                assert_eq!(told[3][..2], ["1", &first.to_string()]);
            }
        }
        assert_eq!(worker.wait().unwrap(), ProcessEnd::Exited(0));
        // It still dies with its spawner, which the kernel forgets when a process becomes somebody else.
        let (_ours, theirs) = socket::pair().unwrap();
        let endless = WorkerCommand { namespaces, ..shell("while :; do :; done", vec![theirs]) };
        let mut endless = spawner.spawn_mapped(endless, users).unwrap();
        drop(spawner);
        assert_eq!(endless.wait().unwrap(), ProcessEnd::Signalled(9));
    }
}
