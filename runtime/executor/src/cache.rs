//! Compiled programs: on disk by engine and digest, the ones in use held open.
//!
//! A compiled program is machine code that workers run as it is, so it counts only if its checksum
//! is the one that was written beside it, checked when it is opened for the first time. Both files
//! are synced before they get their names; whatever a power cut leaves is compiled again.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use wasmbatch_core::Digest;

use crate::spec::{EngineProfile, ModuleKind};

/// Compiled programs held open. Others are opened and checked again.
const HELD_OPEN: usize = 256;
/// Longest note beside a compiled program.
const MAX_NOTE: u64 = 256;

/// A program as it is compiled: once for each profile that is wanted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProgramKey {
    pub(crate) digest: Digest,
    pub(crate) profile: EngineProfile,
}

/// A compiled program, open for reading.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) file: File,
    pub(crate) kind: ModuleKind,
    pub(crate) bytes: u64,
}

/// What is written beside a compiled program.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    checksum: [u8; 32],
    bytes: u64,
    kind: ModuleKind,
}

#[derive(Debug)]
pub(crate) struct CompiledCache {
    folder: PathBuf,
    held: Mutex<Held>,
    next_temporary: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    programs: HashMap<Digest, (Arc<Compiled>, u64)>,
    clock: u64,
}

/// A file that a compiler writes to; it is removed unless it is stored.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
    pub(crate) file: File,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Once stored there is nothing at that name.
        let _ = fs::remove_file(&self.path);
    }
}

impl CompiledCache {
    /// Opens the cache of one engine below `compiled`, and removes what a crash left unfinished.
    pub(crate) fn open(compiled: &Path, engine: [u8; 16]) -> io::Result<Self> {
        let folder = compiled.join(hex(&engine));
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(path)?;
            }
        }
        Ok(Self { folder, held: Mutex::default(), next_temporary: AtomicU64::new(0) })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("no holder of this lock panics")
    }

    /// The program if it is held open: no I/O.
    pub(crate) fn held_open(&self, digest: &Digest) -> Option<Arc<Compiled>> {
        let mut held = self.held();
        held.clock += 1;
        let clock = held.clock;
        held.programs.get_mut(digest).map(|(program, used)| {
            *used = clock;
            Arc::clone(program)
        })
    }

    /// The program if it is there, checked against its checksum.
    pub(crate) fn find(&self, digest: &Digest) -> Option<Arc<Compiled>> {
        if let Some(program) = self.held_open(digest) {
            return Some(program);
        }
        match self.check(digest) {
            Ok(program) => Some(self.hold(*digest, program)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(module = %digest, error = %error, "a compiled module is unusable and will be made again");
                None
            }
        }
    }

    pub(crate) fn temporary(&self) -> io::Result<Temporary> {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{number}.tmp"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Temporary { path, file })
    }

    /// Gives what a compiler wrote its name. The compiler must have ended.
    pub(crate) fn store(&self, digest: &Digest, written: &Temporary, kind: ModuleKind) -> io::Result<Arc<Compiled>> {
        // Anew and for reading only: workers get this descriptor, and none may change the code.
        let file = File::open(&written.path)?;
        let (checksum, bytes) = checksum(&file)?;
        let note = Note { checksum, bytes, kind };
        let content = postcard::to_allocvec(&note).map_err(io::Error::other)?;
        let note_file = self.temporary()?;
        fs::write(&note_file.path, content)?;
        written.file.sync_all()?;
        note_file.file.sync_all()?;
        // A program without note doesn't count, so the note comes last.
        fs::rename(&written.path, self.program_path(digest))?;
        fs::rename(&note_file.path, self.note_path(digest))?;
        File::open(&self.folder)?.sync_all()?;
        Ok(self.hold(*digest, Compiled { file, kind, bytes }))
    }

    fn check(&self, digest: &Digest) -> io::Result<Compiled> {
        let mut content = Vec::new();
        File::open(self.note_path(digest))?.take(MAX_NOTE).read_to_end(&mut content)?;
        let note: Note = postcard::from_bytes(&content).map_err(io::Error::other)?;
        let file = File::open(self.program_path(digest))?;
        if checksum(&file)? != (note.checksum, note.bytes) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum differs"));
        }
        Ok(Compiled { file, kind: note.kind, bytes: note.bytes })
    }

    fn hold(&self, digest: Digest, program: Compiled) -> Arc<Compiled> {
        let program = Arc::new(program);
        let mut held = self.held();
        if held.programs.len() >= HELD_OPEN
            && let Some(oldest) = held.programs.iter().min_by_key(|(_, (_, used))| *used).map(|(digest, _)| *digest)
        {
            held.programs.remove(&oldest);
        }
        held.clock += 1;
        let clock = held.clock;
        held.programs.insert(digest, (Arc::clone(&program), clock));
        program
    }

    fn program_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex() + ".cwasm")
    }

    fn note_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex() + ".note")
    }
}

/// SHA-256 and length of a file from its beginning, whatever its position is.
pub(crate) fn checksum(file: &File) -> io::Result<([u8; 32], u64)> {
    use std::os::unix::fs::FileExt as _;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut length = 0;
    loop {
        let read = match file.read_at(&mut buffer, length) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Ok((hasher.finalize().into(), length));
        }
        hasher.update(&buffer[..read]);
        length += u64::try_from(read).expect("a read fits 64 bits");
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn stored(folder: &Path) -> (CompiledCache, Digest) {
        let cache = CompiledCache::open(folder, [1; 16]).unwrap();
        let digest = Digest::from_bytes([2; 32]);
        let mut temporary = cache.temporary().unwrap();
        temporary.file.write_all(b"machine code").unwrap();
        cache.store(&digest, &temporary, ModuleKind::Component).unwrap();
        (cache, digest)
    }

    #[test]
    fn what_was_stored_is_found_again_by_the_same_engine_only() {
        let home = tempfile::tempdir().unwrap();
        let (_, digest) = stored(home.path());
        fs::write(home.path().join("01".repeat(16)).join("9.tmp"), b"left by a crash").unwrap();
        let reopened = CompiledCache::open(home.path(), [1; 16]).unwrap();
        let found = reopened.find(&digest).unwrap();
        assert_eq!((found.kind, found.bytes), (ModuleKind::Component, 12));
        assert!((&found.file).write_all(b"x").is_err());
        assert_eq!(fs::read_dir(&reopened.folder).unwrap().count(), 2);
        let other = CompiledCache::open(home.path(), [3; 16]).unwrap();
        assert!(other.find(&digest).is_none());
    }

    #[test]
    fn a_damaged_program_is_not_found() {
        for damage in [&b"machine cod"[..], b"machine c0de", b""] {
            let home = tempfile::tempdir().unwrap();
            let (cache, digest) = stored(home.path());
            fs::write(cache.program_path(&digest), damage).unwrap();
            let reopened = CompiledCache::open(home.path(), [1; 16]).unwrap();
            assert!(reopened.find(&digest).is_none());
        }
        let home = tempfile::tempdir().unwrap();
        let (cache, digest) = stored(home.path());
        fs::write(cache.note_path(&digest), b"").unwrap();
        assert!(CompiledCache::open(home.path(), [1; 16]).unwrap().find(&digest).is_none());
    }
}
