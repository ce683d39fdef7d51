//! From a [`Program`](crate::Program) to a digest and something to compile.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use wasmbatch_core::Digest;
use wasmbatch_jail::{AllowedFolders, OpenError};

use crate::cache::{CompiledCache, Temporary, checksum};

/// Largest module file taken from a folder.
const MAX_FILE_BYTES: u64 = 1024 * 1024 * 1024;
/// Files whose digest is remembered.
const REMEMBERED: usize = 1024;
/// A file changed more recently than this may change again without its times showing it.
const SETTLED_SECONDS: i64 = 2;

/// Uploaded modules, and the digests of files seen in folders.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Folders with modules under their digests.
    stored: [PathBuf; 2],
    seen: Mutex<HashMap<Identity, Digest>>,
}

/// A file in one state: any change of content changes this once the file has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A program file, found.
#[derive(Debug)]
pub(crate) enum FoundFile {
    /// Seen before in this state.
    Known(Digest),
    /// Copied, and hashed as copied: nobody else can change the copy before it is compiled.
    Copied(Digest, Temporary),
}

impl Programs {
    pub(crate) fn new(data_dir: &Path) -> Self {
        let uploaded = data_dir.join("modules").join("sha256");
        let pulled = data_dir.join("images").join("modules");
        Self { stored: [uploaded, pulled], seen: Mutex::default() }
    }

    /// Opens an uploaded or pulled module.
    pub(crate) fn open_stored(&self, digest: &Digest) -> io::Result<File> {
        let [uploaded, pulled] = &self.stored;
        match File::open(uploaded.join(digest.hex())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(pulled.join(digest.hex())),
            opened => opened,
        }
    }

    /// Whether no module of this digest was uploaded or pulled, or it was deleted.
    pub(crate) fn is_missing(&self, digest: &Digest) -> bool {
        self.stored.iter().all(|folder| matches!(folder.join(digest.hex()).try_exists(), Ok(false)))
    }

    /// Finds a program file below an allowed folder. The error is fit for a reason.
    pub(crate) fn find_file(
        &self,
        path: &Path,
        allowed: &AllowedFolders,
        cache: &CompiledCache,
    ) -> Result<FoundFile, String> {
        let shown = path.display();
        let file = allowed.open_file(path).map_err(|error| refusal("program file", path, &error))?;
        let failed = |error: io::Error| format!("program file {shown} cannot be read: {error}");
        let identity = Identity::of(&file).map_err(failed)?;
        if identity.bytes > MAX_FILE_BYTES {
            return Err(format!("program file {shown} is larger than {MAX_FILE_BYTES} bytes"));
        }
        if let Some(digest) = self.seen.lock().expect("no holder of this lock panics").get(&identity) {
            return Ok(FoundFile::Known(*digest));
        }
        let mut copy = cache.temporary().map_err(failed)?;
        io::copy(&mut io::Read::take(&file, MAX_FILE_BYTES), &mut copy.file).map_err(failed)?;
        // The compiler reads on from where this descriptor stands.
        io::Seek::rewind(&mut copy.file).map_err(failed)?;
        let digest = Digest::from_bytes(checksum(&copy.file).map_err(failed)?.0);
        let after = Identity::of(&file).map_err(failed)?;
        if identity == after && after.is_settled_before(&Identity::of(&copy.file).map_err(failed)?) {
            self.remember(after, digest);
        }
        Ok(FoundFile::Copied(digest, copy))
    }

    /// Forgets what files were, so that they are copied again.
    pub(crate) fn forget_files(&self) {
        self.seen.lock().expect("no holder of this lock panics").clear();
    }

    fn remember(&self, identity: Identity, digest: Digest) {
        let mut seen = self.seen.lock().expect("no holder of this lock panics");
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(identity, digest);
    }
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether it was last changed well before the copy was made: by the file system's own clock.
    fn is_settled_before(&self, copy: &Self) -> bool {
        copy.changed.0.saturating_sub(self.changed.0) > SETTLED_SECONDS
    }
}

/// Why a path can't be used, fit for a reason.
pub fn refusal(what: &str, path: &Path, error: &OpenError) -> String {
    let shown = path.display();
    match error {
        OpenError::Relative => format!("{what} {shown} is not an absolute path"),
        OpenError::NotAllowed => format!("{what} {shown} is not below a folder that this node allows"),
        OpenError::Escapes => format!("{what} {shown} leads out of the folder that this node allows"),
        OpenError::NotFound => format!("{what} {shown} does not exist"),
        OpenError::NotAFolder => format!("{what} {shown} is not a folder"),
        OpenError::NotAFile => format!("{what} {shown} is not a regular file"),
        OpenError::Io(error) => format!("{what} {shown} cannot be opened: {error}"),
    }
}
