//! The walls around a process that unpacks archives of strangers. It begins in namespaces of its own, as
//! root of a user namespace whose users own nothing else on this host, and sees one folder.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use rustix::thread::CapabilitySet;

use crate::enclose::Purpose;
use crate::privilege::{self, ResourceLimits};
use crate::{grant, root, seccomp};

/// Descriptors that it has open at once.
const MOST_FILES: u64 = 64;
/// It has one thread, but others of its user may be at work.
const MOST_THREADS: u64 = 512;
/// Memory beyond that of its beginning, bytes; what a cgroup bounds where there is one.
const MORE_ADDRESS_SPACE: u64 = 1 << 30;

/// The folder that it sees.
#[derive(Debug)]
pub enum Target {
    /// As a mount that is attached nowhere; see [`grant::detached`].
    Mount(OwnedFd),
    /// At an absolute path, in the file system that the process was born into.
    Path(PathBuf),
}

/// Closes the jail: on the process's only thread, with all descriptors that it will ever need open,
/// once. What it keeps of root's privilege is what setting the owners of its namespace takes. It can
/// make no file longer than `most_file_bytes`. Says where it is, open for reading.
///
/// # Errors
/// Something failed. The process must end: its jail is half closed.
pub fn enclose(target: Target, most_file_bytes: u64) -> io::Result<OwnedFd> {
    let at = |step: &'static str| move |error: io::Error| io::Error::new(error.kind(), format!("{step}: {error}"));
    // A process that may not be looked into may not write this of itself either; its cgroup has to do.
    let _ = privilege::offer_to_oom_killer();
    privilege::handle_signals().map_err(at("signal handlers"))?;
    let limits = ResourceLimits {
        files: MOST_FILES,
        file_bytes: Some(most_file_bytes),
        processes: MOST_THREADS,
        more_address_space: MORE_ADDRESS_SPACE,
    };
    privilege::limit_resources(&limits).map_err(at("resource limits"))?;
    let mount = match target {
        Target::Mount(mount) => mount,
        Target::Path(path) => grant::detached(&path).map_err(at("folder"))?,
    };
    let directory = root::leave_host_for(mount.as_fd()).map_err(at("root"))?;
    drop(mount);
    privilege::empty_bounding_set().map_err(at("bounding set"))?;
    let kept = CapabilitySet::CHOWN | CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER;
    privilege::keep_capabilities(kept).map_err(at("capabilities"))?;
    seccomp::confine(Purpose::Unpack, false, None).map_err(at("seccomp"))?;
    Ok(directory)
}
