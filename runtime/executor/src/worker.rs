//! One worker process, seen from the pool.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmbatch_core::{Digest, Ending, Usage};
use wasmbatch_jail::privilege::EXIT_ABORTED;
use wasmbatch_jail::{Cgroup, Killer, ProcessEnd, Scratch, WorkerProcess, socket};

use crate::cache::Compiled;
use crate::frame::{
    Begin, BornInto, Folder, FolderSource, FrameError, FrameReader, FromWorker, GuestUsage, LOADED_PROGRAMS,
    MAX_FROM_WORKER, MAX_OUTPUT, MAX_TO_WORKER, PROTOCOL, Purpose, Run, ScratchSource, ToWorker, WallReport,
    WorkerEnding, decode, encode,
};
use crate::host::{BeginError, Begun, Host, HostFolder, Identity, ScratchFolder};
use crate::reason::{OUT_OF_MEMORY, cpu_time_exceeded, matchable, readable};
use crate::spec::{AttemptSpec, EngineProfile, ModuleKind, MountSource, NetworkAccess, OutputStream, ScratchLimits};

/// How long a worker may take to say hello, and from being handed a program to its start.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How often a reader that waits looks at the clocks, at least.
const TICK: Duration = Duration::from_secs(5);
/// And at most.
const LEAST_TICK: Duration = Duration::from_millis(20);

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

/// A worker process with its socket and what was put up around it.
#[derive(Debug)]
pub(crate) struct Worker {
    // In this order: the process is killed and reaped before what it used is taken apart.
    process: WorkerProcess,
    cgroup: Option<Cgroup>,
    scratch: Option<ScratchFolder>,
    identity: Option<Identity>,
    socket: OwnedFd,
    reader: FrameReader,
    buffer: Vec<u8>,
    /// Programs it has loaded, the most recently used last, with the bytes of their compiled form.
    loaded: Vec<(Digest, u64)>,
    kind: WorkerKind,
    /// Attempts that it was given.
    attempts: u32,
    /// CPU time of the process at which it is ended.
    cpu_bound: Option<Duration>,
    /// How long a read waits before it looks at the clocks.
    tick: Duration,
    /// It was begun with folders of one attempt.
    spent: bool,
}

/// What a worker said it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) engine: [u8; 16],
    /// The walls it put up, by number.
    pub(crate) walls: Vec<(u8, Result<String, String>)>,
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
    Ended(Ending, Option<Usage>),
    /// The worker is dead or must not be used again.
    Lost(Loss),
    /// The worker was dead before it got the attempt, which may run elsewhere.
    NotSent,
}

/// The end of an attempt and of its worker.
#[derive(Debug)]
pub(crate) struct Loss {
    pub(crate) ending: Ending,
    pub(crate) usage: Usage,
    /// Fit for an operator's log.
    pub(crate) why: String,
    /// Whether it looks as if the program had got the better of its worker, and by what.
    pub(crate) suspicion: Option<String>,
}

/// What a compiler came to.
#[derive(Debug)]
pub(crate) enum CompileOutcome {
    Compiled(ModuleKind),
    /// The module is at fault; fit for people.
    Rejected(String),
    /// It took too long.
    TimedOut,
    /// It took too much memory.
    OutOfMemory,
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
    /// Not of the worker: its attempt has had its CPU time.
    #[error("its CPU time is used up")]
    CpuTime,
}

/// Memory of a worker beyond what its attempts are granted: its own, the engine's, what it holds on a
/// guest's behalf. To it come the compiled programs that it has loaded, twice, since they may be copied.
pub(crate) const OVERHEAD_BYTES: u64 = 64 << 20;

impl Worker {
    /// Begins a worker, bounded by `memory_bytes` until it runs something, and tells it what it is for.
    /// `folders` are the host folders of the only attempt that it will run, if that has any.
    pub(crate) fn begin(
        host: &Host,
        kind: &WorkerKind,
        memory_bytes: u64,
        folders: Vec<HostFolder>,
    ) -> Result<Self, BeginError> {
        let (ours, theirs) = socket::pair()?;
        socket::set_receive_timeout(&ours, TICK)?;
        let Begun { process, cgroup, scratch, identity } = host.begin(kind, theirs)?;
        let spent = !folders.is_empty();
        let folders = host.grant(folders, identity.as_ref().map(Identity::id))?;
        let mut worker = Self {
            process,
            cgroup,
            scratch,
            identity,
            socket: ours,
            reader: FrameReader::new(MAX_FROM_WORKER),
            buffer: Vec::new(),
            loaded: Vec::new(),
            kind: kind.clone(),
            attempts: 0,
            cpu_bound: None,
            tick: TICK,
            spent,
        };
        // By its own bound only once its engine has reserved what it needs.
        if host.bounds_memory() {
            worker.limit_memory(true, memory_bytes)?;
        }
        worker.send_begin(host.born_into(), &folders)?;
        Ok(worker)
    }

    fn send_begin(&mut self, namespaces: BornInto, folders: &[HostFolder]) -> io::Result<()> {
        let (scratch, folder) = match &self.scratch {
            None => (None, None),
            Some(ScratchFolder::Memory(ScratchLimits { bytes, inodes })) => {
                (Some(ScratchSource::Memory { bytes: *bytes, inodes: *inodes }), None)
            }
            Some(ScratchFolder::Disk(disk)) => {
                let path = disk.path().to_str().expect("we named the device");
                (Some(ScratchSource::Device { path }), None)
            }
            Some(ScratchFolder::Folder(folder)) => (Some(ScratchSource::Folder), Some(folder)),
        };
        let request = ToWorker::Begin(Begin {
            purpose: self.kind.purpose,
            profile: self.kind.profile,
            network: self.kind.network,
            scratch,
            identity: self.identity.as_ref().map(Identity::id),
            namespaces,
            read_only_folders: folders.iter().map(|folder| folder.read_only).collect(),
        });
        self.buffer.clear();
        encode(&request, MAX_TO_WORKER, &mut self.buffer).map_err(io::Error::other)?;
        let given = folders.iter().map(|folder| folder.directory.as_fd()).chain(folder.map(Scratch::directory));
        let given: Vec<BorrowedFd<'_>> = given.collect();
        socket::send(self.socket.as_fd(), &self.buffer, &given)
    }

    /// Bounds memory by cgroup, or where there is none by the process's own bound, which doesn't count
    /// what lies in the scratch folder.
    fn limit_memory(&mut self, by_cgroup: bool, bytes: u64) -> io::Result<()> {
        match &mut self.cgroup {
            Some(cgroup) if by_cgroup => cgroup.limit_memory(bytes),
            Some(_) | None => {
                // The engine keeps what earlier guests had mapped, if not what they wrote.
                let own = self.process.data()?;
                match self.process.limit_data(own.saturating_add(bytes)) {
                    // Some containers' root may not bound others. That there is no bound was told at start.
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                    limited => limited,
                }
            }
        }
    }

    pub(crate) fn kind(&self) -> &WorkerKind {
        &self.kind
    }

    /// Whether it may run another attempt after so many.
    pub(crate) fn is_spent(&self, attempts_per_worker: u32) -> bool {
        self.spent || self.attempts >= attempts_per_worker
    }

    pub(crate) fn killer(&self) -> Killer {
        self.process.killer()
    }

    /// Reads the first frame, before anything else is done with the worker. From then on it may take
    /// `memory_bytes` beyond what it has, until it runs something.
    pub(crate) fn hello(&mut self, host: &Host, memory_bytes: u64) -> Result<Hello, Violation> {
        let hello = self.read_hello()?;
        self.limit_memory(host.bounds_memory(), memory_bytes).map_err(FrameError::Io)?;
        Ok(hello)
    }

    fn read_hello(&mut self) -> Result<Hello, Violation> {
        let deadline = Instant::now() + START_LIMIT;
        match self.next_frame(Some(deadline))? {
            Some(FromWorker::Hello { protocol: PROTOCOL, engine, walls }) => {
                let wall = |wall: &WallReport<'_>| {
                    let detail = readable(wall.detail);
                    (wall.wall, if wall.stands { Ok(detail) } else { Err(detail) })
                };
                Ok(Hello { engine, walls: walls.iter().map(wall).collect() })
            }
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
    pub(crate) fn run(&mut self, host: &Host, ready: &Ready, progress: &dyn Progress) -> Outcome {
        self.attempts += 1;
        let begun = self.process.cpu_time().unwrap_or_default();
        if let Err(error) = self.bound(host, ready, begun) {
            tracing::info!(worker = self.process.id(), error = %error, "a worker could not be bounded");
            return Outcome::NotSent;
        }
        match self.send_run(ready) {
            Ok(()) => {}
            Err(FrameError::TooLong(_)) => {
                let reason = "ResourceInitializationError: arguments and environment are too long";
                return Outcome::Ended(Ending::CouldNotStart { reason: reason.to_owned() }, None);
            }
            Err(error) => {
                tracing::info!(worker = self.process.id(), error = %error, "an idle worker was gone");
                return Outcome::NotSent;
            }
        }
        let mut started = false;
        let followed = self.follow(progress, &mut started);
        if !started && !matches!(followed, Ok(Some(_))) {
            // It was given the program and may have run it: what it had to say went with it.
            progress.started();
        }
        let cpu_time = |worker: &Self| worker.process.cpu_time().unwrap_or_default().saturating_sub(begun);
        match followed {
            Ok(Some(Told { ending, reusable, usage })) => {
                let usage = usage_of(cpu_time(self), usage);
                match reusable {
                    true => Outcome::Ended(ending, Some(usage)),
                    false => {
                        let why = "it could not be cleaned".to_owned();
                        Outcome::Lost(Loss { ending, usage, why, suspicion: None })
                    }
                }
            }
            Ok(None) => {
                let Crash { ending, why, suspicion } = self.crashed();
                let usage = self.usage_of_dead(cpu_time(self));
                Outcome::Lost(Loss { ending, usage, why, suspicion })
            }
            Err(Violation::CpuTime) => {
                self.autopsy();
                let reason = cpu_time_exceeded(ready.spec.cpu_limit.unwrap_or_default());
                let (ending, usage) = (Ending::Failed { exit_code: 137, reason }, self.usage_of_dead(cpu_time(self)));
                Outcome::Lost(Loss { ending, usage, why: Violation::CpuTime.to_string(), suspicion: None })
            }
            Err(violation) => {
                let reason = format!("WorkerCrashed: {}", matchable(&violation.to_string()));
                let (_, stderr) = self.autopsy();
                let ending = Ending::Failed { exit_code: 137, reason };
                // A machine may be too busy for anything to come in time.
                let late = matches!(violation, Violation::Late);
                let suspicion = (!late).then(|| format!("it broke the protocol: {violation}"));
                let usage = self.usage_of_dead(cpu_time(self));
                Outcome::Lost(Loss { ending, usage, why: format!("{violation}: {stderr}"), suspicion })
            }
        }
    }

    /// Sets what this attempt may have, where it differs from what the one before it had.
    fn bound(&mut self, host: &Host, ready: &Ready, used: Duration) -> io::Result<()> {
        let Ready { spec, digest, compiled } = ready;
        let others = self.loaded.iter().filter(|(loaded, _)| loaded != digest).map(|(_, bytes)| *bytes);
        let programs = others.chain([compiled.bytes]).fold(0, u64::saturating_add);
        // What lies on a disk is given back by the kernel when memory is short.
        let scratch = match &self.scratch {
            Some(ScratchFolder::Memory(limits)) if host.bounds_memory() => limits.bytes,
            Some(_) | None => 0,
        };
        let memory = spec.memory_limit_bytes.saturating_add(scratch);
        let memory = memory.saturating_add(OVERHEAD_BYTES).saturating_add(programs.saturating_mul(2));
        self.limit_memory(host.bounds_memory(), memory)?;
        if let Some(cgroup) = &mut self.cgroup {
            cgroup.limit_cpu(spec.cpu_thousandths)?;
        }
        self.cpu_bound = spec.cpu_limit.map(|limit| used.saturating_add(limit));
        // A guest has one thread, which uses no more time than passes.
        let tick = spec.cpu_limit.map_or(TICK, |limit| (limit / 8).clamp(LEAST_TICK, TICK));
        if self.tick != tick {
            socket::set_receive_timeout(&self.socket, tick)?;
            self.tick = tick;
        }
        Ok(())
    }

    /// What an attempt used whose worker can't say any more.
    fn usage_of_dead(&self, cpu_time: Duration) -> Usage {
        let peak = self.cgroup.as_ref().and_then(Cgroup::memory_peak).unwrap_or(0);
        usage_of(cpu_time, GuestUsage { peak_memory_bytes: peak, ..GuestUsage::default() })
    }

    fn send_run(&mut self, ready: &Ready) -> Result<(), FrameError> {
        let known = self.loaded.iter().position(|(digest, _)| *digest == ready.digest);
        let forget = match known {
            None if self.loaded.len() >= LOADED_PROGRAMS => Some(self.loaded[0].0),
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
        self.note_loaded(known, forget, (ready.digest, ready.compiled.bytes));
        Ok(())
    }

    /// Keeps the same list as the worker does.
    fn note_loaded(&mut self, known: Option<usize>, forget: Option<Digest>, program: (Digest, u64)) {
        if let Some(position) = known {
            self.loaded.remove(position);
        }
        if let Some(forgotten) = forget {
            self.loaded.retain(|(digest, _)| *digest != forgotten);
        }
        self.loaded.push(program);
    }

    /// Reads what the worker says of the attempt; `None` when it went away.
    fn follow(&mut self, progress: &dyn Progress, started: &mut bool) -> Result<Option<Told>, Violation> {
        let deadline = Instant::now() + START_LIMIT;
        let told = loop {
            let Some(frame) = self.next_frame((!*started).then_some(deadline))? else { return Ok(None) };
            match frame {
                FromWorker::Started if !*started => {
                    *started = true;
                    progress.started();
                }
                FromWorker::Output { stream, bytes } if *started => {
                    if bytes.0.is_empty() || bytes.0.len() > MAX_OUTPUT {
                        return Err(Violation::Order);
                    }
                    progress.output(stream, bytes.0);
                }
                FromWorker::Ended { ending, reusable, usage } => {
                    let ending = believe(&ending, *started).ok_or(Violation::Order)?;
                    break Told { ending, reusable, usage };
                }
                FromWorker::Hello { .. }
                | FromWorker::Compiled { .. }
                | FromWorker::CompileFailed { .. }
                | FromWorker::Started
                | FromWorker::Output { .. } => return Err(Violation::Order),
            }
        };
        if matches!(told.ending, Ending::CouldNotStart { .. }) {
            // The worker keeps no program that it couldn't start.
            self.loaded.pop();
        }
        Ok(Some(told))
    }

    /// How an attempt ended whose worker went away.
    fn crashed(&mut self) -> Crash {
        let (end, stderr) = self.autopsy();
        // Its group is its own and has one process, so that the first such kill is its end.
        let killed = self.cgroup.as_ref().is_some_and(|cgroup| cgroup.memory_kills() > 0);
        let out_of_memory = killed || stderr.contains(ALLOCATION_FAILED);
        let failed = |exit_code: u8, reason: String| Ending::Failed { exit_code, reason };
        let (ending, suspicion) = match end {
            Some(ProcessEnd::Signalled(9) | ProcessEnd::Exited(EXIT_ABORTED)) if out_of_memory => {
                (failed(137, OUT_OF_MEMORY.to_owned()), None)
            }
            Some(ProcessEnd::Signalled(signal)) => {
                let code = u8::try_from(128 + signal).unwrap_or(255);
                (failed(code, format!("WorkerCrashed: signal {signal}")), suspicion_of(signal))
            }
            Some(ProcessEnd::Exited(code)) => {
                (failed(u8::try_from(code).unwrap_or(255).max(1), format!("WorkerCrashed: exit code {code}")), None)
            }
            None => (failed(255, "WorkerCrashed: unknown".to_owned()), None),
        };
        Crash { ending, why: stderr, suspicion }
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
            let tick = (limit / 8).clamp(Duration::from_millis(1), TICK);
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
        let killed = self.cgroup.as_ref().is_some_and(|cgroup| cgroup.memory_kills() > 0);
        match outcome {
            CompileOutcome::Died(_) if killed || stderr.contains(ALLOCATION_FAILED) => CompileOutcome::OutOfMemory,
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
        let (socket, process, cpu_bound) = (self.socket.as_fd(), &self.process, self.cpu_bound);
        let has_cpu_time = || cpu_bound.is_none_or(|bound| process.cpu_time().is_none_or(|used| used < bound));
        let content = self.reader.next(|buffer| {
            loop {
                if !has_cpu_time() {
                    return Err(io::ErrorKind::QuotaExceeded.into());
                }
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
            Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::QuotaExceeded => Err(Violation::CpuTime),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a worker tells at the end of an attempt.
struct Told {
    ending: Ending,
    reusable: bool,
    usage: GuestUsage,
}

struct Crash {
    ending: Ending,
    why: String,
    suspicion: Option<String>,
}

/// The plan's words for it, the same as a guest gets whose memory doesn't grow.
/// What Rust's allocator says before it gives up.
const ALLOCATION_FAILED: &str = "memory allocation of";

/// Signals by which a process ends that does what it should not be able to: a fault outside of guest
/// memory, an instruction that isn't one, a system call that it doesn't keep.
fn suspicion_of(signal: i32) -> Option<String> {
    let what = match signal {
        4 => "an illegal instruction outside of the guest's code (SIGILL)",
        11 => "a fault outside of the guest's memory (SIGSEGV)",
        31 => "a system call that no worker makes (SIGSYS)",
        _ => return None,
    };
    Some(what.to_owned())
}

fn usage_of(cpu_time: Duration, usage: GuestUsage) -> Usage {
    let GuestUsage { peak_memory_bytes, fuel, read_bytes, written_bytes } = usage;
    let cpu_microseconds = u64::try_from(cpu_time.as_micros()).unwrap_or(u64::MAX);
    Usage { cpu_microseconds, peak_memory_bytes, fuel, read_bytes, written_bytes }
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
