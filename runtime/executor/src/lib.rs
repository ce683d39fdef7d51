//! How attempts are run: the [`Executor`] trait, what goes in ([`AttemptSpec`]), what comes out
//! ([`AttemptSink`]), and the implementation that runs them in worker processes ([`WorkerPool`]).
//!
//! The crate deliberately knows no wasmtime: modules are validated, compiled and run in workers
//! only, and whatever a worker says is hostile input. It knows no jobs, queues or retries either.
//!
//! Invariants: every accepted [`AttemptSpec`] ends in exactly one `Ended`, preceded by at most one
//! `Started`, with all output between them and the end; a worker runs one attempt at a time and
//! never two trust domains; a compiled module is used only if its checksum is the one this crate
//! wrote; every queue, frame and cache is bounded.

mod cache;

mod compile;
mod flight;
pub mod frame;
mod host;
mod options;
mod pool;
mod program;
mod quarantine;
mod queue;
mod reason;
mod slot;
mod spec;
mod worker;

pub use options::{InvalidOptions, Options};
pub use pool::{StartError, WorkerPool};
pub use program::refusal;
pub use reason::{OUT_OF_MEMORY, cpu_time_exceeded, matchable};
pub use spec::{
    Adopted, AttemptSink, AttemptSpec, ContainerSettings, Device, EngineProfile, Executor, ImageError, ImageInfo,
    Images, ModuleKind, Mount, MountSource, NetworkAccess, OutputStream, PrepareError, Prepared, Program, Quarantined,
    ScratchLimits, Survivor, Tmpfs, Ulimit, Wall,
};
