//! The worker's side: what runs guests. The only crate with wasmtime.
//!
//! [`worker_main`] is the whole life of a worker process: it compiles a module for the pool, or runs
//! one attempt after the other. [`run_foreground`] runs one program with this process's own streams.
//!
//! The crate deliberately knows no jobs and opens no path on a pool's behalf: programs and folders
//! come as descriptors.
//!
//! Invariants: a guest reaches only its streams, clocks, random numbers, the folders it was given and
//! the network if it was granted; nothing of an attempt is left for the next; what needs the host's
//! files is made before the jail closes, and no thread and no byte of a job's is there before; compiled
//! code is loaded only from where the pool's own cache put it; linkers are built once for an engine,
//! never for an attempt.

mod cache;
mod channel;
mod compile;
mod deterministic;
mod drive;
mod enclosure;
mod ending;
mod engine;
pub mod floor;
mod foreground;
mod limits;
mod link;
mod network;
mod run;
mod usage;
mod wasi;
mod worker;

pub use foreground::{Foreground, ForegroundEnd, ForegroundFolder, run_foreground};
pub use worker::{NativeGuest, worker_main, worker_main_with};
