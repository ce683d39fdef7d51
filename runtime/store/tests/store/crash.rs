//! The disk as it is after a crash at each sync: what was committed is there, whole.

use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;
use wasmbatch_core::{Change, Counters, Digest, Module, ModuleName, Timestamp};
use wasmbatch_store::{Store, WriteError};

/// A disk that forgets what was not synced, and fails for good at one of its syncs.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    now: Vec<u8>,
    synced: Vec<u8>,
    syncs: usize,
    fails_at: Option<usize>,
}

impl Disk {
    fn after_crash(&self) -> Self {
        let synced = self.0.lock().unwrap().synced.clone();
        Self(Arc::new(Mutex::new(Contents { now: synced.clone(), synced, syncs: 0, fails_at: None })))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let contents = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let bytes = contents.now.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().now.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut contents = self.0.lock().unwrap();
        contents.syncs += 1;
        if contents.fails_at.is_some_and(|at| contents.syncs >= at) {
            return Err(io::Error::other("the disk is gone"));
        }
        contents.synced = contents.now.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut contents = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        contents.now[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

fn commit(store: &Store, number: u64) -> Result<(), WriteError> {
    store.write(|transaction| {
        let digest = Digest::from_bytes([0; 32]);
        let name = ModuleName::parse(&format!("m{number:04}")).unwrap();
        let uploaded_at = Timestamp::from_millis(i64::try_from(number).unwrap());
        transaction.put(&Change::PutModule(Module { name, digest, size_bytes: number, uploaded_at }))?;
        transaction.put(&Change::PutCounters(Counters { next_order: number, ..Counters::default() }))
    })
}

#[test]
fn a_crash_at_any_sync_loses_nothing_that_was_committed() {
    const COMMITS: u64 = 12;
    let disk = Disk::default();
    let store = Store::open_backend(disk.clone()).unwrap();
    // Creation is not the backend's to survive: a file is made under another name and then moved.
    let created = disk.0.lock().unwrap().syncs;
    (1..=COMMITS).for_each(|number| commit(&store, number).unwrap());
    let syncs = disk.0.lock().unwrap().syncs;
    drop(store);

    for fails_at in created + 1..=syncs {
        let disk = Disk::default();
        disk.0.lock().unwrap().fails_at = Some(fails_at);
        let store = Store::open_backend(disk.clone()).unwrap();
        let committed = (1..=COMMITS).take_while(|number| commit(&store, *number).is_ok()).count();
        assert!(committed < 12, "the disk failed on the way");
        drop(store);
        let store = Store::open_backend(disk.after_crash()).unwrap();
        let modules = store.snapshot().unwrap().modules(None, 1000).unwrap();
        // The commit under way may or may not have made it; those before it have.
        assert!((committed..=committed + 1).contains(&modules.len()), "{committed} at sync {fails_at}");
        for (module, number) in modules.iter().zip(1..) {
            assert_eq!(module.size_bytes, number, "commits are whole and in order");
        }
        commit(&store, 999).unwrap();
    }
}

#[test]
fn a_file_that_was_never_finished_does_not_stand_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wasmbatch.redb");
    std::fs::write(path.with_extension("new"), vec![0; 4096]).unwrap();
    let store = Store::open(&path).unwrap();
    commit(&store, 1).unwrap();
    drop(store);
    assert_eq!(Store::open(&path).unwrap().snapshot().unwrap().modules(None, 10).unwrap().len(), 1);
}
