//! Modules that are not run any more, since a worker that ran one behaved as if it had been taken
//! over. A file each, so that a restart doesn't forget.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

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
            let text = fs::read_to_string(file.path())?;
            let (since, reason) = text.split_once('\n').unwrap_or(("0", &text));
            entries.insert(digest, Entry { since: since.parse().unwrap_or(0), reason: reason.trim_end().to_owned() });
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
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        let mut entries = self.lock();
        if entries.contains_key(&digest) {
            return Ok(());
        }
        entries.insert(digest, Entry { since, reason: reason.to_owned() });
        let oldest = (entries.len() > MOST).then(|| entries.iter().min_by_key(|(_, entry)| entry.since));
        if let Some(Some((oldest, _))) = oldest {
            let oldest = *oldest;
            entries.remove(&oldest);
            fs::remove_file(self.path(&oldest))?;
        }
        drop(entries);
        let mut file = File::create(self.path(&digest))?;
        writeln!(file, "{since}\n{reason}")?;
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()
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
        assert!(reopened.release(&digest).unwrap());
        assert!(!reopened.release(&digest).unwrap());
        assert!(Quarantine::open(home.path()).unwrap().list().is_empty());
    }
}
