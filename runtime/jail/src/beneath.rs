//! Opening what lies at or beneath an allowed folder, and nothing else.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

/// Folders that the node's owner allows, held open since start: renaming or replacing one later
/// doesn't change what is allowed.
#[derive(Debug, Default)]
pub struct AllowedFolders(Vec<AllowedFolder>);

#[derive(Debug)]
struct AllowedFolder {
    /// As the owner wrote it, and resolved: both spellings are taken.
    spellings: [PathBuf; 2],
    directory: OwnedFd,
}

/// Why a path isn't opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not absolute.
    #[error("not an absolute path")]
    Relative,
    /// It is not at or below an allowed folder.
    #[error("not below an allowed folder")]
    NotAllowed,
    /// It leads out of the allowed folder, by `..` or a symbolic link.
    #[error("leads out of the allowed folder")]
    Escapes,
    /// There is nothing.
    #[error("not found")]
    NotFound,
    /// A folder was wanted.
    #[error("not a folder")]
    NotAFolder,
    /// A file was wanted.
    #[error("not a regular file")]
    NotAFile,
    /// Something else.
    #[error("cannot be opened")]
    Io(#[source] io::Error),
}

impl AllowedFolders {
    /// Resolves and opens the allowed folders.
    ///
    /// # Errors
    /// One of them is no folder or can't be opened; the path is the one at fault.
    pub fn open(paths: &[PathBuf]) -> Result<Self, (PathBuf, io::Error)> {
        let folder = |path: &PathBuf| {
            let resolved = path.canonicalize()?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = open(&resolved, flags, Mode::empty())?;
            let written = if path.is_absolute() { path.clone() } else { resolved.clone() };
            Ok(AllowedFolder { spellings: [written, resolved], directory })
        };
        let folders = paths.iter().map(|path| folder(path).map_err(|error| (path.clone(), error)));
        Ok(Self(folders.collect::<Result<_, _>>()?))
    }

    /// Opens a folder, for use as a working folder or a root of further opening.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_folder(&self, path: &Path) -> Result<OwnedFd, OpenError> {
        self.open_below(path, OFlags::PATH | OFlags::DIRECTORY).map_err(|error| match error {
            OpenError::Io(error) if error.kind() == io::ErrorKind::NotADirectory => OpenError::NotAFolder,
            other => other,
        })
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_file(&self, path: &Path) -> Result<File, OpenError> {
        // Without NONBLOCK the opening of a pipe would wait for its writer.
        let file = self.open_below(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let kind = fstat(&file).map_err(|error| OpenError::Io(error.into()))?.st_mode;
        if FileType::from_raw_mode(kind) != FileType::RegularFile {
            return Err(OpenError::NotAFile);
        }
        Ok(File::from(file))
    }

    fn open_below(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, OpenError> {
        if !path.is_absolute() {
            return Err(OpenError::Relative);
        }
        let mut refusal = OpenError::NotAllowed;
        for folder in &self.0 {
            let below = folder.spellings.iter().find_map(|spelling| path.strip_prefix(spelling).ok());
            let Some(below) = below else { continue };
            match folder.open_below(below, flags) {
                Ok(descriptor) => return Ok(descriptor),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

impl AllowedFolder {
    fn open_below(&self, below: &Path, flags: OFlags) -> Result<OwnedFd, OpenError> {
        if below.components().any(|component| !matches!(component, Component::Normal(_) | Component::CurDir)) {
            return Err(OpenError::Escapes);
        }
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        loop {
            match openat2(&self.directory, below, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Ok(descriptor) => return Ok(descriptor),
                // The kernel asks to try again when something was renamed meanwhile.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::XDEV | Errno::LOOP) => return Err(OpenError::Escapes),
                Err(Errno::NOENT) => return Err(OpenError::NotFound),
                Err(error) => return Err(OpenError::Io(error.into())),
            }
        }
    }
}

/// Opens a folder of our own for reading its entries.
pub(crate) fn open_own_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_lies_beneath_is_opened() {
        let home = tempfile::tempdir().unwrap();
        let allowed = home.path().join("allowed");
        std::fs::create_dir_all(allowed.join("a/b")).unwrap();
        std::fs::write(allowed.join("a/file"), b"x").unwrap();
        symlink("a", allowed.join("inside")).unwrap();
        symlink(&allowed, home.path().join("alias")).unwrap();
        let folders = AllowedFolders::open(&[home.path().join("alias")]).unwrap();
        for root in [&allowed, &home.path().join("alias")] {
            for below in ["", "a", "a/b", "a/./b/", "inside/b"] {
                folders.open_folder(&root.join(below)).unwrap();
            }
            folders.open_file(&root.join("inside/file")).unwrap();
        }
    }

    #[test]
    fn nothing_else_is() {
        let home = tempfile::tempdir().unwrap();
        let allowed = home.path().join("allowed");
        std::fs::create_dir_all(allowed.join("a")).unwrap();
        std::fs::create_dir_all(home.path().join("allowed-not")).unwrap();
        std::fs::write(home.path().join("secret"), b"x").unwrap();
        symlink("../secret", allowed.join("relative")).unwrap();
        symlink("/etc", allowed.join("absolute")).unwrap();
        symlink("/proc/self/root", allowed.join("magic")).unwrap();
        symlink("loop", allowed.join("loop")).unwrap();
        let folders = AllowedFolders::open(std::slice::from_ref(&allowed)).unwrap();
        let file = |path: &str| folders.open_file(&allowed.join(path)).unwrap_err();
        let folder = |path: &str| folders.open_folder(&allowed.join(path)).unwrap_err();
        assert!(matches!(file("relative"), OpenError::Escapes));
        assert!(matches!(file("a/../../secret"), OpenError::Escapes));
        assert!(matches!(file("a"), OpenError::NotAFile));
        assert!(matches!(file("missing"), OpenError::NotFound));
        assert!(matches!(file("nul\0byte"), OpenError::Io(_)));
        assert!(matches!(folder("absolute"), OpenError::Escapes));
        assert!(matches!(folder("magic/etc"), OpenError::Escapes));
        assert!(matches!(folder(".."), OpenError::Escapes));
        assert!(matches!(folder("loop"), OpenError::Escapes));
        assert!(matches!(folder("/etc"), OpenError::NotAllowed));
        let beside = home.path().join("allowed-not");
        assert!(matches!(folders.open_folder(&beside), Err(OpenError::NotAllowed)));
        assert!(matches!(folders.open_folder(Path::new("allowed")), Err(OpenError::Relative)));
        std::fs::write(allowed.join("plain"), b"x").unwrap();
        assert!(matches!(folder("plain"), OpenError::NotAFolder));
    }

    #[test]
    fn a_pipe_is_refused_without_waiting_for_its_writer() {
        let allowed = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(CWD, allowed.path().join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let folders = AllowedFolders::open(&[allowed.path().to_owned()]).unwrap();
        let refused = folders.open_file(&allowed.path().join("pipe"));
        assert!(matches!(refused, Err(OpenError::NotAFile)));
    }
}
