//! One worker process, seen from the pool.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmbatch_core::{Digest, Ending};
use wasmbatch_jail::{Killer, ProcessEnd, Scratch, WorkerCommand, WorkerProcess, socket};

use crate::cache::Compiled;
use crate::frame::{
    Begin, Folder, FolderSource, FrameError, FrameReader, FromWorker, GuestUsage, LOADED_PROGRAMS, MAX_FROM_WORKER,
    MAX_OUTPUT, MAX_TO_WORKER, PROTOCOL, Purpose, Run, ScratchSource, ToWorker, WorkerEnding, decode, encode,
};
use crate::reason::{matchable, readable};
use crate::spec::{AttemptSpec, EngineProfile, ModuleKind, MountSource, NetworkAccess, OutputStream, ScratchLimits};

/// How long a worker may take to say hello, and from being handed a program to its start.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How often a reader that waits for a start looks at the clock.
const TICK: Duration = Duration::from_secs(5);

/// What a worker is begun with.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) spawner: &'a wasmbatch_jail::Spawner,
    pub(crate) command: &'a [std::ffi::OsString],
    pub(crate) scratch: &'a wasmbatch_jail::ScratchRoot,
}

/// What a worker is made for. Attempts of one kind may share a worker, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkerKind {
    pub(crate) purpose: Purpose,
    pub(crate) profile: EngineProfile,
    pub(crate) network: NetworkAccess,
    /// A compiler has none.
    pub(crate) scratch: Option<ScratchLimits>,
}

impl WorkerKind {
    pub(crate) fn compiler(profile: EngineProfile) -> Self {
        Self { purpose: Purpose::Compile, profile, network: NetworkAccess::None, scratch: None }
    }

    /// The kind that runs an attempt.
    pub(crate) fn of(spec: &AttemptSpec) -> Self {
        Self { purpose: Purpose::Run, profile: spec.profile(), network: spec.network, scratch: Some(spec.scratch) }
    }

    /// The kind that most attempts want.
    pub(crate) fn plain() -> Self {
        Self {
            purpose: Purpose::Run,
            profile: EngineProfile::Plain,
            network: NetworkAccess::None,
            scratch: Some(ScratchLimits::default()),
        }
    }
}

/// A worker process with its socket and, if it runs attempts, its scratch folder.
#[derive(Debug)]
pub(crate) struct Worker {
    // In this order: the process is killed and reaped before its folders are removed.
    process: WorkerProcess,
    socket: OwnedFd,
    reader: FrameReader,
    buffer: Vec<u8>,
    /// Programs it has loaded, the most recently used last.
    loaded: Vec<Digest>,
    kind: WorkerKind,
    /// How many host folders it was begun with.
    given_folders: usize,
    scratch: Option<Scratch>,
}

/// What a worker said it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) engine: [u8; 16],
}

/// An attempt, ready to run.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) spec: AttemptSpec,
    pub(crate) digest: Digest,
    pub(crate) compiled: Arc<Compiled>,
}

/// What happens in an attempt, in order.
pub(crate) trait Progress {
    fn started(&self);
    fn output(&self, stream: OutputStream, bytes: &[u8]);
}

/// How a run came out.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The worker said so and waits for the next attempt.
    Ended(Ending),
    /// The worker is dead or must not be used again, and why, fit for an operator's log.
    Lost(Ending, String),
    /// The worker was dead before it got the attempt, which may run elsewhere.
    NotSent,
}

/// What a compiler came to.
#[derive(Debug)]
pub(crate) enum CompileOutcome {
    Compiled(ModuleKind),
    /// The module is at fault; fit for people.
    Rejected(String),
    /// It took too long.
    TimedOut,
    /// The worker is at fault.
    Died(String),
}

/// A worker's misbehaviour; what it says is not believed any further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Violation {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a frame came out of order")]
    Order,
    #[error("a worker of another protocol")]
    Protocol,
    #[error("nothing came in time")]
    Late,
}

impl Worker {
    /// Begins a worker and tells it what it is for. `folders` are the host folders of the only attempt
    /// that it will run, if that has any.
    pub(crate) fn spawn(launch: &Launch<'_>, kind: &WorkerKind, folders: &[OwnedFd]) -> io::Result<Self> {
        let (ours, theirs) = socket::pair()?;
        socket::set_receive_timeout(&ours, TICK)?;
        let scratch = match kind.scratch {
            Some(_) => Some(launch.scratch.create()?),
            None => None,
        };
        let command = WorkerCommand { command: launch.command.to_vec(), descriptors: vec![theirs] };
        let process = launch.spawner.spawn(command)?;
        let mut worker = Self {
            process,
            socket: ours,
            reader: FrameReader::new(MAX_FROM_WORKER),
            buffer: Vec::new(),
            loaded: Vec::new(),
            kind: kind.clone(),
            given_folders: folders.len(),
            scratch,
        };
        worker.begin(folders)?;
        Ok(worker)
    }

    fn begin(&mut self, folders: &[OwnedFd]) -> io::Result<()> {
        let request = ToWorker::Begin(Begin {
            purpose: self.kind.purpose,
            profile: self.kind.profile,
            network: self.kind.network,
            scratch: self.scratch.as_ref().map(|_| ScratchSource::Folder),
            identity: None,
            given_folders: u32::try_from(folders.len()).unwrap_or(u32::MAX),
        });
        self.buffer.clear();
        encode(&request, MAX_TO_WORKER, &mut self.buffer).map_err(io::Error::other)?;
        let scratch = self.scratch.as_ref().map(Scratch::directory);
        let given: Vec<BorrowedFd<'_>> = folders.iter().map(OwnedFd::as_fd).chain(scratch).collect();
        socket::send(self.socket.as_fd(), &self.buffer, &given)
    }

    pub(crate) fn kind(&self) -> &WorkerKind {
        &self.kind
    }

    pub(crate) fn killer(&self) -> Killer {
        self.process.killer()
    }

    /// Reads the first frame, before anything else is done with the worker.
    pub(crate) fn hello(&mut self) -> Result<Hello, Violation> {
        let deadline = Instant::now() + START_LIMIT;
        match self.next_frame(Some(deadline))? {
            Some(FromWorker::Hello { protocol: PROTOCOL, engine, walls: _ }) => Ok(Hello { engine }),
            Some(FromWorker::Hello { .. }) => Err(Violation::Protocol),
            Some(_) => Err(Violation::Order),
            None => Err(FrameError::Truncated.into()),
        }
    }

    /// Kills the process and says how it ended, in words fit for an operator's log.
    pub(crate) fn autopsy(&mut self) -> (Option<ProcessEnd>, String) {
        self.killer().kill();
        let end = self.process.wait().ok();
        (end, self.process.stderr_text())
    }

    /// Runs one attempt to its end.
    pub(crate) fn run(&mut self, ready: &Ready, progress: &dyn Progress) -> Outcome {
        match self.send_run(ready) {
            Ok(()) => {}
            Err(FrameError::TooLong(_)) => {
                let reason = "ResourceInitializationError: arguments and environment are too long";
                return Outcome::Ended(Ending::CouldNotStart { reason: reason.to_owned() });
            }
            Err(error) => {
                tracing::info!(worker = self.process.id(), error = %error, "an idle worker was gone");
                return Outcome::NotSent;
            }
        }
        match self.follow(progress) {
            Ok(Some((ending, true))) => Outcome::Ended(ending),
            Ok(Some((ending, false))) => Outcome::Lost(ending, "it could not be cleaned".to_owned()),
            Ok(None) => {
                let (ending, stderr) = self.crashed();
                Outcome::Lost(ending, stderr)
            }
            Err(violation) => {
                let reason = format!("WorkerCrashed: {}", matchable(&violation.to_string()));
                let (_, stderr) = self.autopsy();
                let ending = Ending::Failed { exit_code: 137, reason };
                Outcome::Lost(ending, format!("{violation}: {stderr}"))
            }
        }
    }

    fn send_run(&mut self, ready: &Ready) -> Result<(), FrameError> {
        let known = self.loaded.iter().position(|digest| *digest == ready.digest);
        let forget = match known {
            None if self.loaded.len() >= LOADED_PROGRAMS => Some(self.loaded[0]),
            _ => None,
        };
        let spec = &ready.spec;
        let request = ToWorker::Run(Run {
            program: *ready.digest.as_bytes(),
            kind: ready.compiled.kind,
            attached: known.is_none(),
            forget: forget.map(|digest| *digest.as_bytes()),
            arguments: spec.arguments.iter().map(String::as_str).collect(),
            environment: spec.environment.iter().map(|(key, value)| (&**key, &**value)).collect(),
            memory_limit_bytes: spec.memory_limit_bytes,
            fuel: spec.fuel,
            read_only_root: spec.read_only_root,
            folders: guest_folders(spec),
        });
        self.buffer.clear();
        encode(&request, MAX_TO_WORKER, &mut self.buffer)?;
        let program = known.is_none().then(|| ready.compiled.file.as_fd());
        let descriptors: Vec<BorrowedFd<'_>> = program.into_iter().collect();
        socket::send(self.socket.as_fd(), &self.buffer, &descriptors).map_err(FrameError::Io)?;
        self.note_loaded(known, forget, ready.digest);
        Ok(())
    }

    /// Keeps the same list as the worker does.
    fn note_loaded(&mut self, known: Option<usize>, forget: Option<Digest>, digest: Digest) {
        if let Some(position) = known {
            self.loaded.remove(position);
        }
        if let Some(forgotten) = forget {
            self.loaded.retain(|digest| *digest != forgotten);
        }
        self.loaded.push(digest);
    }

    /// Reads what the worker says of the attempt; `None` when it went away.
    fn follow(&mut self, progress: &dyn Progress) -> Result<Option<(Ending, bool)>, Violation> {
        let mut deadline = Some(Instant::now() + START_LIMIT);
        let (ending, reusable) = loop {
            let Some(frame) = self.next_frame(deadline)? else { return Ok(None) };
            let started = deadline.is_none();
            match frame {
                FromWorker::Started if !started => {
                    deadline = None;
                    progress.started();
                }
                FromWorker::Output { stream, bytes } if started => {
                    if bytes.0.is_empty() || bytes.0.len() > MAX_OUTPUT {
                        return Err(Violation::Order);
                    }
                    progress.output(stream, bytes.0);
                }
                FromWorker::Ended { ending, reusable, usage: _ } => {
                    break (believe(&ending, started).ok_or(Violation::Order)?, reusable);
                }
                FromWorker::Hello { .. }
                | FromWorker::Compiled { .. }
                | FromWorker::CompileFailed { .. }
                | FromWorker::Started
                | FromWorker::Output { .. } => return Err(Violation::Order),
            }
        };
        if matches!(ending, Ending::CouldNotStart { .. }) {
            // The worker keeps no program that it couldn't start.
            self.loaded.pop();
        }
        Ok(Some((ending, reusable)))
    }

    fn crashed(&mut self) -> (Ending, String) {
        let (end, stderr) = self.autopsy();
        let (exit_code, how) = match end {
            Some(ProcessEnd::Signalled(signal)) => {
                (u8::try_from(128 + signal).unwrap_or(255), format!("signal {signal}"))
            }
            Some(ProcessEnd::Exited(code)) => (u8::try_from(code).unwrap_or(255).max(1), format!("exit code {code}")),
            None => (255, "unknown".to_owned()),
        };
        (Ending::Failed { exit_code, reason: format!("WorkerCrashed: {how}") }, stderr)
    }

    /// Has a module compiled into `output`, in a worker that does nothing else before or after.
    pub(crate) fn compile(
        &mut self,
        module: BorrowedFd<'_>,
        output: BorrowedFd<'_>,
        limit: Duration,
    ) -> CompileOutcome {
        let deadline = Instant::now() + limit;
        self.buffer.clear();
        let sent = encode(&ToWorker::Compile, MAX_TO_WORKER, &mut self.buffer).and_then(|()| {
            let tick = TICK.min(limit).max(Duration::from_millis(1));
            socket::set_receive_timeout(&self.socket, tick).map_err(FrameError::Io)?;
            socket::send(self.socket.as_fd(), &self.buffer, &[module, output]).map_err(FrameError::Io)
        });
        let answer = match sent {
            Ok(()) => self.next_frame(Some(deadline)),
            Err(error) => Err(error.into()),
        };
        let outcome = match answer {
            Ok(Some(FromWorker::Compiled { kind })) => CompileOutcome::Compiled(kind),
            Ok(Some(FromWorker::CompileFailed { reason })) => CompileOutcome::Rejected(readable(reason)),
            Ok(Some(_)) => CompileOutcome::Died(Violation::Order.to_string()),
            Ok(None) => CompileOutcome::Died(String::new()),
            Err(Violation::Late) => CompileOutcome::TimedOut,
            Err(violation) => CompileOutcome::Died(violation.to_string()),
        };
        // Whatever it said, it must not write to the output any more.
        let (end, stderr) = self.autopsy();
        match outcome {
            CompileOutcome::Died(how) => {
                tracing::warn!(worker = self.process.id(), ?end, how, stderr, "a compiler crashed");
                let how = match end {
                    Some(ProcessEnd::Signalled(signal)) if how.is_empty() => format!("signal {signal}"),
                    Some(ProcessEnd::Exited(code)) if how.is_empty() => format!("exit code {code}"),
                    _ => how,
                };
                CompileOutcome::Died(how)
            }
            other => other,
        }
    }

    /// The next frame, `None` at the end. With a deadline, [`Violation::Late`] some seconds after it.
    fn next_frame(&mut self, deadline: Option<Instant>) -> Result<Option<FromWorker<'_>>, Violation> {
        let socket = self.socket.as_fd();
        let content = self.reader.next(|buffer| {
            loop {
                match socket::receive_bytes(socket, buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                            return Err(io::ErrorKind::TimedOut.into());
                        }
                    }
                    // A worker that is killed with bytes unread resets the connection.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
                    received => return received,
                }
            }
        });
        match content {
            Ok(Some(content)) => Ok(Some(decode(content)?)),
            // A worker that is killed in the midst of a frame went away like any other.
            Ok(None) | Err(FrameError::Truncated) => Ok(None),
            Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => Err(Violation::Late),
            Err(error) => Err(error.into()),
        }
    }
}

/// The ending in the core's words, if a worker may say so now.
fn believe(ending: &WorkerEnding<'_>, started: bool) -> Option<Ending> {
    match *ending {
        WorkerEnding::CouldNotStart { reason } if !started => Some(Ending::CouldNotStart { reason: matchable(reason) }),
        WorkerEnding::Exited { exit_code, reason } if started => {
            Some(Ending::Exited { exit_code, reason: reason.map(matchable) })
        }
        WorkerEnding::Failed { exit_code, reason } if started => {
            Some(Ending::Failed { exit_code, reason: matchable(reason) })
        }
        WorkerEnding::CouldNotStart { .. } | WorkerEnding::Exited { .. } | WorkerEnding::Failed { .. } => None,
    }
}

/// The folders as the worker counts them: those of the host by their place among the descriptors
/// that it was begun with.
fn guest_folders(spec: &AttemptSpec) -> Vec<Folder<'_>> {
    let mut given = 0;
    let folder = |mount: &'_ crate::spec::Mount| {
        let source = match mount.source {
            MountSource::Host(_) => {
                given += 1;
                FolderSource::Given(given - 1)
            }
            MountSource::Empty => FolderSource::Empty,
        };
        let trimmed = mount.container_path.trim_end_matches('/');
        let path = if trimmed.is_empty() { "/" } else { trimmed };
        (path.len(), mount.read_only, source)
    };
    let described: Vec<_> = spec.mounts.iter().map(folder).collect();
    let folders = spec.mounts.iter().zip(described).map(|(mount, (length, read_only, source))| Folder {
        path: if length == 1 { "/" } else { &mount.container_path[..length] },
        read_only,
        source,
    });
    folders.collect()
}
