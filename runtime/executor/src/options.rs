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
    /// Idle workers kept alive, 0 to `max_workers`.
    pub warm_workers: usize,
    /// Attempts running at once, 1 to 4,096; each has a process and a thread.
    pub max_workers: usize,
    /// Attempts that may wait for a worker or a compilation; one more could not start.
    pub queue_capacity: usize,
    /// Compilations at once, 1 to 16.
    pub compile_workers: usize,
    /// A compilation that takes longer is killed and its module refused.
    pub compile_timeout: Duration,
}

impl Options {
    /// The defaults: as many warm workers as there are CPUs, four times as many at most, one
    /// compilation at a time for at most ten minutes.
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
}
