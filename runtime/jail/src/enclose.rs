//! Closing the jail around this process, from within and for good.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

use crate::namespace::NamespaceKind;
use crate::privilege::{self, ResourceLimits};
use crate::{landlock, root, seccomp};

/// The walls a worker puts up around itself; a [`Wall`] is a place in this list.
pub const WALLS: [&str; 6] = ["root", "user", "capabilities", "limits", "landlock", "seccomp"];

const ROOT: u8 = 0;
const USER: u8 = 1;
const CAPABILITIES: u8 = 2;
const LIMITS: u8 = 3;
const LANDLOCK: u8 = 4;
const SECCOMP: u8 = 5;

/// Descriptors beyond those that a guest may have open: the process's own.
const OWN_FILES: u64 = 128;
/// Descriptors that a guest may have open.
const GUEST_FILES: u64 = 1024;
/// Threads of one process and of all others of its user; its cgroup has a bound of its own.
const MOST_THREADS: u64 = 512;
/// What an engine without a pool reserves for its largest program.
const MORE_ADDRESS_SPACE: u64 = 512 << 30;
/// Longest file that a compiler writes, bytes.
const MOST_COMPILED: u64 = 8 << 30;

/// What a process wants around itself.
#[derive(Debug)]
pub struct Enclosure {
    /// Decides which system calls it keeps.
    pub purpose: Purpose,
    /// Whether it keeps the network that it has.
    pub network: bool,
    /// The namespaces that it was begun with.
    pub namespaces: NamespaceKind,
    /// Its scratch folder, if it has one.
    pub scratch: Option<ScratchSource>,
    /// The user and group to become.
    pub identity: Option<u32>,
}

/// What an enclosed process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Compiles.
    Compile,
    /// Runs guests.
    Run,
    /// Unpacks archives; see [`unpacker`](crate::unpacker).
    Unpack,
}

/// Where the scratch folder comes from.
#[derive(Debug)]
pub enum ScratchSource {
    /// A file system in memory, mounted now.
    Memory {
        /// Most bytes.
        bytes: u64,
        /// Most files and folders.
        inodes: u64,
    },
    /// A block device with an empty ext4, mounted now.
    Device(PathBuf),
    /// A folder that is there already.
    Folder(OwnedFd),
}

/// A folder of the host that an enclosed process keeps.
#[derive(Debug, Clone, Copy)]
pub struct Folder<'a> {
    /// Open, if only as a path.
    pub directory: BorrowedFd<'a>,
    /// Whether it may only be read.
    pub read_only: bool,
}

/// One wall, as it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wall {
    /// Its place in [`WALLS`].
    pub number: u8,
    /// What it is made of, or why it doesn't stand.
    pub state: Result<String, String>,
}

/// What is left to an enclosed process.
#[derive(Debug)]
pub struct Enclosed {
    /// Its scratch folder, open for reading: what guests see is in `root` below it, further empty
    /// folders lie beside that.
    pub scratch: Option<OwnedFd>,
    /// What stands and what doesn't.
    pub walls: Vec<Wall>,
}

impl Enclosed {
    fn stands(&mut self, number: u8, what: impl Into<String>) {
        self.walls.push(Wall { number, state: Ok(what.into()) });
    }

    fn misses(&mut self, number: u8, why: impl Into<String>) {
        self.walls.push(Wall { number, state: Err(why.into()) });
    }
}

/// Closes the jail: on the process's only thread, with all descriptors that it will ever need open,
/// once. `folders` are those of the host that it keeps.
///
/// # Errors
/// Something that this host can do failed. The process must end: its jail is half closed.
pub fn enclose(wanted: Enclosure, folders: &[Folder<'_>]) -> io::Result<Enclosed> {
    let at = |step: &'static str| move |error: io::Error| io::Error::new(error.kind(), format!("{step}: {error}"));
    let mut enclosed = Enclosed { scratch: None, walls: Vec::new() };
    // Asked of the host's own /proc, which is out of reach afterwards.
    privilege::offer_to_oom_killer().map_err(at("oom_score_adj"))?;
    let pagemap = find_pagemap().map_err(at("descriptors"))?;
    privilege::handle_signals().map_err(at("signal handlers"))?;
    let limits = resource_limits(&wanted, folders);
    privilege::limit_resources(&limits).map_err(at("resource limits"))?;
    enclosed.stands(LIMITS, "rlimits");

    put_up_root(&wanted, &mut enclosed).map_err(at("root"))?;
    if let Some(ScratchSource::Folder(folder)) = wanted.scratch {
        enclosed.scratch = Some(folder);
    }
    if wanted.namespaces != NamespaceKind::None {
        privilege::empty_bounding_set().map_err(at("bounding set"))?;
    }
    match (wanted.identity, wanted.namespaces) {
        (Some(identity), _) => {
            privilege::become_user(identity).map_err(at("user"))?;
            enclosed.stands(USER, "a user of its own");
        }
        (None, NamespaceKind::Unprivileged) => enclosed.stands(USER, "the node's user, in a user namespace"),
        (None, _) => enclosed.misses(USER, "the node's own user"),
    }
    privilege::drop_capabilities().map_err(at("capabilities"))?;
    enclosed.stands(CAPABILITIES, "none, and no new privileges");

    let scratch = enclosed.scratch.as_ref().map(OwnedFd::as_fd);
    if landlock::confine(scratch, folders, wanted.network).map_err(at("landlock"))? {
        enclosed.stands(LANDLOCK, "the attempt's folders only");
    } else {
        enclosed.misses(LANDLOCK, "the kernel has no landlock");
    }
    seccomp::confine(wanted.purpose, wanted.network, pagemap).map_err(at("seccomp"))?;
    enclosed.stands(SECCOMP, "an allow list");
    Ok(enclosed)
}

fn put_up_root(wanted: &Enclosure, enclosed: &mut Enclosed) -> io::Result<()> {
    if wanted.namespaces == NamespaceKind::None {
        enclosed.misses(ROOT, "this host lets us make no mount namespace");
        return Ok(());
    }
    let source = wanted.scratch.as_ref().filter(|source| !matches!(source, ScratchSource::Folder(_)));
    enclosed.scratch = root::leave_host(source, wanted.identity, wanted.network)?;
    enclosed.stands(ROOT, "empty and read only");
    Ok(())
}

fn resource_limits(wanted: &Enclosure, folders: &[Folder<'_>]) -> ResourceLimits {
    let file_bytes = match (wanted.purpose, &wanted.scratch) {
        (Purpose::Compile, _) => Some(MOST_COMPILED),
        // What lies in folders of the host is their owner's business.
        (Purpose::Run, Some(ScratchSource::Memory { bytes, .. })) if folders.is_empty() => Some(*bytes),
        (Purpose::Run | Purpose::Unpack, _) => None,
    };
    ResourceLimits {
        files: OWN_FILES + GUEST_FILES,
        file_bytes,
        processes: MOST_THREADS,
        more_address_space: MORE_ADDRESS_SPACE,
    }
}

/// The descriptor of this process's own pagemap, if somebody opened it.
fn find_pagemap() -> io::Result<Option<RawFd>> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        if target.ends_with("pagemap") && target.starts_with("/proc") {
            return Ok(number);
        }
    }
    Ok(None)
}
