//! The folder of one container: what it was told, what it wrote, how it ended. It is all that a node
//! and its shims have in common, and it outlives both.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use serde::{Deserialize, Serialize};
use wasmbatch_core::{AttemptId, Digest};
use wasmbatch_executor::AttemptSpec;
use wasmbatch_jail::counters::ContainerGroup;

use crate::image::ImageConfig;

/// Largest order or status that is read, bytes.
const MOST_BYTES: u64 = 16 << 20;

/// A container's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContainerFolder(PathBuf);

/// Everything that a shim needs to run one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// What the job wants.
    pub(crate) spec: AttemptSpec,
    /// Digest of the image's manifest.
    pub(crate) image: [u8; 32],
    /// What the image says.
    pub(crate) config: ImageConfig,
    /// Folders of its layers, the topmost first.
    pub(crate) layers: Vec<PathBuf>,
    /// Whose the container's users are.
    pub(crate) users: Users,
    /// The device of the file system that changes go to.
    pub(crate) disk: Option<PathBuf>,
    /// The container runtime.
    pub(crate) runtime: PathBuf,
    /// Where it is counted; `None` where nothing is bounded.
    pub(crate) group: Option<Group>,
    /// Folders at or below which folders of the host may lie.
    pub(crate) allowed: Vec<PathBuf>,
    /// Names of the devices that the attempt was given of those that it asked for by number.
    pub(crate) gpus: Vec<String>,
    /// Where device specifications are.
    pub(crate) device_folders: Vec<PathBuf>,
    /// Processes and threads, at most.
    pub(crate) most_processes: u32,
}

/// Whose users the container's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Users {
    /// 65,536 of its own from `first`; files of images belong to those from `images`.
    Range {
        /// What its user 0 is to the host.
        first: u32,
        /// What an image's user 0 is on disk.
        images: u32,
    },
    /// The host's: the owner of the node allows it and the job asks for it.
    Host {
        /// What an image's user 0 is on disk.
        images: u32,
    },
    /// Those of the user namespace that an ordinary user's node makes for it.
    Inner {
        /// How many there are, from 0.
        count: u32,
    },
}

impl Users {
    /// Whether the shim needs a user namespace to be root of.
    pub(crate) fn is_inner(self) -> bool {
        match self {
            Self::Range { .. } | Self::Host { .. } => false,
            Self::Inner { .. } => true,
        }
    }
}

/// [`ContainerGroup`] as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    runtime_path: String,
    memory: Option<PathBuf>,
    cpu: Option<PathBuf>,
    io: Option<PathBuf>,
    processes: Option<PathBuf>,
}

impl From<ContainerGroup> for Group {
    fn from(group: ContainerGroup) -> Self {
        let ContainerGroup { runtime_path, memory, cpu, io, processes } = group;
        Self { runtime_path, memory, cpu, io, processes }
    }
}

impl From<Group> for ContainerGroup {
    fn from(group: Group) -> Self {
        let Group { runtime_path, memory, cpu, io, processes } = group;
        Self { runtime_path, memory, cpu, io, processes }
    }
}

/// What a shim says of its container. Replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// When the program began, milliseconds of Unix time.
    pub(crate) started_at: Option<u64>,
    /// How it ended; `None` while it runs.
    pub(crate) end: Option<End>,
    /// Whether what changes went to is as empty as it was.
    pub(crate) disk_is_clean: bool,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    /// Its program never ran.
    NotStarted {
        /// Why, for the job's owner.
        reason: String,
    },
    /// It ran, and was killed since it could not be kept.
    Failed {
        /// Why, for the job's owner.
        reason: String,
    },
    /// Its program ran.
    Ended {
        /// Exit code, or 128 and the signal.
        exit_code: u8,
        /// Whose doing it was.
        cause: Cause,
        /// Processes that the kernel killed for want of memory.
        memory_kills: u64,
        /// Whether it was asked to stop before.
        stopped: bool,
        /// What it used.
        usage: Used,
    },
}

/// Why a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    /// It ended by itself, or was asked to.
    Own,
    /// Its CPU time was up.
    CpuTime,
}

/// What a container used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) cpu_microseconds: u64,
    pub(crate) peak_memory_bytes: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
}

/// What a node tells a shim, a byte each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Some of the output was taken away.
    Consumed,
    /// Ask the program to stop, and kill it if it doesn't.
    Stop,
    /// Kill it.
    Kill,
}

impl Word {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Consumed => b'c',
            Self::Stop => b's',
            Self::Kill => b'k',
        }
    }

    pub(crate) fn of(byte: u8) -> Option<Self> {
        [Self::Consumed, Self::Stop, Self::Kill].into_iter().find(|word| word.byte() == byte)
    }
}

impl ContainerFolder {
    /// The name of an attempt's container: what a runtime takes as an id.
    pub(crate) fn name_of(attempt: AttemptId) -> String {
        let AttemptId { job, number, generation, member } = attempt;
        let index = job.child_index().map_or_else(String::new, |index| format!("_{index}"));
        format!("{}{index}.{member}-{number}-{generation}", job.whole())
    }

    pub(crate) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Makes the folder of a container, with its order and the pipes by which node and shim talk.
    pub(crate) fn create(containers: &Path, order: &Order) -> io::Result<Self> {
        let folder = Self(containers.join(Self::name_of(order.spec.attempt)));
        fs::create_dir(&folder.0)?;
        let made = folder.fill(order);
        if made.is_err() {
            // What can't be removed now is removed at the next start.
            let _ = folder.remove();
        }
        made.map(|()| folder)
    }

    fn fill(&self, order: &Order) -> io::Result<()> {
        for pipe in [self.words(), self.events()] {
            rustix::fs::mknodat(rustix::fs::CWD, pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        }
        fs::write(self.output(), b"")?;
        // Its room is taken now, so that a disk that is full later doesn't matter.
        fs::write(self.consumed(), [0; 16])?;
        self.write("order", order)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn name(&self) -> String {
        self.0.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub(crate) fn order(&self) -> io::Result<Order> {
        self.read("order")
    }

    pub(crate) fn status(&self) -> io::Result<Option<Status>> {
        match self.read("status") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    pub(crate) fn write_status(&self, status: &Status) -> io::Result<()> {
        self.write("status", status)
    }

    /// The pipe from the node to the shim.
    pub(crate) fn words(&self) -> PathBuf {
        self.0.join("words")
    }

    /// The pipe from the shim to the node: a byte whenever there is something new.
    pub(crate) fn events(&self) -> PathBuf {
        self.0.join("events")
    }

    /// What the container wrote.
    pub(crate) fn output(&self) -> PathBuf {
        self.0.join("output")
    }

    /// How much of that was taken away.
    pub(crate) fn consumed(&self) -> PathBuf {
        self.0.join("consumed")
    }

    /// What the shim itself has to say.
    pub(crate) fn shim_log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    /// The lock that a shim holds for as long as it lives; it has the shim's process number.
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Opens one of the pipes in both directions, so that it never ends and to open it never waits.
    pub(crate) fn open_pipe(path: &Path) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Takes the shim's lock; `None` while another has it.
    pub(crate) fn take_lock(&self) -> io::Result<Option<File>> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(self.lock())?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes all of it; what is gone already is fine.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Says that all that is left to do about it is to remove it.
    pub(crate) fn give_up(&self) -> io::Result<()> {
        fs::write(self.0.join("given-up"), b"")
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.0.join("given-up").exists()
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> io::Result<T> {
        let mut text = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(File::open(self.0.join(name))?, MOST_BYTES), &mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Whoever reads it sees all of it or what was there before.
    fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let new = self.0.join(format!("{name}.new"));
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        fs::rename(new, self.0.join(name))
    }
}

impl Order {
    /// Digest of the image's manifest.
    pub(crate) fn image_digest(&self) -> Digest {
        Digest::from_bytes(self.image)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use wasmbatch_core::JobId;
    use wasmbatch_executor::{ContainerSettings, NetworkAccess, Program, ScratchLimits};

    use super::*;

    pub(crate) fn order() -> Order {
        let job = JobId::from_bytes([7; 16]).child(3);
        Order {
            spec: AttemptSpec {
                attempt: AttemptId { job, number: 2, generation: 9, member: 1 },
                program: Program::Image { reference: "busybox".to_owned() },
                arguments: vec!["busybox".to_owned(), "true".to_owned()],
                environment: vec![("A".to_owned(), "1".to_owned())],
                memory_limit_bytes: 64 << 20,
                mounts: Vec::new(),
                read_only_root: false,
                cpu_thousandths: 250,
                fuel: None,
                deterministic: false,
                cpu_limit: Some(Duration::from_secs(3)),
                scratch: ScratchLimits::default(),
                network: NetworkAccess::None,
                trust_domain: "q//".to_owned(),
                container: ContainerSettings::default(),
            },
            image: [5; 32],
            config: ImageConfig { command: vec!["sh".to_owned()], ..ImageConfig::default() },
            layers: vec!["/layers/a".into()],
            users: Users::Range { first: 2_000_000_000, images: 1_900_065_536 },
            disk: None,
            runtime: "runc".into(),
            group: Some(ContainerGroup::of("x").into()),
            allowed: Vec::new(),
            gpus: Vec::new(),
            device_folders: Vec::new(),
            most_processes: 100,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let home = tempfile::tempdir().unwrap();
        let folder = ContainerFolder::create(home.path(), &order()).unwrap();
        assert_eq!(folder.name(), "07070707-0707-0707-0707-070707070707_3.1-2-9");
        assert_eq!(folder.order().unwrap(), order());
        assert_eq!(folder.status().unwrap(), None);
        let status = Status {
            started_at: Some(5),
            end: Some(End::Ended {
                exit_code: 137,
                cause: Cause::CpuTime,
                memory_kills: 1,
                stopped: true,
                usage: Used { cpu_microseconds: 1, ..Used::default() },
            }),
            disk_is_clean: false,
        };
        folder.write_status(&status).unwrap();
        assert_eq!(folder.status().unwrap(), Some(status));
        assert!(ContainerFolder::create(home.path(), &order()).is_err());
        let lock = folder.take_lock().unwrap();
        assert!(lock.is_some() && folder.take_lock().unwrap().is_none());
        drop(lock);
        assert!(folder.take_lock().unwrap().is_some());
        folder.remove().unwrap();
        assert!(!folder.path().exists());
        folder.remove().unwrap();
    }
}
