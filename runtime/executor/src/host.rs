//! What this host gives for a worker's jail, found out once, and the beginning of a worker in it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use wasmbatch_jail::cgroup::Version;
use wasmbatch_jail::enclose::WALLS;
use wasmbatch_jail::namespace;
use wasmbatch_jail::{
    Cgroup, CgroupRoot, Controller, Disk, NamespaceKind, Namespaces, Scratch, ScratchRoot, Spawner, WorkerCommand,
    WorkerProcess, grant,
};

use crate::frame::{BornInto, Purpose};
use crate::spec::{NetworkAccess, ScratchLimits, Wall};
use crate::worker::WorkerKind;

/// Workers and compilers at once, at most.
const MOST_IDENTITIES: u32 = 8192;
/// Processes and threads of a worker; a compiler has one for each CPU.
const MOST_PROCESSES: u32 = 64;

/// This host, as workers meet it.
#[derive(Debug)]
pub(crate) struct Host {
    spawner: Spawner,
    command: Vec<OsString>,
    namespaces: NamespaceKind,
    /// Why there are no namespaces.
    no_namespaces: Option<String>,
    cgroups: CgroupRoot,
    /// Users of workers' own, where this process may give them.
    identities: Option<Arc<Identities>>,
    scratch: ScratchRoot,
    scratch_path: PathBuf,
}

/// A worker that was begun, with what has to outlive it. In this order: the process is killed and
/// reaped before what it used is taken apart.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) process: WorkerProcess,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) scratch: Option<ScratchFolder>,
    pub(crate) identity: Option<Identity>,
}

/// Where a worker's scratch folder is.
#[derive(Debug)]
pub(crate) enum ScratchFolder {
    /// The worker mounts memory.
    Memory(ScratchLimits),
    /// A device.
    Disk(Disk),
    /// A folder without bounds, where nothing can be mounted.
    Folder(Scratch),
}

/// A host folder, opened.
#[derive(Debug)]
pub(crate) struct HostFolder {
    pub(crate) directory: OwnedFd,
    pub(crate) path: PathBuf,
    pub(crate) read_only: bool,
}

/// Why a worker can't be begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    /// The host can't give what the attempt wants.
    #[error("{0}")]
    Refused(String),
    /// Something failed.
    #[error("no worker can be begun: {0}")]
    Io(#[from] io::Error),
}

impl Host {
    pub(crate) fn new(command: Vec<OsString>, scratch_path: PathBuf, identity_base: u32) -> io::Result<Self> {
        let (namespaces, no_namespaces) = NamespaceKind::of_this_host();
        Ok(Self {
            spawner: Spawner::start()?,
            command,
            namespaces,
            no_namespaces,
            cgroups: CgroupRoot::open(),
            identities: may_become(namespaces, identity_base)
                .then(|| Arc::new(Identities { base: identity_base, taken: Mutex::default() })),
            scratch: ScratchRoot::open(&scratch_path)?,
            scratch_path,
        })
    }

    pub(crate) fn born_into(&self) -> BornInto {
        match self.namespaces {
            NamespaceKind::None => BornInto::Host,
            NamespaceKind::Privileged => BornInto::Privileged,
            NamespaceKind::Unprivileged => BornInto::Unprivileged,
        }
    }

    /// Begins a worker process of a kind, which isn't told yet what it is for. The socket is its
    /// descriptor 3.
    pub(crate) fn begin(&self, kind: &WorkerKind, socket: OwnedFd) -> Result<Begun, BeginError> {
        let identity = self.identities.as_ref().map(Identities::lease);
        let scratch = kind.scratch.map(|limits| self.scratch_folder(limits)).transpose()?;
        if let (Some(ScratchFolder::Folder(folder)), Some(identity)) = (&scratch, &identity) {
            folder.give_to(identity.id())?;
        }
        let cgroup = if self.cgroups.is_empty() { None } else { Some(self.cgroups.create(MOST_PROCESSES)?) };
        if kind.purpose == Purpose::Compile
            && let Some(cgroup) = &cgroup
        {
            cgroup.yield_cpu()?;
        }
        let command = WorkerCommand {
            command: self.command.clone(),
            descriptors: vec![socket],
            namespaces: Namespaces { kind: self.namespaces, host_network: kind.network == NetworkAccess::Host },
            cgroup: cgroup.as_ref().map(Cgroup::entry).transpose()?,
        };
        let process = self.spawner.spawn(command)?;
        Ok(Begun { process, cgroup, scratch, identity })
    }

    fn scratch_folder(&self, limits: ScratchLimits) -> Result<ScratchFolder, BeginError> {
        let ScratchLimits { bytes, inodes } = limits;
        if bytes > ScratchLimits::MOST_IN_MEMORY {
            let refused = |why: &str| {
                let text = format!("a scratch folder of {} GiB is not possible on this node: {why}", bytes >> 30);
                BeginError::Refused(text)
            };
            self.large_scratch().map_err(|why| refused(&why))?;
            let disk = Disk::create(&self.scratch_path, bytes, inodes);
            return disk.map(ScratchFolder::Disk).map_err(|error| refused(&error.to_string()));
        }
        match self.namespaces {
            NamespaceKind::None => Ok(ScratchFolder::Folder(self.scratch.create()?)),
            NamespaceKind::Privileged | NamespaceKind::Unprivileged => Ok(ScratchFolder::Memory(limits)),
        }
    }

    /// Opens host folders to a worker that is `identity`, as their owner.
    pub(crate) fn grant(&self, folders: Vec<HostFolder>, identity: Option<u32>) -> Result<Vec<HostFolder>, BeginError> {
        let (Some(identity), NamespaceKind::Privileged) = (identity, self.namespaces) else { return Ok(folders) };
        let granted = folders.into_iter().map(|HostFolder { directory, path, read_only }| {
            let directory = grant::grant(&directory, (identity, identity), read_only, grant::Programs::Refused)
                .map_err(|error| {
                    let path = path.display();
                    BeginError::Refused(format!("folder {path} cannot be shown to the job as its own: {error}"))
                })?;
            Ok(HostFolder { directory, path, read_only })
        });
        granted.collect()
    }

    /// The walls of this host: what the first worker told of its own, and what stands around it.
    pub(crate) fn walls(&self, told: &[(u8, Result<String, String>)]) -> Vec<Wall> {
        let namespaces = match &self.no_namespaces {
            Some(why) => Err(why.clone()),
            None if self.namespaces == NamespaceKind::Privileged => {
                Ok("network mount process ipc host name".to_owned())
            }
            None => Ok("user network mount process ipc host name".to_owned()),
        };
        let mut walls = vec![Wall { name: "namespaces", state: namespaces }];
        for (number, name) in WALLS.into_iter().enumerate() {
            let state = told.iter().find(|(told, _)| usize::from(*told) == number).map(|(_, state)| state.clone());
            let state = state.unwrap_or_else(|| Err("the worker says nothing of it".to_owned()));
            walls.push(Wall { name, state });
        }
        for controller in Controller::ALL {
            let name = match controller {
                Controller::Memory => "memory cgroup",
                Controller::Cpu => "cpu cgroup",
                Controller::Pids => "pids cgroup",
            };
            let state = match self.cgroups.state(controller) {
                Ok(Version::One) => Ok("cgroup v1".to_owned()),
                Ok(Version::Two) => Ok("cgroup v2".to_owned()),
                Err(why) => Err(why.to_owned()),
            };
            walls.push(Wall { name, state });
        }
        let quota = match self.namespaces {
            NamespaceKind::None => Err("nothing can be mounted".to_owned()),
            // Nothing that is asked for is left without a bound: what can't be bounded is refused.
            NamespaceKind::Privileged | NamespaceKind::Unprivileged => match self.large_scratch() {
                Ok(()) => Ok("file systems in memory and on disk".to_owned()),
                Err(why) => Ok(format!("file systems in memory; more than 1 GiB is refused: {why}")),
            },
        };
        walls.push(Wall { name: "scratch quota", state: quota });
        walls
    }

    /// Whether memory is bounded by cgroup; if not, a process's own bound has to do.
    pub(crate) fn bounds_memory(&self) -> bool {
        self.cgroups.state(Controller::Memory).is_ok()
    }

    /// Whether scratch folders larger than memory holds are possible, or why not.
    fn large_scratch(&self) -> Result<(), String> {
        match self.namespaces {
            // Root of a container that has other users than the host may not mount devices either.
            NamespaceKind::Privileged if self.identities.is_some() => Disk::possible(),
            NamespaceKind::None | NamespaceKind::Privileged | NamespaceKind::Unprivileged => {
                Err("the node may not mount devices".to_owned())
            }
        }
    }
}

/// Whether workers can be users from `base` on: this process is root, and those users exist where it
/// runs, which in a container they may not. In a user namespace of its own a worker has but one user.
fn may_become(namespaces: NamespaceKind, base: u32) -> bool {
    let last = base.saturating_add(MOST_IDENTITIES);
    namespaces != NamespaceKind::Unprivileged && namespace::is_root_of(base..=last)
}

/// Users that belong to nobody else on this host, one for each worker that lives.
#[derive(Debug)]
struct Identities {
    base: u32,
    taken: Mutex<BTreeSet<u32>>,
}

/// A user of a worker's own; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Identity {
    all: Arc<Identities>,
    number: u32,
}

impl Identities {
    fn lease(all: &Arc<Self>) -> Identity {
        let mut taken = all.taken.lock().expect("no holder of this lock panics");
        let number = (0..).find(|number| !taken.contains(number)).expect("there are fewer workers than numbers");
        taken.insert(number);
        Identity { all: Arc::clone(all), number }
    }
}

impl Identity {
    /// The user's and the group's number.
    pub(crate) fn id(&self) -> u32 {
        self.all.base.saturating_add(self.number)
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.all.taken.lock().expect("no holder of this lock panics").remove(&self.number);
    }
}
