//! What containers get of the host for themselves and give back: ranges of users, devices, disks.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wasmbatch_jail::{Disk, mounts};

use crate::oci::RANGE_SIZE;

/// Containers at once, at most: as many ranges as there are below the numbers that some programs take
/// for negative.
pub(crate) const MOST_CONTAINERS: u32 = 2048;
/// Disks that are kept for the next container.
const MOST_IDLE: usize = 32;
/// How long they are kept.
const KEPT: Duration = Duration::from_secs(10);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under these locks is one step: there is nothing half done to be seen.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ranges of users that belong to nobody else on this host.
#[derive(Debug)]
pub(crate) struct Ranges {
    base: u32,
    taken: Mutex<BTreeSet<u32>>,
}

/// A range; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Range {
    all: Arc<Ranges>,
    number: u32,
}

impl Ranges {
    pub(crate) fn new(base: u32) -> Arc<Self> {
        Arc::new(Self { base, taken: Mutex::default() })
    }

    pub(crate) fn lease(self: &Arc<Self>) -> Option<Range> {
        let mut taken = lock(&self.taken);
        let number = (0..MOST_CONTAINERS).find(|number| !taken.contains(number))?;
        taken.insert(number);
        Some(Range { all: Arc::clone(self), number })
    }

    /// Takes the range that a container has had since before this process.
    pub(crate) fn take(self: &Arc<Self>, first: u32) -> Option<Range> {
        let offset = first.checked_sub(self.base)?;
        let number = offset / RANGE_SIZE;
        let fits = offset % RANGE_SIZE == 0 && lock(&self.taken).insert(number);
        fits.then(|| Range { all: Arc::clone(self), number })
    }
}

impl Range {
    /// What its user 0 is to the host.
    pub(crate) fn first(&self) -> u32 {
        self.all.base + self.number * RANGE_SIZE
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        lock(&self.all.taken).remove(&self.number);
    }
}

/// Devices that containers ask for by number.
#[derive(Debug)]
pub(crate) struct Devices {
    free: Mutex<BTreeSet<String>>,
}

/// Some devices; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Given {
    all: Arc<Devices>,
    pub(crate) names: Vec<String>,
}

impl Devices {
    pub(crate) fn new(names: impl IntoIterator<Item = String>) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(names.into_iter().collect()) })
    }

    pub(crate) fn lease(self: &Arc<Self>, count: usize) -> Option<Given> {
        let mut free = lock(&self.free);
        if free.len() < count {
            return None;
        }
        let names = (0..count).filter_map(|_| free.pop_first()).collect();
        Some(Given { all: Arc::clone(self), names })
    }

    /// Takes those that a container has had since before this process.
    pub(crate) fn take(self: &Arc<Self>, names: &[String]) -> Given {
        let mut free = lock(&self.free);
        let names = names.iter().filter(|name| free.remove(*name)).cloned().collect();
        Given { all: Arc::clone(self), names }
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        lock(&self.all.free).extend(self.names.drain(..));
    }
}

/// Disks for what containers change, made when they are wanted and kept for a moment.
#[derive(Debug)]
pub(crate) struct Disks {
    folder: PathBuf,
    idle: Mutex<Idle>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Idle {
    by_size: BTreeMap<(u64, u64), Vec<(Instant, LentDisk)>>,
    closed: bool,
}

/// A disk of a container's own.
#[derive(Debug)]
pub(crate) struct LentDisk {
    disk: Disk,
    /// Keeps the file system known to the kernel, so that to mount it again costs little.
    _mounted: OwnedFd,
    size: (u64, u64),
}

impl LentDisk {
    pub(crate) fn path(&self) -> &Path {
        self.disk.path()
    }

    /// The device, for somebody else to hold it too.
    pub(crate) fn device(&self) -> io::Result<OwnedFd> {
        self.disk.device().try_clone_to_owned()
    }
}

impl Disks {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, idle: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) fn lend(&self, bytes: u64, inodes: u64) -> io::Result<LentDisk> {
        let size = (bytes, inodes);
        if let Some((_, disk)) = lock(&self.idle).by_size.get_mut(&size).and_then(Vec::pop) {
            return Ok(disk);
        }
        let disk = Disk::create(&self.folder, bytes, inodes)?;
        let mounted = mounts::device(disk.path())?;
        Ok(LentDisk { disk, _mounted: mounted, size })
    }

    /// Takes a disk back that is as empty as it was.
    pub(crate) fn give_back(&self, disk: LentDisk) {
        let mut idle = lock(&self.idle);
        let kept: usize = idle.by_size.values().map(Vec::len).sum();
        if kept < MOST_IDLE && !idle.closed {
            idle.by_size.entry(disk.size).or_default().push((Instant::now(), disk));
            self.changed.notify_all();
        }
    }

    /// Lets go of disks that nobody wanted for a while, until closed. Sleeps while there are none.
    pub(crate) fn expire(&self) {
        let mut idle = lock(&self.idle);
        while !idle.closed {
            let now = Instant::now();
            let mut old = Vec::new();
            for disks in idle.by_size.values_mut() {
                let fresh = |(since, _): &(Instant, LentDisk)| now.duration_since(*since) < KEPT;
                old.extend(disks.extract_if(.., |disk| !fresh(disk)));
            }
            idle.by_size.retain(|_, disks| !disks.is_empty());
            if !old.is_empty() {
                drop(idle);
                // Unmounting takes its time; nobody has to wait for it.
                drop(old);
                idle = lock(&self.idle);
                continue;
            }
            idle = if idle.by_size.is_empty() {
                self.changed.wait(idle).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.changed.wait_timeout(idle, KEPT).unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }

    /// Ends [`Disks::expire`] and lets go of all of them.
    pub(crate) fn close(&self) {
        let mut idle = lock(&self.idle);
        idle.closed = true;
        let disks = std::mem::take(&mut idle.by_size);
        self.changed.notify_all();
        drop(idle);
        drop(disks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lent_twice() {
        let ranges = Ranges::new(2_000_000_000);
        let (first, second) = (ranges.lease().unwrap(), ranges.lease().unwrap());
        assert_eq!((first.first(), second.first()), (2_000_000_000, 2_000_065_536));
        assert!(ranges.take(2_000_065_536).is_none() && ranges.take(2_000_065_537).is_none());
        let third = ranges.take(2_000_131_072).unwrap();
        drop(first);
        assert_eq!(ranges.lease().unwrap().first(), 2_000_000_000);
        drop((second, third));

        let devices = Devices::new(["a", "b", "c"].map(str::to_owned));
        let had = devices.take(&["b".to_owned(), "gone".to_owned()]);
        let two = devices.lease(2).unwrap();
        assert_eq!((&*had.names, &*two.names), (&["b".to_owned()][..], &["a".to_owned(), "c".to_owned()][..]));
        assert!(devices.lease(1).is_none());
        drop(had);
        assert_eq!(devices.lease(1).unwrap().names, ["b"]);
    }
}
