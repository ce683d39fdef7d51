//! The cgroup of a container, which its runtime makes: where it will be, and what it has counted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::cgroup::{LEAF, own_group};

/// The group below which those of containers lie. It outlives the node, as they do.
const CONTAINERS: &str = "wasmbatch-containers";

/// How often a group that is still in use is tried to be removed.
const REMOVALS: u32 = 20;
/// Between two tries.
const REMOVAL_PAUSE: Duration = Duration::from_millis(1);

/// Where a container's counters are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerGroup {
    /// What a runtime is told: a path from the mounted top, or, of version 1, below the group in which
    /// the runtime itself is.
    pub runtime_path: String,
    /// Its folder with the memory counters.
    pub memory: Option<PathBuf>,
    /// Its folder with the CPU counters.
    pub cpu: Option<PathBuf>,
    /// Its folder with the I/O counters.
    pub io: Option<PathBuf>,
    /// Its folder with the process counters.
    pub processes: Option<PathBuf>,
}

impl ContainerGroup {
    /// The group that a container of this name gets when this process's child begins it. Nothing is
    /// made. Controllers that this process can't make groups of are missing.
    pub fn of(name: &str) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (mounts, memberships) = (read("/proc/self/mountinfo"), read("/proc/self/cgroup"));
        Self::find(&mounts, &memberships, name)
    }

    fn find(mounts: &str, memberships: &str, name: &str) -> Self {
        let relative = format!("{CONTAINERS}/{name}");
        let one = |controller| {
            let own = own_group(mounts, memberships, controller)?;
            may_make(&own).then(|| own.join(&relative))
        };
        let mut found = Self {
            memory: one("memory"),
            cpu: one("cpuacct"),
            io: one("blkio"),
            processes: one("pids"),
            runtime_path: relative.clone(),
        };
        if found.memory.is_none()
            && let Some((parent, shown)) = handing_parent(mounts, memberships)
        {
            let folder = parent.join(&relative);
            let has = |controller: &str| hands_on(&parent, controller).then(|| folder.clone());
            found.runtime_path = Path::new("/").join(shown).join(&relative).display().to_string();
            found.memory = has("memory");
            found.cpu = found.cpu.or_else(|| has("cpu"));
            // Runtimes hand on all that there is, which for this one nobody may have done so far.
            found.io = found.io.or_else(|| offers(&parent, "io").then(|| folder.clone()));
            found.processes = found.processes.or_else(|| has("pids"));
        }
        found
    }

    /// Whether its memory is counted by version 1.
    pub fn is_version_one(&self) -> bool {
        self.memory.is_some() && !self.runtime_path.starts_with('/')
    }

    /// How many of its processes the kernel has killed for want of memory.
    pub fn memory_kills(&self) -> u64 {
        let key = |file: &str| value_of(self.memory.as_deref(), file, "oom_kill");
        key("memory.events").or_else(|| key("memory.oom_control")).unwrap_or(0)
    }

    /// Most memory that it ever used, bytes.
    pub fn memory_peak(&self) -> Option<u64> {
        let number = |file: &str| number_of(self.memory.as_deref(), file);
        number("memory.peak").or_else(|| number("memory.max_usage_in_bytes"))
    }

    /// CPU time that all its processes took so far.
    pub fn cpu_time(&self) -> Option<Duration> {
        let folder = self.cpu.as_deref();
        let two = || value_of(folder, "cpu.stat", "usage_usec").map(Duration::from_micros);
        number_of(folder, "cpuacct.usage").map(Duration::from_nanos).or_else(two)
    }

    /// Bytes that were read from and written to devices.
    pub fn device_bytes(&self) -> (u64, u64) {
        let Some(folder) = self.io.as_deref() else { return (0, 0) };
        if let Ok(text) = fs::read_to_string(folder.join("io.stat")) {
            let sum = |key: &str| {
                let fields = text.split_whitespace().filter_map(|field| field.strip_prefix(key)?.parse::<u64>().ok());
                fields.fold(0, u64::saturating_add)
            };
            return (sum("rbytes="), sum("wbytes="));
        }
        let text = fs::read_to_string(folder.join("blkio.throttle.io_service_bytes")).unwrap_or_default();
        let sum = |word: &str| {
            let lines = text.lines().filter_map(|line| {
                let mut fields = line.split(' ').skip(1);
                (fields.next()? == word).then(|| fields.next()?.parse::<u64>().ok())?
            });
            lines.fold(0, u64::saturating_add)
        };
        (sum("Read"), sum("Write"))
    }

    /// Kills every process that is in it now.
    pub fn kill(&self) {
        for folder in self.folders() {
            // Version 2 has a file for this; those that are begun meanwhile are hit too.
            if fs::write(folder.join("cgroup.kill"), "1").is_ok() {
                continue;
            }
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            for process in text.lines().filter_map(|line| rustix::process::Pid::from_raw(line.parse().ok()?)) {
                // Gone is as good.
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
        }
    }

    /// Removes it from all hierarchies, as the process that had it made or a child of that; whether it
    /// is gone. Its processes must have ended.
    pub fn remove(&self) -> bool {
        let mut folders = groups_of(&self.runtime_path);
        folders.extend(self.folders().map(Path::to_owned));
        folders.iter().fold(true, |gone, folder| gone & is_removed(folder))
    }

    /// Removes the group of all containers where none has one any more, of this node's or another's.
    pub fn remove_common() {
        let Self { runtime_path, .. } = Self::of("");
        for folder in groups_of(&runtime_path) {
            // One that is in use stays, and one in which a group is about to be made.
            let lock = folder.parent().and_then(|parent| locked(parent, FlockOperation::NonBlockingLockExclusive, 1));
            if lock.is_some() {
                let _ = fs::remove_dir(folder);
            }
        }
    }

    /// Keeps the group of all containers from being removed by a node that ends, until dropped: while a
    /// runtime makes a group in it.
    pub fn keep_common(&self) -> Kept {
        let above = |folder: PathBuf| Some(folder.parent()?.parent()?.to_owned());
        let parents = groups_of(&self.runtime_path).into_iter().filter_map(above);
        Kept(parents.filter_map(|parent| locked(&parent, FlockOperation::NonBlockingLockShared, REMOVALS)).collect())
    }

    /// Whether no process is in it, or it isn't there.
    pub fn is_deserted(&self) -> bool {
        self.folders()
            .all(|folder| fs::read_to_string(folder.join("cgroup.procs")).map_or(true, |text| text.trim().is_empty()))
    }

    fn folders(&self) -> impl Iterator<Item = &Path> {
        [&self.memory, &self.cpu, &self.io, &self.processes].into_iter().flatten().map(PathBuf::as_path)
    }
}

/// See [`ContainerGroup::keep_common`].
#[derive(Debug)]
pub struct Kept(#[expect(dead_code, reason = "their locks matter")] Vec<File>);

/// Locks a group's folder. Anybody may hold such a lock, so nobody waits long for one.
fn locked(folder: &Path, operation: FlockOperation, tries: u32) -> Option<File> {
    let file = File::open(folder).ok()?;
    for attempt in 0..tries {
        if attempt > 0 {
            std::thread::sleep(REMOVAL_PAUSE);
        }
        if flock(&file, operation).is_ok() {
            return Some(file);
        }
    }
    None
}

/// Where a group of this path is in each hierarchy.
fn groups_of(runtime_path: &str) -> Vec<PathBuf> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (mounts, memberships) = (read("/proc/self/mountinfo"), read("/proc/self/cgroup"));
    if let Some(path) = runtime_path.strip_prefix('/') {
        return own_group(&mounts, "0::/", "").map(|top| top.join(path)).into_iter().collect();
    }
    let controllers = memberships.lines().filter_map(|line| line.split(':').nth(1)?.split(',').next());
    controllers.filter_map(|one| Some(own_group(&mounts, &memberships, one)?.join(runtime_path))).collect()
}

/// Removes a group. The kernel takes a moment to see that its last process is gone.
fn is_removed(folder: &Path) -> bool {
    for _ in 0..REMOVALS {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(REMOVAL_PAUSE);
            }
            Err(error) => return error.kind() == std::io::ErrorKind::NotFound,
            Ok(()) => return true,
        }
    }
    false
}

/// The group of version 2 that hands controllers on to containers' groups, and its path from the
/// mounted top: that of the node's own groups.
fn handing_parent(mounts: &str, memberships: &str) -> Option<(PathBuf, PathBuf)> {
    let top = own_group(mounts, "0::/", "")?;
    let own = own_group(mounts, memberships, "")?;
    let above = own.ends_with(LEAF).then(|| own.parent().map(Path::to_owned)).flatten();
    let candidates = [above, Some(own), Some(top.clone())];
    let parent = candidates.into_iter().flatten().find(|group| hands_on(group, "memory") && may_make(group))?;
    let shown = parent.strip_prefix(&top).ok()?.to_owned();
    Some((parent, shown))
}

fn hands_on(group: &Path, controller: &str) -> bool {
    names(&group.join("cgroup.subtree_control"), controller)
}

/// Whether a group could hand it on.
fn offers(group: &Path, controller: &str) -> bool {
    names(&group.join("cgroup.controllers"), controller)
}

fn names(file: &Path, controller: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().any(|name| name == controller)
}

/// Whether this process may make groups there.
fn may_make(group: &Path) -> bool {
    rustix::fs::access(group, rustix::fs::Access::WRITE_OK).is_ok()
}

fn number_of(folder: Option<&Path>, file: &str) -> Option<u64> {
    fs::read_to_string(folder?.join(file)).ok()?.trim().parse().ok()
}

fn value_of(folder: Option<&Path>, file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(folder?.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_ends_leaves_the_group_in_which_another_makes_one() {
        if !rustix::process::geteuid().is_root() {
            // Groups are root's, mostly; what is to be shown is the same for all.
            return;
        }
        let group = ContainerGroup::of("one");
        let common: Vec<PathBuf> =
            groups_of(&group.runtime_path).iter().filter_map(|folder| Some(folder.parent()?.to_owned())).collect();
        let kept = group.keep_common();
        for folder in &common {
            // It may be there.
            let _ = fs::create_dir(folder);
        }
        let there: Vec<&PathBuf> = common.iter().filter(|folder| folder.exists()).collect();
        ContainerGroup::remove_common();
        assert!(there.iter().all(|folder| folder.exists()));
        drop(kept);
        ContainerGroup::remove_common();
    }

    #[test]
    fn version_two_counts_what_is_handed_on_and_input_and_output_that_could_be() {
        let top = tempfile::tempdir().unwrap();
        let service = top.path().join("service");
        fs::create_dir_all(service.join(LEAF)).unwrap();
        fs::write(service.join("cgroup.controllers"), "cpu io memory pids\n").unwrap();
        fs::write(service.join("cgroup.subtree_control"), "cpu memory\n").unwrap();
        let mounts = format!("35 24 0:30 / {} rw,relatime - cgroup2 cgroup2 rw", top.path().display());
        let found = ContainerGroup::find(&mounts, &format!("0::/service/{LEAF}\n"), "one");
        let folder = service.join("wasmbatch-containers/one");
        let expected = ContainerGroup {
            runtime_path: "/service/wasmbatch-containers/one".to_owned(),
            memory: Some(folder.clone()),
            cpu: Some(folder.clone()),
            io: Some(folder),
            processes: None,
        };
        assert_eq!(found, expected);
        assert!(!found.is_version_one());
    }
}
