//! Entries of an archive, made below one folder: whatever names and links say, nothing comes to be or
//! goes outside of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown,
    fsetxattr, futimens, linkat, mkdirat, mknodat, openat, openat2, readlinkat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use wasmbatch_jail::scratch;

use super::tar::{Entry, Tar, TarError};
use super::wire::{Form, Orders};

/// Longest path of an entry, bytes; the kernel's own bound.
const MOST_PATH: usize = 4095;
/// Longest part of one.
const MOST_NAME: usize = 255;
/// Symbolic links that may lie on the way to an entry's folder where that has to be made.
const MOST_LINKS: u32 = 40;
/// Memory for the times of folders, bytes; those beyond it keep the time of their unpacking.
const MOST_TIMES: usize = 64 << 20;
/// Implied folders that are told, and bytes of one's path.
const MOST_IMPLIED: usize = 4096;
const MOST_IMPLIED_PATH: usize = 512;
/// Bytes of all of them: a message to the store holds them however they are escaped.
const MOST_IMPLIED_BYTES: usize = 512 << 10;
/// Users and groups that an image may name.
const USERS: u64 = 65_536;
/// The bits of a mode that are kept: nothing here gives the rights of another.
const MODE: u32 = 0o1777;
/// The mode of folders that no entry describes.
const IMPLIED_MODE: u32 = 0o755;
const WHITEOUT: &[u8] = b".wh.";
const WHITEOUT_META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Why an entry can't be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryError {
    #[error("{0}")]
    Refused(&'static str),
    #[error("{0}")]
    Archive(#[from] TarError),
    #[error("cannot be written: {0}")]
    Io(#[from] io::Error),
}

impl From<Errno> for EntryError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

type Made<T> = Result<T, EntryError>;

/// Makes entries below one folder.
#[derive(Debug)]
pub(super) struct Writer {
    root: OwnedFd,
    form: Form,
    users: u64,
    bytes: u64,
    entries: u64,
    most_entries: u64,
    implied: BTreeSet<Vec<u8>>,
    implied_bytes: usize,
    times: Vec<(Vec<u8>, i64)>,
    times_bytes: usize,
}

/// Where an entry goes.
struct Place<'p> {
    parent: OwnedFd,
    name: &'p [u8],
}

impl Writer {
    /// # Errors
    /// The folder isn't this process's own.
    pub(super) fn new(root: OwnedFd, orders: &Orders) -> io::Result<Self> {
        let mut implied = BTreeSet::new();
        if orders.form == Form::Layer {
            fchmod(&root, Mode::from_raw_mode(IMPLIED_MODE))?;
            // The root is a folder like others, and few archives say what it is like.
            implied.insert(Vec::new());
        }
        Ok(Self {
            root,
            form: orders.form,
            users: u64::from(orders.users),
            bytes: 0,
            entries: 0,
            most_entries: orders.most_entries,
            implied,
            implied_bytes: 0,
            times: Vec::new(),
            times_bytes: 0,
        })
    }

    /// Makes a regular file, or what its name says of other files.
    pub(super) fn file<R: Read>(&mut self, entry: &Entry, content: &mut Tar<R>) -> Made<()> {
        let parts = parts(&entry.path)?;
        let Some((name, _)) = parts.split_last() else { return Err(EntryError::Refused("it has no name")) };
        if self.form == Form::Layer && name.starts_with(WHITEOUT) {
            return self.whiteout(&parts);
        }
        let place = self.place(&parts)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || openat(&place.parent, place.name, flags, Mode::RUSR | Mode::WUSR);
        let file = match create() {
            Err(Errno::EXIST) => {
                self.make_way(&place, false)?;
                create()?
            }
            created => created?,
        };
        self.count()?;
        let mut file = File::from(file);
        self.write(entry, content, &mut file)?;
        self.own(file.as_fd(), entry)?;
        futimens(&file, &times(entry.modified))?;
        Ok(())
    }

    fn write<R: Read>(&mut self, entry: &Entry, content: &mut Tar<R>, file: &mut File) -> Made<()> {
        let mut buffer = [0; 64 * 1024];
        let Some(pieces) = &entry.pieces else {
            loop {
                let read = content.read_content(&mut buffer)?;
                if read == 0 {
                    return Ok(());
                }
                self.bytes += read as u64;
                file.write_all(&buffer[..read])?;
            }
        };
        for (offset, length) in pieces {
            file.seek(SeekFrom::Start(*offset))?;
            let mut left = *length;
            while left > 0 {
                let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
                let read = content.read_content(&mut buffer[..most])?;
                if read == 0 {
                    return Err(EntryError::Refused("a map of holes does not fit its file"));
                }
                file.write_all(&buffer[..read])?;
                self.bytes += read as u64;
                left -= read as u64;
            }
        }
        file.set_len(entry.size)?;
        Ok(())
    }

    /// Makes a folder, or has one that is there be like the entry.
    pub(super) fn folder(&mut self, entry: &Entry) -> Made<()> {
        let parts = parts(&entry.path)?;
        if parts.is_empty() {
            let root = openat(&self.root, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            self.implied.remove(b"".as_slice());
            return self.own(root.as_fd(), entry);
        }
        let place = self.place(&parts)?;
        if self.form == Form::Layer && place.name.starts_with(WHITEOUT) {
            return Err(EntryError::Refused("a folder has the name of a deletion"));
        }
        let made = match mkdirat(&place.parent, place.name, Mode::RWXU) {
            Err(Errno::EXIST) => {
                let hides = self.make_way(&place, true)?;
                match mkdirat(&place.parent, place.name, Mode::RWXU) {
                    Err(Errno::EXIST) => None,
                    made => {
                        made?;
                        Some(hides)
                    }
                }
            }
            made => {
                made?;
                Some(false)
            }
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(&place.parent, place.name, flags, Mode::empty())?;
        if let Some(hides) = made {
            self.count()?;
            if hides {
                set_opaque(folder.as_fd())?;
            }
        }
        let path = parts.join(&b'/');
        self.implied.remove(&path);
        self.own(folder.as_fd(), entry)?;
        // What is put into it changes its time: it is set last.
        self.times_bytes += path.len() + size_of::<(Vec<u8>, i64)>();
        if self.times_bytes <= MOST_TIMES {
            self.times.push((path, entry.modified));
        }
        Ok(())
    }

    pub(super) fn symlink(&mut self, entry: &Entry) -> Made<()> {
        let parts = parts(&entry.path)?;
        if entry.link.is_empty() || entry.link.len() > MOST_PATH || entry.link.contains(&0) {
            return Err(EntryError::Refused("it links to nothing that has a name"));
        }
        let place = self.place(&parts)?;
        if self.form == Form::Layer && place.name.starts_with(WHITEOUT) {
            return Err(EntryError::Refused("a link has the name of a deletion"));
        }
        let create = || symlinkat(entry.link.as_slice(), &place.parent, place.name);
        match create() {
            Err(Errno::EXIST) => {
                self.make_way(&place, false)?;
                create()?;
            }
            created => created?,
        }
        self.count()?;
        if let Some((user, group)) = self.owner(entry)? {
            chownat(&place.parent, place.name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        utimensat(&place.parent, place.name, &times(entry.modified), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    pub(super) fn hard_link(&mut self, entry: &Entry) -> Made<()> {
        const NOTHING: EntryError = EntryError::Refused("it links to nothing that the archive has");
        let (parts, linked) = (parts(&entry.path)?, parts(&entry.link)?);
        let Some((name, folder)) = linked.split_last() else {
            return Err(EntryError::Refused("it links to a folder"));
        };
        let from = match self.open(&folder.join(&b'/')) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(NOTHING),
            from => from?,
        };
        match statat(&from, *name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Err(NOTHING),
            Err(error) => return Err(error.into()),
            Ok(status) => match FileType::from_raw_mode(status.st_mode) {
                FileType::RegularFile | FileType::Symlink => {}
                FileType::Directory => return Err(EntryError::Refused("it links to a folder")),
                // A deletion.
                _ => return Err(NOTHING),
            },
        }
        let place = self.place(&parts)?;
        if self.form == Form::Layer && place.name.starts_with(WHITEOUT) {
            return Err(EntryError::Refused("a link has the name of a deletion"));
        }
        let create = || linkat(&from, *name, &place.parent, place.name, AtFlags::empty());
        match create() {
            Err(Errno::EXIST) => {
                if parts == linked {
                    return Ok(());
                }
                self.make_way(&place, false)?;
                match create() {
                    Err(Errno::NOENT) => return Err(NOTHING),
                    created => created?,
                }
            }
            created => created?,
        }
        self.count()
    }

    /// Says that lower layers' file of this name is gone, or all that lower layers have in its folder.
    fn whiteout(&mut self, parts: &[&[u8]]) -> Made<()> {
        let place = self.place(parts)?;
        if place.name == OPAQUE {
            let folder =
                openat(&place.parent, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            return set_opaque(folder.as_fd());
        }
        if place.name.starts_with(WHITEOUT_META) {
            // Another program's bookkeeping.
            return Ok(());
        }
        let name = &place.name[WHITEOUT.len()..];
        if matches!(name, b"" | b"." | b"..") {
            return Err(EntryError::Refused("it deletes nothing that has a name"));
        }
        match mknodat(&place.parent, name, FileType::CharacterDevice, Mode::empty(), 0) {
            // What this layer itself has stays, but of a folder nothing below shows through.
            Err(Errno::EXIST) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                match openat(&place.parent, name, flags, Mode::empty()) {
                    Ok(folder) => set_opaque(folder.as_fd()),
                    Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
            made => {
                made?;
                self.count()
            }
        }
    }

    /// Sets the times of folders, and says what there is now.
    pub(super) fn finish(mut self) -> Made<(u64, u64, Vec<String>)> {
        for (path, modified) in std::mem::take(&mut self.times).into_iter().rev() {
            // What took its place since has a time of its own.
            let Ok(folder) = self.open(&path) else { continue };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            futimens(openat(&folder, ".", flags, Mode::empty())?, &times(modified))?;
        }
        let implied = self.implied.into_iter().filter_map(|path| String::from_utf8(path).ok()).collect();
        Ok((self.bytes, self.entries, implied))
    }

    /// Finds or makes the folder that an entry goes to.
    fn place<'p>(&mut self, parts: &[&'p [u8]]) -> Made<Place<'p>> {
        let Some((name, folder)) = parts.split_last() else { return Err(EntryError::Refused("it has no name")) };
        let path = folder.join(&b'/');
        let parent = match self.open(&path) {
            Err(Errno::NOENT | Errno::NOTDIR) => self.make_folders(&path, 0)?,
            Err(Errno::LOOP | Errno::XDEV) => return Err(EntryError::Refused("its folder is behind a forbidden link")),
            opened => opened?,
        };
        Ok(Place { parent, name })
    }

    /// Opens a folder below the root, which is where links end too.
    fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        loop {
            match openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened,
            }
        }
    }

    /// Makes the folders of a path that are missing, also at the end of links that lead nowhere yet.
    fn make_folders(&mut self, path: &[u8], links: u32) -> Made<OwnedFd> {
        if links > MOST_LINKS || path.len() > MOST_PATH {
            return Err(EntryError::Refused("too many links lead to its folder"));
        }
        let mut done: Vec<u8> = Vec::new();
        let mut parent = self.open(b"")?;
        for part in path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")) {
            let before = done.clone();
            if !done.is_empty() {
                done.push(b'/');
            }
            done.extend_from_slice(part);
            parent = match self.open(&done) {
                Err(Errno::NOENT) if part != b".." => match mkdirat(&parent, part, Mode::RWXU) {
                    Ok(()) => self.imply(&parent, part, &done)?,
                    Err(Errno::EXIST) => {
                        let link = readlinkat(&parent, part, Vec::new())?.into_bytes();
                        let target = if link.starts_with(b"/") { link } else { [before, link].join(&b'/') };
                        self.make_folders(&target, links + 1)?
                    }
                    Err(error) => return Err(error.into()),
                },
                Err(Errno::NOTDIR) => match statat(&parent, part, AtFlags::SYMLINK_NOFOLLOW) {
                    // What lies in a folder that is deleted is new.
                    Ok(status) if is_whiteout(&status) => {
                        unlinkat(&parent, part, AtFlags::empty())?;
                        mkdirat(&parent, part, Mode::RWXU)?;
                        let folder = self.imply(&parent, part, &done)?;
                        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                        set_opaque(openat(&folder, ".", flags, Mode::empty())?.as_fd())?;
                        folder
                    }
                    _ => return Err(EntryError::Refused("a file stands where its folder would be")),
                },
                opened => opened?,
            };
        }
        Ok(parent)
    }

    /// Gives a folder that no entry described what such folders have.
    fn imply(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8]) -> Made<OwnedFd> {
        self.count()?;
        if self.form == Form::Layer {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            fchmod(openat(parent, name, flags, Mode::empty())?, Mode::from_raw_mode(IMPLIED_MODE))?;
            self.implied_bytes += path.len();
            let fits = path.len() <= MOST_IMPLIED_PATH && self.implied_bytes <= MOST_IMPLIED_BYTES;
            if self.implied.len() < MOST_IMPLIED && fits {
                self.implied.insert(path.to_vec());
            }
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(parent, name, flags, Mode::empty())?)
    }

    /// Removes what has the name of a new entry, but no folder where the entry is one. Says whether
    /// it was a deletion.
    fn make_way(&self, place: &Place<'_>, for_folder: bool) -> Made<bool> {
        let status = statat(&place.parent, place.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::Directory {
            unlinkat(&place.parent, place.name, AtFlags::empty())?;
        } else if !for_folder {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            scratch::empty(openat(&place.parent, place.name, flags, Mode::empty())?)?;
            unlinkat(&place.parent, place.name, AtFlags::REMOVEDIR)?;
        }
        Ok(is_whiteout(&status))
    }

    fn count(&mut self) -> Made<()> {
        self.entries += 1;
        if self.entries > self.most_entries {
            return Err(EntryError::Refused("the archive has more entries than a layer may have"));
        }
        Ok(())
    }

    /// Owner and mode of a file or folder, in this order: a change of owner takes from the mode.
    fn own(&self, file: BorrowedFd<'_>, entry: &Entry) -> Made<()> {
        if let Some((user, group)) = self.owner(entry)? {
            fchown(file, Some(user), Some(group))?;
        }
        if self.form == Form::Layer {
            fchmod(file, Mode::from_raw_mode(entry.mode & MODE))?;
        }
        Ok(())
    }

    fn owner(&self, entry: &Entry) -> Made<Option<(Uid, Gid)>> {
        if self.form != Form::Layer {
            return Ok(None);
        }
        if entry.user >= USERS || entry.group >= USERS {
            return Err(EntryError::Refused("its owner is not below 65536"));
        }
        if self.users <= 1 {
            return Ok(None);
        }
        // Where there are fewer users the others' files are root's.
        let known = |number: u64| if number < self.users { u32::try_from(number).unwrap_or(0) } else { 0 };
        Ok(Some((Uid::from_raw(known(entry.user)), Gid::from_raw(known(entry.group)))))
    }
}

fn is_whiteout(status: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice && status.st_rdev == 0
}

fn set_opaque(folder: BorrowedFd<'_>) -> Made<()> {
    Ok(fsetxattr(folder, "user.overlay.opaque", b"y", XattrFlags::empty())?)
}

/// The parts of an entry's name, which is taken from the root on whether it says so or not.
fn parts(path: &[u8]) -> Made<Vec<&[u8]>> {
    if path.len() > MOST_PATH {
        return Err(EntryError::Refused("its name is too long"));
    }
    if path.contains(&0) {
        return Err(EntryError::Refused("its name has a zero byte"));
    }
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.contains(&b"..".as_slice()) {
        return Err(EntryError::Refused("its name leads out of the archive"));
    }
    if parts.iter().any(|part| part.len() > MOST_NAME) {
        return Err(EntryError::Refused("a part of its name is too long"));
    }
    Ok(parts)
}

fn times(seconds: i64) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::path::Path;

    use proptest::prelude::*;
    use proptest::sample::select;
    use rustix::fs::CWD;

    use super::super::tar::Kind;
    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let part = || select(vec!["a", "b", "c", ".", "..", "", ".wh.a", ".wh.b", ".wh..wh..opq"]);
        let path = proptest::collection::vec(part(), 1..4).prop_map(|parts| parts.join("/").into_bytes());
        let link =
            select(vec!["a", "b/c", "..", "../outside", "../outside/secret", "/", "/a", "../../../../../etc", "c"]);
        let kind = select(vec![Kind::File, Kind::HardLink, Kind::Symlink, Kind::Symlink, Kind::Folder]);
        (kind, path, link, select(vec![0, 0o755, 0o7777])).prop_map(|(kind, path, link, mode)| Entry {
            kind,
            path,
            link: link.as_bytes().to_vec(),
            size: 0,
            mode,
            user: 0,
            group: 0,
            modified: 1,
            pieces: None,
        })
    }

    fn open(folder: &Path) -> OwnedFd {
        openat(CWD, folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    proptest! {
        /// The rules of names and links hold by themselves, without the jail around them.
        #[test]
        fn nothing_outside_is_touched(entries in proptest::collection::vec(entry(), 1..30)) {
            let home = tempfile::tempdir().unwrap();
            let (root, outside) = (home.path().join("root"), home.path().join("outside"));
            fs::create_dir(&root).unwrap();
            fs::create_dir(&outside).unwrap();
            fs::write(outside.join("secret"), b"s").unwrap();
            symlink(&outside, root.join("c")).unwrap();
            let before = fs::metadata(&outside).unwrap();
            let orders =
                Orders { form: Form::Layer, target: None, most_bytes: 1, most_entries: 100, users: 1 };
            let mut writer = Writer::new(open(&root), &orders).unwrap();
            for entry in &entries {
                // What is refused is as good as what isn't.
                let _ = match entry.kind {
                    Kind::File => writer.file(entry, &mut Tar::new(&[] as &[u8])),
                    Kind::HardLink => writer.hard_link(entry),
                    Kind::Symlink => writer.symlink(entry),
                    Kind::Folder | Kind::Special | Kind::Unknown => writer.folder(entry),
                };
            }
            let _ = writer.finish();
            let after = fs::metadata(&outside).unwrap();
            prop_assert_eq!((before.mtime_nsec(), before.mode()), (after.mtime_nsec(), after.mode()));
            let secret = fs::metadata(outside.join("secret")).unwrap();
            prop_assert_eq!((secret.nlink(), secret.len()), (1, 1));
            prop_assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
            scratch::empty(open(&root)).unwrap();
        }
    }
}
