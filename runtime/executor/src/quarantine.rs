//! Modules that are not run any more, since a worker that ran one behaved as if it had been taken
//! over. A file each, so that a restart doesn't forget.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::UNIX_EPOCH;

use wasmbatch_core::Digest;

use crate::spec::Quarantined;

/// Most modules in quarantine; beyond, the oldest is let out, so that nobody fills the disk this way.
const MOST: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Quarantine {
    folder: PathBuf,
    entries: Mutex<BTreeMap<Digest, Entry>>,
}

#[derive(Debug, Clone)]
struct Entry {
    since: u64,
    reason: String,
}

impl Quarantine {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut entries = BTreeMap::new();
        for file in fs::read_dir(folder)? {
            let file = file?;
            let digest = file.file_name().to_str().and_then(|name| format!("sha256:{name}").parse::<Digest>().ok());
            let Some(digest) = digest else { continue };
            let since = since(&File::open(file.path())?)?;
            let reason = fs::read_to_string(file.path())?.trim_end().to_owned();
            entries.insert(digest, Entry { since, reason });
        }
        Ok(Self { folder: folder.to_owned(), entries: Mutex::new(entries) })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, Entry>> {
        self.entries.lock().expect("no holder of this lock panics")
    }

    /// Why a module isn't run, if it isn't.
    pub(crate) fn reason(&self, digest: &Digest) -> Option<String> {
        self.lock().get(digest).map(|entry| entry.reason.clone())
    }

    pub(crate) fn list(&self) -> Vec<Quarantined> {
        let quarantined = |(digest, entry): (&Digest, &Entry)| {
            let Entry { since, reason } = entry.clone();
            Quarantined { digest: *digest, since, reason }
        };
        self.lock().iter().map(quarantined).collect()
    }

    /// Locks a module away. It is locked away in memory even if the file can't be written.
    pub(crate) fn add(&self, digest: Digest, reason: &str) -> io::Result<()> {
        let mut entries = self.lock();
        if entries.contains_key(&digest) {
            return Ok(());
        }
        entries.insert(digest, Entry { since: 0, reason: reason.to_owned() });
        let mut file = File::create(self.path(&digest))?;
        writeln!(file, "{reason}")?;
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        if let Some(entry) = entries.get_mut(&digest) {
            entry.since = since(&file)?;
        }
        if entries.len() > MOST
            && let Some(oldest) = entries.iter().min_by_key(|(_, entry)| entry.since).map(|(oldest, _)| *oldest)
        {
            entries.remove(&oldest);
            fs::remove_file(self.path(&oldest))?;
        }
        Ok(())
    }

    pub(crate) fn release(&self, digest: &Digest) -> io::Result<bool> {
        let mut entries = self.lock();
        if !entries.contains_key(digest) {
            return Ok(false);
        }
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        entries.remove(digest);
        Ok(true)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }
}

/// When a file was written, in milliseconds of Unix time: the file system's word, not the caller's.
fn since(file: &File) -> io::Result<u64> {
    let written = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(written.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_locked_away_stays_so_until_it_is_released() {
        let home = tempfile::tempdir().unwrap();
        let digest = Digest::from_bytes([5; 32]);
        let quarantine = Quarantine::open(home.path()).unwrap();
        assert_eq!(quarantine.reason(&digest), None);
        quarantine.add(digest, "signal 31").unwrap();
        quarantine.add(digest, "again").unwrap();
        let reopened = Quarantine::open(home.path()).unwrap();
        assert_eq!(reopened.reason(&digest).unwrap(), "signal 31");
        assert_eq!(reopened.list(), quarantine.list());
        assert!(reopened.list()[0].since > 0);
        assert!(reopened.release(&digest).unwrap());
        assert!(!reopened.release(&digest).unwrap());
        assert!(Quarantine::open(home.path()).unwrap().list().is_empty());
    }
}
