//! Closing the jail: from what the pool said at the beginning to the jail's own terms, and back.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use wasmbatch_executor::NetworkAccess;
use wasmbatch_executor::frame::{Begin, BornInto, MAX_REASON, Purpose, ScratchSource, WallReport};
use wasmbatch_jail::NamespaceKind;
use wasmbatch_jail::enclose::{self, Enclosure, Folder, Wall, enclose};

/// What a worker keeps of the world.
pub(crate) struct Kept {
    /// All of the scratch folder, open for reading, where there is one.
    pub(crate) scratch: Option<OwnedFd>,
    /// Folders of the host, in the order in which attempts name them.
    pub(crate) folders: Vec<OwnedFd>,
    /// What stands around it now.
    pub(crate) walls: Vec<Wall>,
}

/// Closes the jail around this process, whose only thread this must be. `descriptors` are those that
/// came with the beginning.
///
/// # Errors
/// Other descriptors came than were announced, or a wall that this host can put up failed.
pub(crate) fn close(begin: &Begin<'_>, mut descriptors: Vec<OwnedFd>) -> io::Result<Kept> {
    let folder = match begin.scratch {
        Some(ScratchSource::Folder) => Some(descriptors.pop().ok_or_else(missing)?),
        Some(ScratchSource::Memory { .. } | ScratchSource::Device { .. }) | None => None,
    };
    if descriptors.len() != begin.read_only_folders.len() {
        return Err(missing());
    }
    let wanted = Enclosure {
        purpose: match begin.purpose {
            Purpose::Compile => enclose::Purpose::Compile,
            Purpose::Run => enclose::Purpose::Run,
        },
        network: match begin.network {
            NetworkAccess::None => false,
            NetworkAccess::Host => true,
        },
        scratch: scratch(begin.scratch, folder),
        identity: begin.identity,
        namespaces: match begin.namespaces {
            BornInto::Host => NamespaceKind::None,
            BornInto::Privileged => NamespaceKind::Privileged,
            BornInto::Unprivileged => NamespaceKind::Unprivileged,
        },
    };
    let folders = descriptors.iter().zip(&begin.read_only_folders);
    let folders = folders.map(|(directory, read_only)| Folder { directory: directory.as_fd(), read_only: *read_only });
    let folders: Vec<Folder<'_>> = folders.collect();
    let enclosed = enclose(wanted, &folders)?;
    Ok(Kept { scratch: enclosed.scratch, folders: descriptors, walls: enclosed.walls })
}

fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "other descriptors than announced")
}

fn scratch(source: Option<ScratchSource<'_>>, folder: Option<OwnedFd>) -> Option<enclose::ScratchSource> {
    match source? {
        ScratchSource::Memory { bytes, inodes } => Some(enclose::ScratchSource::Memory { bytes, inodes }),
        ScratchSource::Device { path } => Some(enclose::ScratchSource::Device(path.into())),
        ScratchSource::Folder => folder.map(enclose::ScratchSource::Folder),
    }
}

/// The walls as a worker tells them.
pub(crate) fn reports(walls: &[Wall]) -> Vec<WallReport<'_>> {
    let mut reports = Vec::new();
    for Wall { number, state } in walls {
        let (Ok(text) | Err(text)) = state;
        let detail = &text[..text.floor_char_boundary(MAX_REASON)];
        reports.push(WallReport { wall: *number, stands: state.is_ok(), detail });
    }
    reports
}
