//! The files of a container: a mount namespace of its own in which layers become one root folder.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, mount_change,
    move_mount, open_tree, unmount,
};
use rustix::thread::UnshareFlags;

use crate::namespace::{IdMap, user_namespace};

/// Gives this process, which must have no other thread, a mount namespace of its own: what it mounts
/// from now on is seen by nobody else and goes with it and its children.
///
/// # Errors
/// The privilege is missing.
pub fn leave_mount_namespace() -> io::Result<()> {
    #[expect(unsafe_code, reason = "unsharing some other things would break what threads rely on")]
    // SAFETY: a mount namespace holds no descriptors and no memory; paths are all that changes.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)?;
    }
    Ok(mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

/// A user namespace by which files of one range of users look as those of another.
#[derive(Debug)]
pub struct OwnerShift(OwnedFd);

impl OwnerShift {
    /// Makes one, for users and groups alike.
    ///
    /// # Errors
    /// The privilege is missing.
    pub fn new(map: IdMap) -> io::Result<Self> {
        user_namespace(map, map).map(Self)
    }
}

/// A clone of what is at `folder`, mounted nowhere yet, its owners shifted.
///
/// # Errors
/// The file system can't show owners otherwise than they are, or the privilege is missing.
pub fn shifted(folder: &Path, shift: &OwnerShift) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(CWD, folder, flags)?;
    let set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    crate::grant::set_attributes(mount.as_fd(), shift.0.as_fd(), set)?;
    Ok(mount)
}

/// Mounts the ext4 of a block device nowhere yet. A device that is mounted already gets one more
/// mount of the same file system.
///
/// # Errors
/// There is no such device, or the privilege is missing.
pub fn device(path: &Path) -> io::Result<OwnedFd> {
    finish(configured_device(path)?.as_fd())
}

/// What to mount of a block device's ext4. It lives as long as its users: nothing in it has to survive
/// anything.
pub(crate) fn configured_device(path: &Path) -> io::Result<OwnedFd> {
    let configuration = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(configuration.as_fd(), "source", path)?;
    fsconfig_set_string(configuration.as_fd(), "errors", "remount-ro")?;
    fsconfig_set_flag(configuration.as_fd(), "noinit_itable")?;
    Ok(configuration)
}

/// A file system in memory, mounted nowhere yet.
///
/// # Errors
/// The privilege is missing.
pub fn memory(bytes: u64) -> io::Result<OwnedFd> {
    let configuration = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(configuration.as_fd(), "size", bytes.to_string())?;
    fsconfig_set_string(configuration.as_fd(), "mode", "0755")?;
    finish(configuration.as_fd())
}

/// Where an overlay's parts are, as paths that this process can follow.
#[derive(Debug)]
pub struct Overlay<'a> {
    /// Folders that are only read, the topmost first; no colon and no backslash in them, and 4,000
    /// bytes at most together.
    pub lower: &'a [String],
    /// Where changes go.
    pub upper: &'a str,
    /// Beside `upper`, for the kernel.
    pub work: &'a str,
}

/// Mounts an overlay at a folder.
///
/// # Errors
/// A folder is missing, the kernel knows no overlays or not all of these options, or the privilege is
/// missing.
pub fn overlay(parts: &Overlay<'_>, at: &Path) -> io::Result<()> {
    let configuration = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let fd = configuration.as_fd();
    for lower in parts.lower {
        match fsconfig_set_string(fd, "lowerdir+", lower.as_str()) {
            Ok(()) => {}
            // Before Linux 6.7 all of them are one text, and it may be longer only where it comes with mount(2).
            Err(rustix::io::Errno::INVAL) => return overlay_at_once(parts, at),
            Err(error) => return Err(error.into()),
        }
    }
    fsconfig_set_string(fd, "source", "overlay")?;
    fsconfig_set_string(fd, "upperdir", parts.upper)?;
    fsconfig_set_string(fd, "workdir", parts.work)?;
    // Layers are unpacked by a process that may set no attributes but these.
    fsconfig_set_flag(fd, "userxattr")?;
    // Nothing in it has to survive anything.
    fsconfig_set_flag(fd, "volatile")?;
    attach(finish(fd)?, at)
}

fn overlay_at_once(parts: &Overlay<'_>, at: &Path) -> io::Result<()> {
    let Overlay { lower, upper, work } = parts;
    let options = format!("lowerdir={},upperdir={upper},workdir={work},userxattr,volatile", lower.join(":"));
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("overlay", at, "overlay", flags, options.as_c_str())?)
}

fn finish(configuration: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    fsconfig_create(configuration)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(configuration, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Mounts at a folder what is mounted nowhere yet.
///
/// # Errors
/// There is no such folder.
pub fn attach(mount: impl AsFd, folder: &Path) -> io::Result<()> {
    Ok(move_mount(mount.as_fd(), "", CWD, folder, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Takes a mount from its folder; it goes once nobody uses it.
///
/// # Errors
/// Nothing is mounted there.
pub fn detach(folder: &Path) -> io::Result<()> {
    Ok(unmount(folder, UnmountFlags::DETACH)?)
}

/// A clone of what is at an open folder, mounted nowhere yet.
///
/// # Errors
/// The privilege is missing.
pub fn clone_of(folder: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(open_tree(folder.as_fd(), "", flags)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What a root folder of so many layers shows, each with a file of its own, whichever way it is mounted.
    fn stack(layers: usize, mount: fn(&Overlay<'_>, &Path) -> io::Result<()>) -> usize {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_owned();
        // A thread's namespaces are its own: what it mounts goes with it.
        let work = move || {
            leave_mount_namespace().unwrap();
            attach(memory(1 << 20).unwrap(), &path).unwrap();
            rustix::process::chdir(&path).unwrap();
            let lower: Vec<String> = (0..layers).map(|number| number.to_string()).collect();
            for layer in &lower {
                fs::create_dir(layer).unwrap();
                fs::write(format!("{layer}/file-{layer}"), layer).unwrap();
            }
            for name in ["up", "work", "root"] {
                fs::create_dir(name).unwrap();
            }
            mount(&Overlay { lower: &lower, upper: "up", work: "work" }, Path::new("root")).unwrap();
            fs::write("root/new", b"").unwrap();
            fs::read_dir("root").unwrap().count()
        };
        std::thread::spawn(work).join().unwrap()
    }

    #[test]
    fn many_layers_make_one_root() {
        if !rustix::process::geteuid().is_root() {
            // Whoever else mounts has a user namespace first; that is tested with containers.
            return;
        }
        assert_eq!(stack(128, overlay), 129);
        assert_eq!(stack(128, overlay_at_once), 129);
    }
}
