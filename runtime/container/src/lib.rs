//! OCI images: where they come from, how they lie on disk, and how a container runtime runs them.
//!
//! An attempt of an image has a folder (`containers/<name>` of the data folder) and a shim, a process
//! of this binary that outlives the node: it mounts the image's layers, has the runtime begin the
//! container, keeps its pipes and exit code and cleans up behind it. [`Containers`] is the executor
//! that begins shims, follows them, and finds them again after a restart.
//!
//! The crate deliberately knows no jobs, queues or retries, and no wasmtime: what turns out to be a
//! module goes to the executor behind it.
//!
//! Invariants: every container's end is told exactly once, by whichever node is there; nothing of a
//! container that has ended stays behind; no text of an image or a registry becomes a path of the
//! host; no container's user is a user of the host, unless the node's owner allows it.

pub mod cdi;
pub mod image;
pub mod init;
pub mod oci;

mod attempt;
mod clock;
mod executor;
mod folder;
mod leases;
mod runtime;
mod shim;
mod spool;
mod unpack;

pub use executor::{CONTAINER_UID_BASE, Containers, Options, StartError};
pub use runtime::{RuntimeInfo, find_runtime};
pub use shim::{map_users_main, shim_main};
pub use unpack::unpack_main;
