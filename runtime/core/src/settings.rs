//! What a container asks of whatever runs it, beside its program and what it holds. An image's container
//! gets it; a module has no use for most of it and can't have the rest.

/// `user`, `privileged`, `linuxParameters`, `ulimits` and `stopTimeout`, a pod's `securityContext`; validated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerSettings {
    /// User or uid, and group or gid behind a colon; never empty.
    pub user: Option<String>,
    /// Whether it asks for all rights on its node.
    pub privileged: bool,
    /// A pod's `runAsNonRoot`: whether it fails rather than run as uid 0.
    pub must_not_be_root: bool,
    /// `initProcessEnabled`.
    pub init_process: bool,
    /// `sharedMemorySize`, MiB, from 1.
    pub shared_memory_mib: Option<u32>,
    /// `maxSwap`, MiB beside its memory.
    pub max_swap_mib: Option<u32>,
    /// 0 to 100; only with [`max_swap_mib`](Self::max_swap_mib), without which it means nothing `[API]`.
    pub swappiness: Option<u8>,
    /// In the order given.
    pub tmpfs: Vec<Tmpfs>,
    /// In the order given.
    pub devices: Vec<Device>,
    /// In the order given.
    pub ulimits: Vec<Ulimit>,
    /// From 2; absent when not given.
    pub stop_timeout_seconds: Option<u32>,
}

/// A file system in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Absolute.
    pub container_path: String,
    /// From 1.
    pub size_mib: u32,
    /// As given; which of them are allowed is for the container to say.
    pub options: Vec<String>,
}

/// A device of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Absolute.
    pub host_path: String,
    /// Absolute; absent where it is the host's.
    pub container_path: Option<String>,
    /// Some of `r`, `w` and `m`; never empty.
    pub permissions: String,
}

/// A resource limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// As given, such as `nofile`; never empty.
    pub name: String,
    /// What holds; [`Ulimit::NONE`] is no limit.
    pub soft: u64,
    /// What it may be raised to; [`Ulimit::NONE`] is no limit.
    pub hard: u64,
}

impl Ulimit {
    /// No limit.
    pub const NONE: u64 = u64::MAX;
}
