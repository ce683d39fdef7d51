//! Scratch folders: one a worker, emptied whatever a guest left in it.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, SeekFrom, Uid, chownat, mkdirat, openat, renameat, seek, unlinkat,
};
use rustix::io::Errno;

use crate::beneath::open_own_folder;

/// Entries taken in one go before any of them is removed.
const BATCH: usize = 512;

/// The folder that holds all scratch folders.
#[derive(Debug, Clone)]
pub struct ScratchRoot(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    directory: OwnedFd,
    next: AtomicU64,
}

/// The folders of one worker: its guests' root and such further empty ones as an attempt asks for.
/// Dropping it removes them.
#[derive(Debug)]
pub struct Scratch {
    root: Arc<Shared>,
    name: String,
    directory: OwnedFd,
}

impl ScratchRoot {
    /// Opens the folder, making it if need be, and removes whatever is in it.
    ///
    /// # Errors
    /// It can't be made, opened or emptied.
    pub fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let directory = open_own_folder(path)?;
        empty(directory.as_fd())?;
        Ok(Self(Arc::new(Shared { directory, next: AtomicU64::new(1) })))
    }

    /// Makes the folders of a new worker.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn create(&self) -> io::Result<Scratch> {
        let name = self.0.next.fetch_add(1, Ordering::Relaxed).to_string();
        let directory = make_folder(self.0.directory.as_fd(), &name)?;
        make_folder(directory.as_fd(), "root")?;
        Ok(Scratch { root: Arc::clone(&self.0), name, directory })
    }
}

impl Scratch {
    /// Makes it a user's own, and the guests' root in it.
    ///
    /// # Errors
    /// Those of chown(2).
    pub fn give_to(&self, user: u32) -> io::Result<()> {
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(user)));
        for name in ["root", "."] {
            chownat(&self.directory, name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    /// All of it, open for reading; the guests' root is `root` in it.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed now is removed at the next start.
        if empty(self.directory.as_fd()).is_ok() {
            let _ = unlinkat(&self.root.directory, &self.name, AtFlags::REMOVEDIR);
        }
    }
}

/// Opens a folder that is there already, for reading. Follows no symbolic link.
///
/// # Errors
/// Those of openat(2).
pub fn open_folder_at(parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    Ok(open_folder(parent, name)?)
}

/// Makes the empty folder of this number in a worker's scratch folder.
///
/// # Errors
/// Those of mkdir(2).
pub fn add_folder(scratch: BorrowedFd<'_>, number: usize) -> io::Result<OwnedFd> {
    make_folder(scratch, &format!("empty-{number}"))
}

/// Removes the folder of this number again, whatever is in it.
///
/// # Errors
/// Something can't be removed.
pub fn remove_folder(scratch: BorrowedFd<'_>, number: usize) -> io::Result<()> {
    let name = format!("empty-{number}");
    empty(open_folder(scratch, name.as_str())?)?;
    Ok(unlinkat(scratch, name, AtFlags::REMOVEDIR)?)
}

fn make_folder(parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    mkdirat(parent, name, Mode::RWXU)?;
    Ok(open_folder(parent, name)?)
}

fn open_folder<P: rustix::path::Arg>(parent: BorrowedFd<'_>, name: P) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Removes all that is in `directory`, which must be open for reading. Follows no symbolic link,
/// holds two descriptors and no path however deep the tree, and takes away modes that stand in the
/// way. An empty folder costs two system calls.
///
/// # Errors
/// Something can't be removed.
pub fn empty(directory: impl AsFd) -> io::Result<()> {
    let top = directory.as_fd();
    let mut moved = 0;
    loop {
        let entries = list(top)?;
        if entries.is_empty() {
            return Ok(());
        }
        for entry in &entries {
            if !remove(top, entry)? {
                flatten(top, &entry.name, &mut moved)?;
            }
        }
    }
}

struct Entry {
    name: CString,
    kind: FileType,
}

/// The first entries of a folder, at most [`BATCH`].
fn list(directory: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    seek(directory, SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut raw = RawDir::new(directory, &mut buffer);
    let mut entries = Vec::new();
    while entries.len() < BATCH
        && let Some(entry) = raw.next()
    {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            entries.push(Entry { name: entry.file_name().to_owned(), kind: entry.file_type() });
        }
    }
    Ok(entries)
}

/// Removes a file or an empty folder; says `false` of a folder that isn't empty.
fn remove(parent: BorrowedFd<'_>, entry: &Entry) -> io::Result<bool> {
    if entry.kind != FileType::Directory {
        match unlinkat(parent, &entry.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(true),
            // Only where the file system doesn't tell the kind of its entries.
            Err(Errno::ISDIR | Errno::PERM) if entry.kind == FileType::Unknown => {}
            Err(error) => return Err(error.into()),
        }
    }
    match unlinkat(parent, &entry.name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Empties the folder `name` of `top` by removing its files and moving its folders up into `top`,
/// so that no depth of nesting needs a deeper stack, more descriptors or a longer path.
fn flatten(top: BorrowedFd<'_>, name: &CString, moved: &mut u64) -> io::Result<()> {
    let folder = open_stubborn(top, name)?;
    loop {
        let entries = list(folder.as_fd())?;
        if entries.is_empty() {
            return Ok(());
        }
        for entry in &entries {
            if !remove(folder.as_fd(), entry)? {
                move_up(folder.as_fd(), &entry.name, top, moved)?;
            }
        }
    }
}

/// Moves a folder that isn't empty into `top` under a name that is free there.
fn move_up(from: BorrowedFd<'_>, name: &CString, top: BorrowedFd<'_>, moved: &mut u64) -> io::Result<()> {
    // Moving a folder writes its `..`, for which its mode must allow writing.
    drop(open_stubborn(from, name)?);
    loop {
        *moved += 1;
        match renameat(from, name, top, format!(".emptied-{moved}")) {
            Ok(()) => return Ok(()),
            // A guest took that name; the next number then.
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens a folder whose contents shall go, giving it a mode that lets them go.
fn open_stubborn(parent: BorrowedFd<'_>, name: &CString) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = openat(parent, name, flags, Mode::empty())?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&handle)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        // By way of the descriptor: a name could be followed, and chmod takes no O_PATH descriptor. Who
        // may pass any mode needs no /proc for it.
        rustix::fs::chmodat(&handle, ".", Mode::RWXU, AtFlags::empty())
            .or_else(|_| rustix::fs::chmod(crate::inherited::reopen_path(&handle), Mode::RWXU))?;
    }
    Ok(open_folder(handle.as_fd(), ".")?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn guest_root(scratch: &Scratch) -> OwnedFd {
        open_folder_at(scratch.directory(), "root").unwrap()
    }

    fn entries(path: &Path) -> usize {
        fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn whatever_a_guest_left_goes_and_nothing_outside_it() {
        let home = tempfile::tempdir().unwrap();
        let outside = home.path().join("outside");
        fs::create_dir_all(outside.join("kept")).unwrap();
        let path = home.path().join("scratch");
        let root = ScratchRoot::open(&path).unwrap();
        let scratch = root.create().unwrap();
        let guest = path.join("1/root");
        fs::create_dir_all(guest.join("a/b/c")).unwrap();
        fs::write(guest.join("a/b/file"), b"x").unwrap();
        fs::write(guest.join(".emptied-1"), b"x").unwrap();
        fs::create_dir_all(guest.join(".emptied-2/full")).unwrap();
        symlink(&outside, guest.join("link")).unwrap();
        symlink(&outside, guest.join("a/link")).unwrap();
        fs::create_dir_all(guest.join("closed/deep/deeper")).unwrap();
        for closed in ["closed/deep/deeper", "closed/deep", "closed"] {
            fs::set_permissions(guest.join(closed), fs::Permissions::from_mode(0o000)).unwrap();
        }
        empty(guest_root(&scratch)).unwrap();
        assert_eq!(entries(&guest), 0);
        assert_eq!(entries(&outside), 1);
        drop(scratch);
        assert_eq!(entries(&path), 0);
    }

    #[test]
    fn depth_and_number_need_no_stack_and_no_descriptors() {
        let home = tempfile::tempdir().unwrap();
        let root = ScratchRoot::open(home.path()).unwrap();
        let scratch = root.create().unwrap();
        let mut folder = rustix::io::fcntl_dupfd_cloexec(guest_root(&scratch), 3).unwrap();
        for _ in 0..5_000 {
            mkdirat(&folder, "d", Mode::RWXU).unwrap();
            mkdirat(&folder, "beside", Mode::RWXU).unwrap();
            folder = open_folder(folder.as_fd(), "d").unwrap();
        }
        for number in 0..3_000 {
            openat(
                guest_root(&scratch),
                format!("file-{number}"),
                OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC,
                Mode::RUSR,
            )
            .unwrap();
        }
        empty(guest_root(&scratch)).unwrap();
        assert_eq!(entries(&home.path().join("1/root")), 0);
    }

    #[test]
    fn opening_removes_what_an_earlier_life_left() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("7/root/x/y")).unwrap();
        fs::write(home.path().join("7/root/x/y/z"), b"x").unwrap();
        let root = ScratchRoot::open(home.path()).unwrap();
        assert_eq!(entries(home.path()), 0);
        let scratch = root.create().unwrap();
        add_folder(scratch.directory(), 0).unwrap();
        assert_eq!(entries(&home.path().join("1")), 2);
    }
}
