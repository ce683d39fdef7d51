//! The walls around a worker process and the system calls that make them: the house's `unsafe`.
//!
//! Spawning, killing and reaping workers, passing descriptors, opening only what lies beneath an
//! allowed folder, scratch folders that empty whatever a guest left. One mechanism a file: what holds
//! from a process's birth (namespaces, cgroup) is applied by [`spawn`], what it gives up itself (root,
//! user, capabilities, resource limits, landlock, system calls) by [`enclose`](mod@enclose).
//!
//! The crate deliberately knows nothing of jobs, frames or WebAssembly, and none of our crates.
//!
//! Invariants: a worker dies with the thread that spawned it; it inherits the descriptors named for
//! it and no other, and no environment; no path of a user is resolved outside an allowed folder; no
//! symbolic link that a guest left is ever followed.

pub mod beneath;
pub mod cgroup;
pub mod counters;
pub mod disk;
pub mod enclose;
pub mod grant;
pub mod inherited;
pub mod mounts;
pub mod namespace;
pub mod privilege;
pub mod scratch;
pub mod seccomp;
pub mod socket;
pub mod spawn;
pub mod unpacker;

mod clock;
mod clone;
mod landlock;
mod root;
mod stderr;
mod subordinate;

pub use beneath::{AllowedFolders, OpenError};
pub use cgroup::{Cgroup, CgroupRoot, Controller};
pub use disk::Disk;
pub use enclose::{Enclosed, Enclosure, enclose};
pub use namespace::{IdMap, NamespaceKind, Namespaces, UserMap};
pub use scratch::{Scratch, ScratchRoot};
pub use spawn::{Killer, ProcessEnd, Spawner, WorkerCommand, WorkerProcess};
