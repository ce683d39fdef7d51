//! A folder of the host for one worker: a mount of its own, in which the worker is the folder's owner
//! and out of which no `..` leads.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, fstat};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::namespace::{IdMap, user_namespace};

/// Makes the mount, for a process that will be the user and group `who`. Wants the privilege to
/// mount.
///
/// # Errors
/// The folder's file system can't show owners otherwise than they are, or the privilege is missing.
pub fn grant(folder: impl AsFd, who: (u32, u32), read_only: bool, programs: Programs) -> io::Result<OwnedFd> {
    let folder = folder.as_fd();
    let owner = fstat(folder)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = open_tree(folder, "", flags)?;
    let one = |inside, outside| IdMap { inside, outside, count: 1 };
    let namespace = user_namespace(one(owner.st_uid, who.0), one(owner.st_gid, who.1))?;
    let mut set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    if read_only {
        set |= libc::MOUNT_ATTR_RDONLY;
    }
    match programs {
        Programs::Refused => set |= libc::MOUNT_ATTR_NOEXEC,
        Programs::Run => {}
    }
    set_attributes(mount.as_fd(), namespace.as_fd(), set)?;
    Ok(mount)
}

/// Whether programs may be run from a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    /// They may.
    Run,
    /// They may not.
    Refused,
}

/// Sets these attributes of a mount that is attached nowhere, and shows its owners as the user
/// namespace has them.
pub(crate) fn set_attributes(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>, set: u64) -> io::Result<()> {
    let namespace = u64::from(namespace.as_raw_fd().cast_unsigned());
    set_raw(mount, set | libc::MOUNT_ATTR_IDMAP, namespace).map_err(|error| match error.raw_os_error() {
        // What the kernel says of file systems that it can't map owners of: tmpfs before Linux 6.3.
        Some(libc::EINVAL) => {
            let text = "its file system cannot show other owners on this kernel";
            io::Error::new(io::ErrorKind::Unsupported, text)
        }
        _ => error,
    })
}

/// Nothing in it gives rights, is a device or runs.
const QUIET: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;

/// A mount of the folder at `path` alone, attached nowhere, for a process that shall see nothing else.
/// Wants the privilege to mount, if only in this process's own namespaces.
///
/// # Errors
/// There is no such folder, or the privilege is missing.
pub fn detached(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let mount = open_tree(CWD, path, flags)?;
    set_raw(mount.as_fd(), QUIET, 0)?;
    Ok(mount)
}

fn set_raw(mount: BorrowedFd<'_>, set: u64, userns_fd: u64) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd };
    #[expect(unsafe_code, reason = "rustix doesn't have mount_setattr")]
    // SAFETY: the attributes are valid for reading and have the size that is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt as _;

    use rustix::fs::{Mode, OFlags, openat};
    use rustix::process::geteuid;

    use super::*;

    #[test]
    fn owners_look_like_the_worker_and_nothing_leads_out() {
        if !geteuid().is_root() {
            // Only root may; that an ordinary user's node does without is tested with the pool.
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let inner = home.path().join("inner");
        fs::create_dir(&inner).unwrap();
        std::os::unix::fs::chown(&inner, Some(1234), Some(4321)).unwrap();
        fs::write(home.path().join("secret"), b"x").unwrap();
        let folder = openat(CWD, &inner, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let mount = match grant(&folder, (77_777, 77_777), false, Programs::Refused) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                eprintln!("not shown on this host: {error}");
                return;
            }
            granted => granted.unwrap(),
        };
        let seen = fstat(&mount).unwrap();
        assert_eq!((seen.st_uid, seen.st_gid), (77_777, 77_777));
        let up = openat(&mount, "../secret", OFlags::RDONLY, Mode::empty());
        assert_eq!(up.unwrap_err(), rustix::io::Errno::NOENT);
        let read_only = grant(&folder, (77_777, 77_777), true, Programs::Refused).unwrap();
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let refused = openat(&read_only, "new", flags, Mode::RUSR);
        assert_eq!(refused.unwrap_err(), rustix::io::Errno::ROFS);
        // Root is nobody in there and may make nothing: its user doesn't exist in that mount.
        let made = openat(&mount, "new", flags, Mode::RUSR).map(File::from);
        assert_eq!(made.unwrap_err(), rustix::io::Errno::OVERFLOW);
        assert_eq!(fs::metadata(&inner).unwrap().uid(), 1234);
    }

    #[test]
    fn a_detached_mount_shows_its_folder_and_nothing_above() {
        if !geteuid().is_root() {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("folder")).unwrap();
        fs::write(home.path().join("folder/file"), b"x").unwrap();
        std::os::unix::fs::symlink("folder", home.path().join("link")).unwrap();
        let mount = detached(&home.path().join("folder")).unwrap();
        let names = |path: &str| {
            let folder = openat(&mount, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
            let entries = rustix::fs::Dir::read_from(folder).unwrap();
            entries.filter(|entry| entry.as_ref().unwrap().file_name().to_bytes() == b"file").count()
        };
        assert_eq!((names("."), names("..")), (1, 1));
        let link = detached(&home.path().join("link")).unwrap();
        assert!(openat(link, "file", OFlags::RDONLY, Mode::empty()).is_err());
    }
}
