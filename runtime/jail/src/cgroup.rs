//! A cgroup for each worker: how much memory, CPU and how many processes it may have.
//!
//! Both versions are spoken, whichever the host has; of version 1 each controller where it is
//! mounted. All groups lie below the one that this process is in, so that what holds for the node
//! holds for its workers. Groups of a node that was killed are removed by the next one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};

/// Beginning of the name of a node's group.
const PREFIX: &str = "wasmbatch-";
/// Name of the leaf that a node itself moves to, so that its group can hand controllers on.
pub(crate) const LEAF: &str = "wasmbatch-node";
/// Length of time over which CPU time is shared out, microseconds; the kernel's default.
const PERIOD_MICROSECONDS: u64 = 100_000;
/// Smallest CPU time in a period that the kernel takes.
const LEAST_QUOTA_MICROSECONDS: u64 = 1_000;

/// One of the three things that are bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Memory, tmpfs and kernel memory included.
    Memory,
    /// CPU time.
    Cpu,
    /// Processes and threads.
    Pids,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    /// As the kernel calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }
}

/// Where groups for workers are made.
#[derive(Debug)]
pub struct CgroupRoot {
    hierarchies: BTreeMap<Controller, Hierarchy>,
    missing: BTreeMap<Controller, String>,
    next: AtomicU64,
}

#[derive(Debug, Clone)]
struct Hierarchy {
    version: Version,
    /// This node's own group in it.
    node: Arc<NodeGroup>,
}

/// A node's group; removed with its last holder.
#[derive(Debug)]
struct NodeGroup(PathBuf);

impl Drop for NodeGroup {
    fn drop(&mut self) {
        // It holds no process once all workers are gone; if it does, the next start removes it.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Which of the kernel's two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller.
    One,
    /// One hierarchy.
    Two,
}

/// A worker's group; removed when it is dropped, which must be after its process was reaped.
#[derive(Debug)]
pub struct Cgroup {
    folders: BTreeMap<Controller, (Version, PathBuf)>,
    roots: Vec<Arc<NodeGroup>>,
    set: Limits,
}

/// What a group was told, so that it isn't told again.
#[derive(Debug, Default)]
struct Limits {
    memory: Option<u64>,
    cpu: Option<u32>,
}

/// What a new process needs to begin in a group.
#[derive(Debug)]
pub struct CgroupEntry {
    born_in: Option<OwnedFd>,
    tasks: Vec<File>,
}

impl CgroupEntry {
    pub(crate) fn parts(&self) -> (Option<BorrowedFd<'_>>, Vec<BorrowedFd<'_>>) {
        (self.born_in.as_ref().map(OwnedFd::as_fd), self.tasks.iter().map(File::as_fd).collect())
    }
}

impl CgroupRoot {
    /// Finds what this host has and makes this node's own groups in it. Never fails: what isn't
    /// there has a reason in [`state`](Self::state).
    pub fn open() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self::find(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
    }

    fn find(mounts: &str, memberships: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let (mut hierarchies, mut missing) = (BTreeMap::new(), BTreeMap::new());
        let mut second = None;
        for controller in Controller::ALL {
            let found = match own_group(mounts, memberships, controller.name()) {
                Some(own) => make_node_group(&own, &name).map(|node| Hierarchy { version: Version::One, node }),
                None => second
                    .get_or_insert_with(|| version_two(mounts, memberships, &name).map_err(|error| error.to_string()))
                    .clone()
                    .map_err(io::Error::other)
                    .and_then(|node| has_controller(&node.0, controller).map(|()| node))
                    .map(|node| Hierarchy { version: Version::Two, node }),
            };
            match found {
                Ok(hierarchy) => drop(hierarchies.insert(controller, hierarchy)),
                Err(error) => drop(missing.insert(controller, error.to_string())),
            }
        }
        Self { hierarchies, missing, next: AtomicU64::new(1) }
    }

    /// The version by which a controller is there, or why it isn't.
    pub fn state(&self, controller: Controller) -> Result<Version, &str> {
        match self.hierarchies.get(&controller) {
            Some(hierarchy) => Ok(hierarchy.version),
            None => Err(self.missing.get(&controller).map_or("not found", String::as_str)),
        }
    }

    /// Whether there is anything to make groups of.
    pub fn is_empty(&self) -> bool {
        self.hierarchies.is_empty()
    }

    /// Makes a worker's group, without bounds yet except for so many processes and threads.
    ///
    /// # Errors
    /// Those of mkdir(2), and those of the kernel's cgroup files.
    pub fn create(&self, most_processes: u32) -> io::Result<Cgroup> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut group = Cgroup { folders: BTreeMap::new(), roots: Vec::new(), set: Limits::default() };
        for (controller, Hierarchy { version, node }) in &self.hierarchies {
            let folder = node.0.join(number.to_string());
            match fs::create_dir(&folder) {
                // Version 2 has one folder for all of them, version 1 may have.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && group.has_folder(&folder) => {}
                made => made?,
            }
            group.folders.insert(*controller, (*version, folder));
            group.roots.push(Arc::clone(node));
        }
        if let Some((_, folder)) = group.folders.get(&Controller::Pids) {
            fs::write(folder.join("pids.max"), most_processes.to_string())?;
        }
        Ok(group)
    }
}

impl Cgroup {
    fn has_folder(&self, folder: &Path) -> bool {
        self.folders.values().any(|(_, present)| present == folder)
    }

    fn folder(&self, controller: Controller) -> Option<(Version, &Path)> {
        self.folders.get(&controller).map(|(version, folder)| (*version, folder.as_path()))
    }

    /// What a process needs to begin in this group.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn entry(&self) -> io::Result<CgroupEntry> {
        let mut entry = CgroupEntry { born_in: None, tasks: Vec::new() };
        let mut folders: Vec<_> = self.folders.values().collect();
        folders.sort_by_key(|(_, folder)| folder);
        folders.dedup();
        for (version, folder) in folders {
            match version {
                Version::One => entry.tasks.push(OpenOptions::new().write(true).open(folder.join("tasks"))?),
                Version::Two => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    entry.born_in = Some(rustix::fs::open(folder, flags, Mode::empty())?);
                }
            }
        }
        Ok(entry)
    }

    /// Bounds memory; swap counts as memory. Costs nothing when that is the bound already.
    ///
    /// # Errors
    /// More is in use and can't be given back, or those of the kernel's files.
    pub fn limit_memory(&mut self, bytes: u64) -> io::Result<()> {
        let before = self.set.memory;
        let Some((version, folder)) = self.folder(Controller::Memory) else { return Ok(()) };
        if before == Some(bytes) {
            return Ok(());
        }
        match version {
            Version::One => limit_memory_one(folder, bytes, before)?,
            Version::Two => {
                write_if_there(&folder.join("memory.swap.max"), "0")?;
                fs::write(folder.join("memory.max"), bytes.to_string())?;
                write_if_there(&folder.join("memory.oom.group"), "1")?;
            }
        }
        self.set.memory = Some(bytes);
        Ok(())
    }

    /// Bounds CPU time, in thousandths of a CPU. Costs nothing when that is the bound already.
    ///
    /// # Errors
    /// Those of the kernel's files.
    pub fn limit_cpu(&mut self, thousandths: u32) -> io::Result<()> {
        if self.set.cpu == Some(thousandths) {
            return Ok(());
        }
        let Some((version, folder)) = self.folder(Controller::Cpu) else { return Ok(()) };
        let quota = (u64::from(thousandths) * PERIOD_MICROSECONDS / 1000).max(LEAST_QUOTA_MICROSECONDS);
        match version {
            Version::One => {
                fs::write(folder.join("cpu.cfs_period_us"), PERIOD_MICROSECONDS.to_string())?;
                fs::write(folder.join("cpu.cfs_quota_us"), quota.to_string())?;
            }
            Version::Two => fs::write(folder.join("cpu.max"), format!("{quota} {PERIOD_MICROSECONDS}"))?,
        }
        self.set.cpu = Some(thousandths);
        Ok(())
    }

    /// Lets everybody else go first where CPU time is short.
    ///
    /// # Errors
    /// Those of the kernel's files.
    pub fn yield_cpu(&self) -> io::Result<()> {
        match self.folder(Controller::Cpu) {
            Some((Version::One, folder)) => fs::write(folder.join("cpu.shares"), "64"),
            Some((Version::Two, folder)) => fs::write(folder.join("cpu.weight"), "6"),
            None => Ok(()),
        }
    }

    /// How many processes of this group the kernel has killed for want of memory.
    pub fn memory_kills(&self) -> u64 {
        let (file, key) = match self.folder(Controller::Memory) {
            Some((Version::One, folder)) => (folder.join("memory.oom_control"), "oom_kill "),
            Some((Version::Two, folder)) => (folder.join("memory.events"), "oom_kill "),
            None => return 0,
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        let number = text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
        number.unwrap_or(0)
    }

    /// Most memory that this group ever used, bytes.
    pub fn memory_peak(&self) -> Option<u64> {
        let (version, folder) = self.folder(Controller::Memory)?;
        let file = match version {
            Version::One => "memory.max_usage_in_bytes",
            Version::Two => "memory.peak",
        };
        fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for (_, folder) in self.folders.values() {
            // The same folder may stand for several controllers; what stays the next start removes.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The bound with swap can't lie below the one without, so it moves first upwards and last downwards.
fn limit_memory_one(folder: &Path, bytes: u64, before: Option<u64>) -> io::Result<()> {
    let (plain, with_swap) = (folder.join("memory.limit_in_bytes"), folder.join("memory.memsw.limit_in_bytes"));
    let text = bytes.to_string();
    if before.is_some_and(|before| before < bytes) {
        write_if_there(&with_swap, &text)?;
        fs::write(plain, text)
    } else {
        fs::write(plain, &text)?;
        write_if_there(&with_swap, &text)
    }
}

fn write_if_there(file: &Path, text: &str) -> io::Result<()> {
    // Not fs::write: where nothing can be created, to offer it is answered with EACCES, not ENOENT.
    match OpenOptions::new().write(true).open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened?.write_all(text.as_bytes()),
    }
}

/// The folder of the group that this process is in: of a controller's hierarchy in version 1, or of
/// the one of version 2.
/// `controller` is its name, empty for version 2.
pub(crate) fn own_group(mounts: &str, memberships: &str, controller: &str) -> Option<PathBuf> {
    // Number, controllers, path. Version 2 names no controllers.
    let path = memberships.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let wanted = controllers.split(',').any(|named| named == controller);
        wanted.then_some(path)
    })?;
    mounts.lines().find_map(|line| {
        // Some fields, a dash, the type, the source, the options of the file system.
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        let fits = match controller {
            "" => kind == "cgroup2",
            controller => kind == "cgroup" && options.split(',').any(|option| option == controller),
        };
        let mut before = before.split(' ').skip(3);
        let (root, mounted_at) = (before.next()?, before.next()?);
        // Only a part of the hierarchy may be mounted.
        let below = Path::new(path).strip_prefix(root).ok()?;
        fits.then(|| Path::new(mounted_at).join(below))
    })
}

/// Makes a node's own group, and removes those that dead nodes left.
fn make_node_group(own: &Path, name: &str) -> io::Result<Arc<NodeGroup>> {
    remove_left_over(own);
    let folder = own.join(name);
    match fs::create_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", own.display())))?,
    }
    Ok(Arc::new(NodeGroup(folder)))
}

fn remove_left_over(own: &Path) {
    let Ok(entries) = fs::read_dir(own) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let number = rest.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        let alive = |number: u32| Path::new(&format!("/proc/{number}")).exists();
        if number.is_some_and(|number| !alive(number)) {
            for worker in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                // A group that still holds a process stays, and is none of ours then.
                let _ = fs::remove_dir(worker.path());
            }
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Version 2 lets only groups without processes hand controllers on. So this process moves to a leaf
/// of its group, if nobody else is in that; otherwise the top of the hierarchy is tried, for which the
/// rule doesn't hold.
fn version_two(mounts: &str, memberships: &str, name: &str) -> io::Result<Arc<NodeGroup>> {
    let own = own_group(mounts, memberships, "").ok_or_else(|| io::Error::other("no cgroup file system is mounted"))?;
    let top = own_group(mounts, "0::/", "");
    // A node that is begun by one, or in place of one, finds itself in the leaf.
    let own = match own.parent() {
        Some(parent) if own.ends_with(LEAF) && top.as_ref().is_some_and(|top| parent.starts_with(top)) => {
            parent.to_owned()
        }
        _ => own,
    };
    match hand_on(&own).or_else(|_| make_way(&own)) {
        Ok(()) => make_handing_on(&own, name),
        Err(error) => {
            // What stands in the way at the top is no help: it is in the own group that it can be changed.
            let Some(top) = top.filter(|top| *top != own && hand_on(top).is_ok()) else { return Err(error) };
            make_handing_on(&top, name)
        }
    }
}

fn make_handing_on(parent: &Path, name: &str) -> io::Result<Arc<NodeGroup>> {
    let node = make_node_group(parent, name)?;
    hand_on(&node.0)?;
    Ok(node)
}

/// Hands all controllers that there are on to the groups below.
fn hand_on(group: &Path) -> io::Result<()> {
    let there = fs::read_to_string(group.join("cgroup.controllers"))?;
    let wanted = Controller::ALL.map(Controller::name);
    let wanted: Vec<String> =
        there.split_whitespace().filter(|n| wanted.contains(n)).map(|n| format!("+{n}")).collect();
    if wanted.is_empty() {
        return Err(io::Error::other(format!("{} has none of memory, cpu and pids", group.display())));
    }
    let control = group.join("cgroup.subtree_control");
    let named = |error: io::Error| {
        let why = if error.raw_os_error() == Some(libc::EBUSY) { ", its group has other processes" } else { "" };
        io::Error::new(error.kind(), format!("{}: {error}{why}", control.display()))
    };
    fs::write(&control, wanted.join(" ")).map_err(named)
}

/// Moves this process out of its group into a leaf, and hands on.
fn make_way(group: &Path) -> io::Result<()> {
    let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", group.display()));
    let leaf = group.join(LEAF);
    match fs::create_dir(&leaf) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(at)?,
    }
    fs::write(leaf.join("cgroup.procs"), "0").map_err(at)?;
    hand_on(group).inspect_err(|_| {
        // It was for nothing. The leaf stays if it can't be left or another node is in it.
        let _ = fs::write(group.join("cgroup.procs"), "0");
        let _ = fs::remove_dir(&leaf);
    })
}

fn has_controller(group: &Path, controller: Controller) -> io::Result<()> {
    let there = fs::read_to_string(group.join("cgroup.subtree_control"))?;
    if there.split_whitespace().any(|name| name == controller.name()) {
        return Ok(());
    }
    Err(io::Error::other(format!("the hierarchy of version 2 has no {} to hand on", controller.name())))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::namespace::{NamespaceKind, Namespaces};
    use crate::spawn::{ProcessEnd, Spawner, WorkerCommand};

    const MOUNTS: &str = "\
22 1 0:5 / /dev rw,relatime - devtmpfs devtmpfs rw
33 24 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
34 24 0:29 /outer /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 24 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
    const MEMBERSHIPS: &str = "4:memory:/a/b\n2:cpu,cpuacct:/outer/inner\n0::/user.slice/x";

    #[test]
    fn the_own_group_is_found_where_it_is_mounted() {
        let of = |controller| own_group(MOUNTS, MEMBERSHIPS, controller);
        assert_eq!(of("memory").unwrap(), Path::new("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(of("cpu").unwrap(), Path::new("/sys/fs/cgroup/cpu/inner"));
        assert_eq!(of("pids"), None);
        assert_eq!(of("").unwrap(), Path::new("/sys/fs/cgroup/unified/user.slice/x"));
    }

    /// Runs a shell script in a group of its own.
    fn run_in(group: &Cgroup, script: &str) -> ProcessEnd {
        let spawner = Spawner::start().unwrap();
        let command = WorkerCommand {
            command: ["/bin/sh", "-c", script].iter().map(OsString::from).collect(),
            descriptors: Vec::new(),
            // With a namespace of processes the shell's own children end with it.
            namespaces: Namespaces { kind: NamespaceKind::of_this_host().0, host_network: true },
            cgroup: Some(group.entry().unwrap()),
        };
        spawner.spawn(command).unwrap().wait().unwrap()
    }

    /// Says what this host can't show, so that nobody takes it for shown.
    fn has(root: &CgroupRoot, controller: Controller) -> bool {
        let there = root.state(controller).is_ok();
        if !there {
            eprintln!("not shown on this host: {} ({:?})", controller.name(), root.state(controller));
        }
        there
    }

    #[test]
    fn a_group_bounds_what_is_in_it_and_goes() {
        let root = CgroupRoot::open();
        let mut group = root.create(16).unwrap();
        let folders: Vec<PathBuf> = group.folders.values().map(|(_, folder)| folder.clone()).collect();
        group.limit_memory(32 << 20).unwrap();
        group.limit_cpu(250).unwrap();
        group.yield_cpu().unwrap();
        assert_eq!(run_in(&group, "true"), ProcessEnd::Exited(0));
        if has(&root, Controller::Memory) {
            // tail keeps a line until its end, which never comes.
            let hungry = "head -c 200000000 /dev/zero | tail -n 1 >/dev/null || exit 9";
            // Version 2 ends the whole group, version 1 the hungriest of it.
            let end = run_in(&group, hungry);
            assert!(matches!(end, ProcessEnd::Exited(9) | ProcessEnd::Signalled(9)), "{end:?}");
            assert!(group.memory_kills() > 0);
            assert!(group.memory_peak().is_none_or(|peak| (16 << 20..=32 << 20).contains(&peak)));
            group.limit_memory(512 << 20).unwrap();
            assert_eq!(run_in(&group, "head -c 50000000 /dev/zero | tail -n 1 >/dev/null"), ProcessEnd::Exited(0));
            group.limit_memory(64 << 20).unwrap();
        }
        if has(&root, Controller::Pids) {
            let many = "i=0; while [ $i -lt 40 ]; do sleep 1 & i=$((i+1)); done; wait";
            assert_ne!(run_in(&group, many), ProcessEnd::Exited(0));
        }
        if has(&root, Controller::Cpu) {
            let spawner = Spawner::start().unwrap();
            let command = WorkerCommand {
                command: ["/bin/sh", "-c", "while :; do :; done"].iter().map(OsString::from).collect(),
                descriptors: Vec::new(),
                namespaces: Namespaces::default(),
                cgroup: Some(group.entry().unwrap()),
            };
            let begun = std::time::Instant::now();
            let mut process = spawner.spawn(command).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(800));
            process.killer().kill();
            process.wait().unwrap();
            let (used, passed) = (process.cpu_time().unwrap(), begun.elapsed());
            // A quarter, and one period more.
            assert!(used <= passed / 4 + std::time::Duration::from_millis(100), "{used:?} of {passed:?}");
        }
        drop(group);
        drop(root);
        for folder in folders {
            assert!(!folder.exists() && !folder.parent().unwrap().exists(), "{}", folder.display());
        }
    }

    #[test]
    fn a_node_that_is_begun_in_the_leaf_nests_no_deeper() {
        let folder = |root: &CgroupRoot| {
            let (version, node) = root.hierarchies.get(&Controller::Pids).map(|h| (h.version, &h.node.0))?;
            (version == Version::Two).then(|| node.parent().unwrap().to_owned())
        };
        let first = CgroupRoot::open();
        let Some(expected) = folder(&first) else { return };
        drop(first);
        for _ in 0..3 {
            assert_eq!(folder(&CgroupRoot::open()), Some(expected.clone()));
        }
    }

    #[test]
    fn what_is_not_there_is_not_written() {
        let CgroupRoot { hierarchies, .. } = CgroupRoot::open();
        for Hierarchy { node, .. } in hierarchies.values() {
            write_if_there(&node.0.join("memory.nosuch"), "1").unwrap();
        }
    }

    #[test]
    fn what_a_host_lacks_has_a_reason() {
        let root = CgroupRoot::find("", "");
        assert!(root.is_empty());
        for controller in Controller::ALL {
            assert_eq!(root.state(controller), Err("no cgroup file system is mounted"));
        }
    }
}
