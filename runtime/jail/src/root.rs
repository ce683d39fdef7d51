//! An empty root folder that nobody can write to, with the scratch folder's file system in it.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, chownat, mkdirat, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, mount_remount, move_mount, unmount,
};
use rustix::process::{fchdir, pivot_root};

use crate::enclose::ScratchSource;
use crate::mounts;

/// Files of the host that name lookup wants, for processes that keep the network.
const NETWORK_FILES: [&str; 4] = ["resolv.conf", "hosts", "nsswitch.conf", "gai.conf"];
/// Most bytes of one of them.
const MOST_NETWORK_FILE: usize = 256 * 1024;
/// Where the new root is put together. It covers what the process doesn't need any more.
const BUILDING_SITE: &str = "/proc";

/// Leaves the host's files for an empty root, and opens the scratch folder in it. The process must
/// have a mount namespace of its own.
pub(crate) fn leave_host(
    scratch: Option<&ScratchSource>,
    owner: Option<u32>,
    network: bool,
) -> io::Result<Option<OwnedFd>> {
    // Nothing that happens here may be seen outside.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let files = if network { network_files() } else { Vec::new() };
    let root = memory("1m", "64", None)?;
    let opened = match scratch {
        Some(source) => Some(open_scratch(source, owner)?),
        None => None,
    };
    attach(root.as_fd(), BUILDING_SITE)?;
    fchdir(&root)?;
    mkdirat(&root, "scratch", Mode::RWXU)?;
    write_files(&root, &files)?;
    if let Some((mount, _)) = &opened {
        attach_at(mount.as_fd(), root.as_fd(), "scratch")?;
    }
    // The same folder twice: the old root ends up on top of the new one, and goes.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_remount("/", flags, "")?;
    Ok(opened.map(|(_, directory)| directory))
}

/// Leaves the host's files for a folder, given as a mount that is attached nowhere. The process must
/// have a mount namespace of its own. Says where it is then, open for reading.
pub(crate) fn leave_host_for(mount: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    attach(mount, BUILDING_SITE)?;
    fchdir(mount)?;
    // A clone of what the host shares is shared too, and the root of a process can't be.
    mount_change(".", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(rustix::fs::open("/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// A file system in memory, mounted nowhere yet.
fn memory(size: &str, inodes: &str, owner: Option<u32>) -> io::Result<OwnedFd> {
    let configuration = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(configuration.as_fd(), "size", size)?;
    fsconfig_set_string(configuration.as_fd(), "nr_inodes", inodes)?;
    fsconfig_set_string(configuration.as_fd(), "mode", if owner.is_some() { "0700" } else { "0755" })?;
    if let Some(owner) = owner {
        fsconfig_set_string(configuration.as_fd(), "uid", owner.to_string())?;
        fsconfig_set_string(configuration.as_fd(), "gid", owner.to_string())?;
    }
    mounted(configuration.as_fd())
}

fn mounted(configuration: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    fsconfig_create(configuration)?;
    let attributes =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(configuration, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn attach(mount: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    Ok(move_mount(mount, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

fn attach_at(mount: BorrowedFd<'_>, parent: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    Ok(move_mount(mount, "", parent, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// The mount of the scratch folder's file system, and its folder, open for reading.
fn open_scratch(source: &ScratchSource, owner: Option<u32>) -> io::Result<(OwnedFd, OwnedFd)> {
    let mount = match source {
        ScratchSource::Memory { bytes, inodes } => {
            // The top folder and the guests' root count too.
            memory(&bytes.to_string(), &inodes.saturating_add(2).to_string(), owner)?
        }
        ScratchSource::Device(path) => mounted(mounts::configured_device(path)?.as_fd())?,
        ScratchSource::Folder(_) => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(&mount, ".", flags, Mode::empty())?;
    mkdirat(&directory, "root", Mode::RWXU)?;
    if let Some(owner) = owner {
        let (user, group) = (Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)));
        for name in ["", "root"] {
            chownat(&directory, name, user, group, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok((mount, directory))
}

fn network_files() -> Vec<(&'static str, Vec<u8>)> {
    let read = |name: &'static str| {
        let content = fs::read(Path::new("/etc").join(name)).ok()?;
        (content.len() <= MOST_NETWORK_FILE).then_some((name, content))
    };
    NETWORK_FILES.into_iter().filter_map(read).collect()
}

fn write_files(root: &OwnedFd, files: &[(&str, Vec<u8>)]) -> io::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let world_readable = Mode::RUSR | Mode::RGRP | Mode::ROTH;
    mkdirat(root, "etc", Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH)?;
    for (name, content) in files {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(root, format!("etc/{name}"), flags, world_readable)?;
        io::Write::write_all(&mut fs::File::from(file), content)?;
    }
    Ok(())
}
