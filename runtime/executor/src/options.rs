//! How a [`WorkerPool`](crate::WorkerPool) is set up.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a [`WorkerPool`](crate::WorkerPool); [`Options::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to execute as a worker: our own binary and the hidden subcommand.
    pub worker_command: Vec<OsString>,
    /// The node's data folder: modules are read from `modules/`, compiled ones kept in
    /// `compiled/`, scratch folders live in `scratch/`.
    pub data_dir: PathBuf,
    /// Folders at or below which mount sources and program files may lie. Resolved once, at start.
    pub allowed_mounts: Vec<PathBuf>,
    /// Idle workers kept alive for good, 0 to `max_workers`; more of them end after two seconds.
    pub warm_workers: usize,
    /// Attempts running at once, 1 to 4,096; each has a process and a thread.
    pub max_workers: usize,
    /// Attempts that may wait for a worker or a compilation; one more could not start.
    pub queue_capacity: usize,
    /// Compilations at once, 1 to 16.
    pub compile_workers: usize,
    /// A compilation that takes longer is killed and its module refused.
    pub compile_timeout: Duration,
    /// A compilation that takes more memory is killed and its module refused; at least 64 MiB.
    pub compile_memory_bytes: u64,
    /// Attempts after which a worker is replaced, from 1.
    pub attempts_per_worker: u32,
    /// First of the user and group numbers that workers get, where this process may give them. As many
    /// as there are workers and compilers at once must belong to nobody else on this host.
    pub worker_uid_base: u32,
}

/// Memory for one compilation: the largest program seen, 56 MiB of WebAssembly, took 6.8 GB.
const COMPILE_MEMORY_BYTES: u64 = 8 << 30;
/// Less is not enough for a compiler to begin.
const LEAST_COMPILE_MEMORY_BYTES: u64 = 64 << 20;
/// Attempts of one worker: the cost of a fresh one is then a ten thousandth of each.
const ATTEMPTS_PER_WORKER: u32 = 10_000;
/// Beyond the users of people, of services (up to 65,534) and of systemd's and container engines'
/// ranges (up to 1,879,048,191, see systemd's UIDS-GIDS document).
const WORKER_UID_BASE: u32 = 1_900_000_000;

impl Options {
    /// The defaults: as many warm workers as there are CPUs, four times as many at most, one
    /// compilation at a time for at most ten minutes and with at most 8 GiB.
    pub fn new(worker_command: Vec<OsString>, data_dir: PathBuf) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            worker_command,
            data_dir,
            allowed_mounts: Vec::new(),
            warm_workers: cpus,
            max_workers: cpus.saturating_mul(4).max(4),
            queue_capacity: 65_536,
            compile_workers: 1,
            compile_timeout: Duration::from_secs(600),
            compile_memory_bytes: COMPILE_MEMORY_BYTES,
            attempts_per_worker: ATTEMPTS_PER_WORKER,
            worker_uid_base: WORKER_UID_BASE,
        }
    }

    pub(crate) fn check(&self) -> Result<(), InvalidOptions> {
        let within = |value: usize, low: usize, high: usize| (low..=high).contains(&value);
        if self.worker_command.is_empty() {
            return Err(InvalidOptions::WorkerCommand);
        }
        if !within(self.max_workers, 1, 4096) || self.warm_workers > self.max_workers {
            return Err(InvalidOptions::Workers);
        }
        if !within(self.compile_workers, 1, 16) {
            return Err(InvalidOptions::CompileWorkers);
        }
        if self.compile_memory_bytes < LEAST_COMPILE_MEMORY_BYTES {
            return Err(InvalidOptions::CompileMemory);
        }
        if self.attempts_per_worker == 0 {
            return Err(InvalidOptions::AttemptsPerWorker);
        }
        // Root is nobody's worker, and the last numbers mean nobody at all.
        if self.worker_uid_base == 0 || self.worker_uid_base > u32::MAX - 65_536 {
            return Err(InvalidOptions::WorkerUidBase);
        }
        Ok(())
    }
}

/// A setting is out of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    /// It is empty.
    #[error("the worker command is empty")]
    WorkerCommand,
    /// See [`Options::max_workers`] and [`Options::warm_workers`].
    #[error("workers must be 1 to 4096, and no more of them warm")]
    Workers,
    /// See [`Options::compile_workers`].
    #[error("compilations at once must be 1 to 16")]
    CompileWorkers,
    /// See [`Options::compile_memory_bytes`].
    #[error("a compilation must have at least 64 MiB")]
    CompileMemory,
    /// See [`Options::attempts_per_worker`].
    #[error("a worker must have at least one attempt")]
    AttemptsPerWorker,
    /// See [`Options::worker_uid_base`].
    #[error("the first user number of workers must be from 1 to 4294901759")]
    WorkerUidBase,
}
