//! Worker processes: who runs what, and the one `Ended` of every attempt.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;

use wasmbatch_core::{AttemptEvent, AttemptId, Digest, Ending, Report, Usage};
use wasmbatch_jail::{AllowedFolders, Killer};

use crate::cache::{Compiled, CompiledCache, ProgramKey};
use crate::compile;
use crate::flight::{Flights, Source, Waiter};
use crate::host::Host;
use crate::options::{InvalidOptions, Options};
use crate::program::Programs;
use crate::quarantine::Quarantine;
use crate::queue::Queue;
use crate::slot::{Slots, join};
use crate::spec::{
    AttemptSink, AttemptSpec, EngineProfile, Executor, PrepareError, Prepared, Program, Quarantined, Wall,
};
use crate::worker::{Hello, OVERHEAD_BYTES, Ready, Violation, Worker, WorkerKind};

/// Why a pool can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is out of its bounds.
    #[error("the executor's settings are not usable")]
    Options(#[source] InvalidOptions),
    /// An allowed folder is no folder, or can't be opened.
    #[error("the allowed folder {path} cannot be opened")]
    AllowedFolder {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The data folder can't be used.
    #[error("the folder {path} cannot be used")]
    DataFolder {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No thread or no worker process can be begun.
    #[error("no worker can be begun")]
    Worker(#[source] io::Error),
    /// The first worker says nothing that can be understood.
    #[error("the first worker failed: {reason}")]
    Hello {
        /// What is wrong, and what it wrote on its stderr.
        reason: String,
    },
}

/// Runs attempts in worker processes of this machine. Dropping it shuts it down.
#[derive(Debug)]
pub struct WorkerPool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What all threads of a pool share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) sink: Arc<dyn AttemptSink>,
    pub(crate) allowed: AllowedFolders,
    pub(crate) host: Host,
    pub(crate) programs: Programs,
    engines: Engines,
    pub(crate) quarantine: Quarantine,
    walls: Vec<Wall>,
    pub(crate) flights: Flights,
    /// Attempts whose program isn't found yet.
    pub(crate) unresolved: Queue<Box<AttemptSpec>>,
    pub(crate) slots: Slots,
    attempts: Mutex<Attempts>,
}

/// Every attempt between its start and its end. Whoever takes one out reports its end.
#[derive(Debug, Default)]
struct Attempts {
    known: HashMap<AttemptId, Phase>,
    closing: bool,
}

#[derive(Debug)]
enum Phase {
    /// For its program, a compilation or a worker.
    Waiting,
    Running(Killer),
    /// Its worker is killed, its end not yet seen.
    Stopping,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

impl WorkerPool {
    /// Starts the pool and its first worker, which tells which engine compiled programs are for.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(options: Options, sink: Arc<dyn AttemptSink>) -> Result<Self, StartError> {
        options.check().map_err(StartError::Options)?;
        let allowed = AllowedFolders::open(&options.allowed_mounts)
            .map_err(|(path, source)| StartError::AllowedFolder { path, source })?;
        let folder = |name: &str| options.data_dir.join(name);
        let unusable = |path: PathBuf| move |source| StartError::DataFolder { path, source };
        let host = Host::new(options.worker_command.clone(), folder("scratch"), options.worker_uid_base)
            .map_err(unusable(folder("scratch")))?;
        let begun = Worker::begin(&host, &WorkerKind::plain(), OVERHEAD_BYTES, Vec::new());
        let mut first = begun.map_err(|error| StartError::Worker(io::Error::other(error)))?;
        let hello = first.hello(&host, OVERHEAD_BYTES).map_err(|violation| not_a_worker(&mut first, &violation))?;
        let walls = host.walls(&hello.walls);
        let engines = Engines::new(folder("compiled"));
        engines.know(EngineProfile::Plain, hello).map_err(unusable(folder("compiled")))?;
        let quarantine = Quarantine::open(&folder("quarantine")).map_err(unusable(folder("quarantine")))?;
        let shared = Arc::new(Shared {
            sink,
            allowed,
            host,
            programs: Programs::new(&options.data_dir),
            engines,
            quarantine,
            walls,
            flights: Flights::new(options.queue_capacity),
            unresolved: Queue::new(options.queue_capacity),
            slots: Slots::new(),
            attempts: Mutex::default(),
            options,
        });
        let pool = Self { shared, threads: Mutex::default() };
        pool.start_threads().map_err(StartError::Worker)?;
        if pool.shared.options.warm_workers > 0 {
            pool.shared.add_warm(first);
        }
        Ok(pool)
    }

    fn start_threads(&self) -> io::Result<()> {
        let mut threads = self.threads.lock().expect("no holder of this lock panics");
        let mut start = |name: &str, work: fn(&Arc<Shared>)| {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&shared))?;
            threads.push(thread);
            Ok::<(), io::Error>(())
        };
        start("programs", compile::find_programs)?;
        for _ in 0..self.shared.options.compile_workers {
            start("compile", compile::compile_modules)?;
        }
        Ok(())
    }
}

/// What each engine profile's workers said of themselves, and the cache of what is compiled for it.
#[derive(Debug)]
struct Engines {
    folder: PathBuf,
    known: [OnceLock<KnownEngine>; EngineProfile::ALL.len()],
}

/// An engine that a worker has told of.
#[derive(Debug)]
pub(crate) struct KnownEngine {
    pub(crate) hello: Hello,
    pub(crate) cache: CompiledCache,
}

impl Engines {
    fn new(folder: PathBuf) -> Self {
        Self { folder, known: [const { OnceLock::new() }; EngineProfile::ALL.len()] }
    }

    fn slot(&self, profile: EngineProfile) -> &OnceLock<KnownEngine> {
        match profile {
            EngineProfile::Plain => &self.known[0],
            EngineProfile::Fuel => &self.known[1],
            EngineProfile::Deterministic => &self.known[2],
        }
    }

    fn know(&self, profile: EngineProfile, hello: Hello) -> io::Result<&KnownEngine> {
        let slot = self.slot(profile);
        if slot.get().is_none() {
            let cache = CompiledCache::open(&self.folder, hello.engine)?;
            // Whoever was first has opened the same cache.
            let _ = slot.set(KnownEngine { hello, cache });
        }
        Ok(slot.get().expect("it was set above"))
    }
}

fn not_a_worker(worker: &mut Worker, violation: &Violation) -> StartError {
    let (end, stderr) = worker.autopsy();
    StartError::Hello { reason: format!("{violation}; it ended as {end:?}: {stderr}") }
}

impl Executor for WorkerPool {
    fn start(&self, spec: AttemptSpec) {
        let shared = &self.shared;
        if !shared.accept(spec.attempt) {
            return;
        }
        if let Program::Stored { digest } = spec.program
            && let Some(compiled) = shared.held_open(ProgramKey { digest, profile: spec.profile() })
        {
            shared.dispatch(Ready { spec, digest, compiled });
        } else {
            shared.find_later(Box::new(spec));
        }
    }

    fn stop(&self, attempt: AttemptId) {
        let shared = &self.shared;
        if shared.stop_if_running(attempt) {
            return;
        }
        // It waits somewhere, or not at all. Taking it out of wherever it is first would race with
        // its way from one place to the next; every place asks whether it is still wanted.
        shared.finish_waiting(attempt, Ending::Stopped);
        shared.unresolved.remove(|spec| spec.attempt == attempt);
        shared.flights.leave(attempt);
        shared.slots.forget(attempt);
    }

    fn prepare(&self, digest: Digest) -> Result<Prepared, PrepareError> {
        let shared = &self.shared;
        let program = ProgramKey { digest, profile: EngineProfile::Plain };
        let present = || {
            let compiled = shared.find(program)?;
            Some(Prepared { kind: compiled.kind, compiled_bytes: compiled.bytes, compile_duration: None })
        };
        if let Some(prepared) = present() {
            return Ok(prepared);
        }
        let (answer, answered) = sync_channel(1);
        let done = || shared.held_open(program).is_some();
        match shared.flights.join(program, Waiter::Caller(answer), Source::Stored, done) {
            Ok(()) => answered.recv().unwrap_or(Err(PrepareError::ShuttingDown)),
            Err(_) => present().ok_or_else(|| match shared.is_closing() {
                true => PrepareError::ShuttingDown,
                false => PrepareError::Unavailable { reason: "too many modules wait for compilation".to_owned() },
            }),
        }
    }

    fn walls(&self) -> Vec<Wall> {
        self.shared.walls.clone()
    }

    fn quarantined(&self) -> Vec<Quarantined> {
        self.shared.quarantine.list()
    }

    fn release(&self, digest: Digest) -> io::Result<bool> {
        self.shared.quarantine.release(&digest)
    }

    fn shutdown(&self) {
        let shared = &self.shared;
        let (waiting, running) = shared.close();
        shared.unresolved.close();
        for waiter in shared.flights.close() {
            if let Waiter::Caller(caller) = waiter {
                // A caller that gave up waiting misses nothing.
                drop(caller.send(Err(PrepareError::ShuttingDown)));
            }
        }
        for attempt in waiting {
            shared.report(attempt, AttemptEvent::ended(Ending::Lost));
        }
        for killer in running {
            killer.kill();
        }
        for thread in self.threads.lock().expect("no holder of this lock panics").drain(..) {
            join(thread);
        }
        shared.slots.close();
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Shared {
    /// What is known of a profile's engine; asks a worker where nothing is yet.
    pub(crate) fn engine(&self, profile: EngineProfile) -> Result<&KnownEngine, String> {
        if let Some(known) = self.engines.slot(profile).get() {
            return Ok(known);
        }
        let kind = WorkerKind::compiler(profile);
        let memory = self.options.compile_memory_bytes;
        let mut worker = Worker::begin(&self.host, &kind, memory, Vec::new()).map_err(|error| error.to_string())?;
        let hello = worker.hello(&self.host, memory).map_err(|error| error.to_string())?;
        self.engines.know(profile, hello).map_err(|error| error.to_string())
    }

    /// The program if it is held open: no I/O.
    pub(crate) fn held_open(&self, program: ProgramKey) -> Option<Arc<Compiled>> {
        self.engines.slot(program.profile).get()?.cache.held_open(&program.digest)
    }

    /// The program if it is there, checked against its checksum.
    pub(crate) fn find(&self, program: ProgramKey) -> Option<Arc<Compiled>> {
        self.engine(program.profile).ok()?.cache.find(&program.digest)
    }

    /// The folder for what isn't any engine's yet.
    pub(crate) fn plain_cache(&self) -> &CompiledCache {
        &self.engines.slot(EngineProfile::Plain).get().expect("the first worker told of it").cache
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn report(&self, attempt: AttemptId, event: AttemptEvent) {
        self.sink.report(Report { attempt, event });
    }

    /// Takes an attempt in, unless it is in already.
    fn accept(&self, attempt: AttemptId) -> bool {
        let mut attempts = self.attempts();
        if attempts.closing {
            drop(attempts);
            self.report(attempt, AttemptEvent::ended(Ending::Lost));
            return false;
        }
        if attempts.known.contains_key(&attempt) {
            tracing::warn!(%attempt, "an attempt was started twice");
            return false;
        }
        attempts.known.insert(attempt, Phase::Waiting);
        true
    }

    pub(crate) fn find_later(&self, spec: Box<AttemptSpec>) {
        if let Err(spec) = self.unresolved.push(spec) {
            self.queue_full(spec.attempt);
        }
    }

    pub(crate) fn queue_full(&self, attempt: AttemptId) {
        let reason = "ResourceInitializationError: too many attempts wait on this node".to_owned();
        self.finish(attempt, Ending::CouldNotStart { reason }, None);
    }

    /// Whether nobody ended the attempt yet.
    pub(crate) fn is_wanted(&self, attempt: AttemptId) -> bool {
        self.attempts().known.contains_key(&attempt)
    }

    fn is_closing(&self) -> bool {
        self.attempts().closing
    }

    /// The attempt is about to be handed to a worker; `false` when it ended meanwhile.
    pub(crate) fn begin_running(&self, attempt: AttemptId, killer: Killer) -> bool {
        match self.attempts().known.get_mut(&attempt) {
            Some(phase @ (Phase::Waiting | Phase::Running(_))) => {
                *phase = Phase::Running(killer);
                true
            }
            Some(Phase::Stopping) | None => false,
        }
    }

    /// Whether the attempt runs and nobody asked for its end.
    pub(crate) fn is_running(&self, attempt: AttemptId) -> bool {
        matches!(self.attempts().known.get(&attempt), Some(Phase::Running(_)))
    }

    /// Kills the worker of a running attempt, under the lock: once an attempt is out, its worker may
    /// run another, which must not be hit.
    fn stop_if_running(&self, attempt: AttemptId) -> bool {
        match self.attempts().known.get_mut(&attempt) {
            Some(phase @ Phase::Running(_)) => {
                if let Phase::Running(killer) = std::mem::replace(phase, Phase::Stopping) {
                    killer.kill();
                }
                true
            }
            Some(Phase::Stopping) => true,
            Some(Phase::Waiting) | None => false,
        }
    }

    /// Ends an attempt that has no worker. What began to run meanwhile is stopped that way.
    fn finish_waiting(&self, attempt: AttemptId, ending: Ending) {
        let mut attempts = self.attempts();
        match attempts.known.get(&attempt) {
            Some(Phase::Waiting) => {
                attempts.known.remove(&attempt);
                drop(attempts);
                self.report(attempt, AttemptEvent::ended(ending));
            }
            Some(Phase::Running(_) | Phase::Stopping) => {
                drop(attempts);
                self.stop_if_running(attempt);
            }
            None => {}
        }
    }

    /// Ends an attempt, as stopped if that was asked for first. Says whether its worker may go on.
    pub(crate) fn finish(&self, attempt: AttemptId, ending: Ending, usage: Option<Usage>) -> Reuse {
        let mut attempts = self.attempts();
        let closing = attempts.closing;
        let phase = attempts.known.remove(&attempt);
        drop(attempts);
        let (ending, reuse) = match phase {
            None => return Reuse::No,
            Some(Phase::Stopping) if closing => (Ending::Lost, Reuse::No),
            Some(Phase::Stopping) => (Ending::Stopped, Reuse::No),
            Some(Phase::Waiting | Phase::Running(_)) => (ending, Reuse::Yes),
        };
        self.report(attempt, AttemptEvent::Ended { ending, usage });
        reuse
    }

    /// Nothing is taken in from now on: attempts that wait, taken out, and killers of the others.
    fn close(&self) -> (Vec<AttemptId>, Vec<Killer>) {
        let mut attempts = self.attempts();
        attempts.closing = true;
        let mut running = Vec::new();
        for phase in attempts.known.values_mut() {
            if let Phase::Running(killer) = phase {
                running.push(killer.clone());
                *phase = Phase::Stopping;
            }
        }
        let waiting = attempts.known.extract_if(|_, phase| matches!(phase, Phase::Waiting)).map(|(attempt, _)| attempt);
        (waiting.collect(), running)
    }
}

/// Whether a worker may run another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    Yes,
    No,
}
