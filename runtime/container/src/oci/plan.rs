//! Everything that a container's specification is made from.

use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use wasmbatch_executor::{ContainerSettings, NetworkAccess};

use super::device::HostDevice;
use super::user::ResolvedUser;
use crate::cdi::Edits;
use crate::image::ImageConfig;

/// How many users and how many groups a container has, but for one of an ordinary user's node.
pub const RANGE_SIZE: u32 = 65_536;

/// One container, complete in itself: nothing else is looked up for its specification.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The job's arguments behind the program's name.
    pub arguments: &'a [String],
    /// The job's variables; they lie over the image's.
    pub environment: &'a [(String, String)],
    /// What the job asks of its container. Its devices count only as far as
    /// [`devices`](Self::devices) has them, and `privileged` only where [`identity`](Self::identity)
    /// says so.
    pub settings: &'a ContainerSettings,
    /// What the image says of its container.
    pub image: &'a ImageConfig,
    /// Its root folder on the host, with real folders `dev` and `proc`; absolute.
    pub rootfs: &'a Path,
    /// Whether it may only read it.
    pub read_only_root: bool,
    /// Who it is on the host.
    pub identity: Identity,
    /// What it reaches of the network.
    pub network: NetworkAccess,
    /// Folders and files of the host.
    pub mounts: &'a [BindMount],
    /// Its cgroup: below each hierarchy's root, or, relative, below the group that runc is in; without
    /// it runc gets none to make.
    pub cgroup: Option<&'a Path>,
    /// What its cgroup holds it to. Only with a [`cgroup`](Self::cgroup).
    pub limits: Option<Limits>,
    /// What whoever starts runc may hand on.
    pub starter: Starter,
    /// Whom its process runs as.
    pub user: &'a ResolvedUser,
    /// A static program on the host to be its first process, given `-- PROGRAM ARGUMENTS`.
    pub init: Option<&'a Path>,
    /// Devices that it may use, beside those that every container has.
    pub devices: &'a [HostDevice],
    /// What CDI specifications say of its devices.
    pub edits: &'a Edits,
    /// At most 63 letters, digits and hyphens.
    pub hostname: &'a str,
}

/// What the process that starts runc has. A container gets no more of it: raising a limit wants rights that
/// not every node has, and a right that one doesn't have can't be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Starter {
    /// The hard limit on open files. A job that asks for more than it may get fails at its start.
    pub open_files: u64,
    /// The permitted capabilities, a bit each; what a container with [`Identity::Host`] gets.
    pub capabilities: u64,
}

impl Starter {
    /// What this process has.
    ///
    /// # Errors
    /// The kernel doesn't tell.
    pub fn look() -> std::io::Result<Self> {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let held = rustix::thread::capabilities(None)?.permitted;
        Ok(Self { open_files: files.unwrap_or(u64::MAX), capabilities: held.bits() })
    }
}

/// Who a container is on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// A range of users and groups that nobody else has: 0 is `first`, [`RANGE_SIZE`] in all.
    Range {
        /// On the host.
        first: u32,
    },
    /// The host's root with all rights of whoever starts runc, for jobs that ask for it where the node's owner allows it.
    Host,
    /// The users of the namespace that runc is started in, as far as there are any.
    Inner {
        /// How many, from 0; from 1.
        count: u32,
    },
}

impl Identity {
    /// Users and groups from this on don't exist.
    pub(super) fn ids(self) -> u32 {
        match self {
            Self::Range { .. } | Self::Host => RANGE_SIZE,
            Self::Inner { count } => count.min(RANGE_SIZE),
        }
    }
}

/// A folder or file of the host that a container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindMount {
    /// On the host, absolute.
    pub source: PathBuf,
    /// In the container, absolute.
    pub destination: String,
    /// Whether it may only read.
    pub read_only: bool,
    /// Whether nothing there can be executed. In a user namespace it has to be so where it is so on the host:
    /// what a mount of the host forbids can't be allowed there.
    pub no_exec: bool,
}

impl BindMount {
    /// A mount of a folder or file that is there, with what its own file system forbids.
    ///
    /// # Errors
    /// It can't be looked at.
    pub fn look_up(source: PathBuf, destination: String, read_only: bool) -> std::io::Result<Self> {
        let flags = rustix::fs::statvfs(&source)?.f_flag;
        Ok(Self {
            source,
            destination,
            read_only: read_only || flags.contains(StatVfsMountFlags::RDONLY),
            no_exec: flags.contains(StatVfsMountFlags::NOEXEC),
        })
    }
}

/// What a cgroup holds a container to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory, bytes. runc refuses less than about 4 MiB.
    pub memory_bytes: u64,
    /// Swap beside it, bytes.
    pub swap_bytes: u64,
    /// How readily memory is swapped out, 0 to 100. Only where the memory controller is of cgroup v1:
    /// v2 has no such thing, and crun fails there.
    pub swappiness: Option<u8>,
    /// CPU time per wall time, thousandths of a CPU; below 10 counts as 10, the kernel's least.
    pub cpu_thousandths: u32,
    /// Processes and threads.
    pub pids: u32,
}
