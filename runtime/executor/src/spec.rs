//! What an executor is given and what it gives back.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use wasmbatch_core::{AttemptId, Digest, JobId, Report};

/// One attempt, complete in itself: nothing else is looked up to run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptSpec {
    /// Rides on every report.
    #[serde(with = "attempt_mirror")]
    pub attempt: AttemptId,
    /// What to run.
    pub program: Program,
    /// The whole argument vector, the program's name first.
    pub arguments: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub environment: Vec<(String, String)>,
    /// Bound on the linear memory of all instances together.
    pub memory_limit_bytes: u64,
    /// Folders beside the scratch folder.
    pub mounts: Vec<Mount>,
    /// Whether the attempt may only read its scratch folder, which then stays empty.
    pub read_only_root: bool,
    /// Most CPU time per wall time, in thousandths of a CPU; from 1.
    pub cpu_thousandths: u32,
    /// wasmtime fuel for the whole attempt; without it the program runs uninstrumented.
    pub fuel: Option<u64>,
    /// Whether the same program and input must give the same output and use the same fuel: virtual
    /// clocks, seeded random numbers, canonical NaNs. Wants [`fuel`](Self::fuel).
    pub deterministic: bool,
    /// CPU time after which the attempt is ended, in whole seconds of its worker process.
    pub cpu_limit: Option<Duration>,
    /// Bounds of the scratch folder and the empty folders together.
    pub scratch: ScratchLimits,
    /// What the attempt may reach of the network.
    pub network: NetworkAccess,
    /// Attempts of different domains never share a worker process.
    pub trust_domain: String,
    /// What only an image's container looks at.
    pub container: ContainerSettings,
}

/// What a job asks of the container that runs its image. A module has no use for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSettings {
    /// How many of the arguments behind the program's name are a pod's `command`: they stand in place
    /// of the image's own entrypoint, and its own Cmd is left out.
    pub entrypoint: Option<usize>,
    /// User or uid, and group or gid behind a colon; without it the image's.
    pub user: Option<String>,
    /// Whether it is a pod's, whose members have other names.
    pub pod: bool,
    /// Whether it fails rather than run as uid 0.
    pub must_not_be_root: bool,
    /// Whether it asks to be no container at all as far as rights go.
    pub privileged: bool,
    /// Whether a process of ours is its first one, which forwards signals and reaps.
    pub init_process: bool,
    /// Size of `/dev/shm`, bytes.
    pub shared_memory_bytes: Option<u64>,
    /// Swap beside its memory, bytes; without it none.
    pub swap_bytes: Option<u64>,
    /// How readily its memory is swapped out, 0 to 100.
    pub swappiness: Option<u8>,
    /// File systems in memory, which count as its memory.
    pub tmpfs: Vec<Tmpfs>,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Resource limits by their names as ulimit(1) knows them, such as `nofile`.
    pub ulimits: Vec<Ulimit>,
    /// GPUs that the scheduler counted for it.
    pub gpus: u32,
    /// From SIGTERM to SIGKILL.
    pub stop_timeout: Duration,
}

/// ECS's own default of `stopTimeout` `[API]`.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

impl Default for ContainerSettings {
    fn default() -> Self {
        Self {
            entrypoint: None,
            user: None,
            pod: false,
            must_not_be_root: false,
            privileged: false,
            init_process: false,
            shared_memory_bytes: None,
            swap_bytes: None,
            swappiness: None,
            tmpfs: Vec::new(),
            devices: Vec::new(),
            ulimits: Vec::new(),
            gpus: 0,
            stop_timeout: STOP_TIMEOUT,
        }
    }
}

impl ContainerSettings {
    /// What a module can't have of this, fit for a ResourceInitializationError; the rest means nothing to it.
    pub fn needs_of_a_module(&self) -> Option<String> {
        let Self { pod, user, privileged, devices, tmpfs, gpus, .. } = self;
        let what = match (pod, user) {
            (true, Some(_)) => "securityContext.runAsUser is",
            (true, None) if *privileged => "securityContext.privileged is",
            (false, _) if *privileged => "privileged is",
            (true | false, _) if !devices.is_empty() => "linuxParameters.devices are",
            (true | false, _) if !tmpfs.is_empty() => "linuxParameters.tmpfs is",
            (true | false, _) if *gpus > 0 => "a GPU for WebAssembly is",
            (true | false, _) => return None,
        };
        Some(format!("{what} not available on this node"))
    }
}

/// A file system in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// Absolute path in the container.
    pub container_path: String,
    /// Most bytes.
    pub bytes: u64,
    /// Mount options as mount(8) spells them.
    pub options: Vec<String>,
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Absolute path on the host.
    pub host_path: String,
    /// Absolute path in the container.
    pub container_path: String,
    /// Some of `r`, `w` and `m`.
    pub permissions: String,
}

/// One resource limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// As ulimit(1) knows it, such as `nofile`.
    pub name: String,
    /// What holds.
    pub soft: u64,
    /// What the process may raise it to.
    pub hard: u64,
}

impl AttemptSpec {
    /// The engine that the program has to be compiled for.
    pub fn profile(&self) -> EngineProfile {
        match (self.deterministic, self.fuel) {
            (true, _) => EngineProfile::Deterministic,
            (false, Some(_)) => EngineProfile::Fuel,
            (false, None) => EngineProfile::Plain,
        }
    }
}

/// How a program is compiled; each profile has an engine and a compiled cache of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EngineProfile {
    /// Uninstrumented.
    Plain,
    /// Counts fuel.
    Fuel,
    /// Counts fuel, and gives the same results everywhere.
    Deterministic,
}

impl EngineProfile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::Fuel, Self::Deterministic];
}

/// How much an attempt may keep in its scratch folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ScratchLimits {
    /// Bytes, holes of sparse files not counted.
    pub bytes: u64,
    /// Files and folders.
    pub inodes: u64,
}

impl ScratchLimits {
    /// The largest scratch folder that is kept in memory; a larger one is a file system on disk.
    pub const MOST_IN_MEMORY: u64 = 1 << 30;
    /// Files and folders for each GiB.
    pub const INODES_PER_GIB: u64 = 65_536;

    /// The limits of a scratch folder of so many GiB.
    pub fn of_gib(gib: u64) -> Self {
        Self { bytes: gib << 30, inodes: gib.saturating_mul(Self::INODES_PER_GIB) }
    }
}

impl Default for ScratchLimits {
    /// What a job gets that doesn't ask: 1 GiB and 65,536 inodes.
    fn default() -> Self {
        Self::of_gib(1)
    }
}

/// What an attempt may reach of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NetworkAccess {
    /// Nothing, not even loopback.
    None,
    /// What the node itself reaches.
    Host,
}

/// Where a program's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// Uploaded, `modules/sha256/<hex>` below the data folder, or pulled, `images/modules/<hex>`.
    Stored {
        /// SHA-256 of its bytes.
        #[serde(with = "digest_mirror")]
        digest: Digest,
    },
    /// A file of the node, below an allowed folder only.
    File {
        /// Absolute.
        path: PathBuf,
    },
    /// Whatever this reference turns out to be.
    Image {
        /// As the job definition has it.
        reference: String,
    },
}

/// A folder of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is there.
    pub source: MountSource,
    /// Where the guest sees it; absolute. `/` moves the scratch folder to `/tmp`.
    pub container_path: String,
    /// Whether the guest may only read.
    pub read_only: bool,
}

/// What a [`Mount`] shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A folder of the node, at or below an allowed one; absolute.
    Host(PathBuf),
    /// A new empty folder that ends with the attempt.
    Empty,
}

/// One of a guest's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Runs attempts.
pub trait Executor: Send + Sync {
    /// Begins an attempt and returns at once. At most one `Started` and exactly one `Ended` follow
    /// through the sink, the latter possibly before this returns.
    fn start(&self, spec: AttemptSpec);

    /// Ends an attempt by killing its worker. An attempt that isn't there, not yet or no longer, is
    /// left alone, so this may be repeated.
    fn stop(&self, attempt: AttemptId);

    /// Compiles a stored module into the cache if it isn't there, and blocks until that is done.
    /// Callers of the same digest share one compilation.
    ///
    /// # Errors
    /// See [`PrepareError`].
    fn prepare(&self, digest: Digest) -> Result<Prepared, PrepareError>;

    /// The walls around workers on this host, as the first worker and the pool found them.
    fn walls(&self) -> Vec<Wall> {
        Vec::new()
    }

    /// Modules that are not run any more, since a worker running them behaved as if it had been
    /// taken over.
    fn quarantined(&self) -> Vec<Quarantined> {
        Vec::new()
    }

    /// Lets a quarantined module run again; `false` when it isn't quarantined.
    ///
    /// # Errors
    /// The note on disk can't be removed.
    fn release(&self, _digest: Digest) -> std::io::Result<bool> {
        Ok(false)
    }

    /// Ends and reaps every worker; blocks until done. Attempts still running end as `Lost`, but for
    /// those that outlive this process: they are left alone. Nothing starts afterwards.
    fn shutdown(&self);

    /// Attempts that an earlier process began and that run still or have ended since.
    fn survivors(&self) -> Vec<Survivor> {
        Vec::new()
    }

    /// Takes over these survivors: each gets a `Started` if it ever ran, what it wrote since, and its
    /// `Ended`. What else survived is ended and removed. To be called once, before anything starts.
    fn adopt(&self, _survivors: Vec<Adopted>) {}

    /// The end of an attempt is kept for good: whatever could tell it again may go. Returns at once.
    fn settled(&self, _attempt: AttemptId) {}

    /// How many attempts would outlive this process now.
    fn surviving(&self) -> usize {
        0
    }

    /// The images of this node, where it runs any.
    fn images(&self) -> Option<&dyn Images> {
        None
    }
}

/// An attempt that outlived the process that began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survivor {
    /// Which one.
    pub attempt: AttemptId,
    /// When its program began to run, milliseconds of Unix time; `None` when it never did.
    pub started_at: Option<u64>,
}

/// A survivor that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    /// Which one.
    pub attempt: AttemptId,
    /// How many of its lines are recorded already; they are not told again.
    pub lines: u64,
}

/// The images of a node, as its owner sees to them.
pub trait Images: Send + Sync {
    /// All of them, by name.
    fn list(&self) -> Vec<ImageInfo>;

    /// Takes in every image of an archive: a tar of an OCI layout, or what `docker save` writes. `name`
    /// is for an image that the archive has no name for. Blocks.
    ///
    /// # Errors
    /// What is wrong with the archive or this node, fit for people.
    fn load(&self, archive: std::fs::File, name: Option<&str>) -> Result<Vec<ImageInfo>, ImageError>;

    /// Forgets a name, or an image by its digest; what nothing else needs goes from the disk. `false`
    /// when there is none.
    ///
    /// # Errors
    /// It is in use, or the disk fails.
    fn remove(&self, name: &str) -> Result<bool, ImageError>;
}

/// An image on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// What jobs call it; the digest where it has no name.
    pub name: String,
    /// Of its manifest.
    pub digest: Digest,
    /// Whether it came by `load` and stays until it is removed.
    pub loaded: bool,
    /// What its layers take on disk, bytes; those it shares with others count for each.
    pub size_bytes: u64,
    /// When an attempt last asked for it, milliseconds of Unix time.
    pub used_at: u64,
}

/// Why images can't be seen to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// What came is no image that can run here.
    #[error("{0}")]
    Rejected(String),
    /// An attempt runs it.
    #[error("image {0} is in use")]
    InUse(String),
    /// The node is at fault.
    #[error("the image store failed: {0}")]
    Store(String),
}

/// One wall around workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wall {
    /// Its name, such as `seccomp`.
    pub name: &'static str,
    /// What it is made of here, such as `cgroup v1`, or why it is missing.
    pub state: Result<String, String>,
}

/// A module that is not run any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Which one.
    pub digest: Digest,
    /// Since when, in milliseconds of Unix time.
    pub since: u64,
    /// What its worker did.
    pub reason: String,
}

/// Where an executor reports to. Called from its threads.
pub trait AttemptSink: Send + Sync {
    /// Something happened to an attempt. May block briefly.
    fn report(&self, report: Report);

    /// What a guest wrote, in order, all of it before the attempt's `Ended`. Blocking here holds
    /// back that guest alone. At most 64 KiB a call.
    fn output(&self, attempt: AttemptId, stream: OutputStream, bytes: &[u8]);
}

/// What kind of WebAssembly a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModuleKind {
    /// A core module, WASI preview 1.
    Module,
    /// A component, WASI 0.2 command.
    Component,
}

/// A module that can start at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    /// Core module or component.
    pub kind: ModuleKind,
    /// Size of the compiled form.
    pub compiled_bytes: u64,
    /// How long it took to compile; `None` when it was in the cache.
    pub compile_duration: Option<Duration>,
}

/// Why a module can't be made ready to start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// No module of this digest is stored.
    #[error("module {0} is not stored")]
    NotFound(Digest),
    /// The module itself is at fault; the text says how and is fit for its owner.
    #[error("{reason}")]
    Rejected {
        /// Fit for a `container.reason`.
        reason: String,
    },
    /// The node is at fault: its disk, its workers. The same module may do another time.
    #[error("the module could not be compiled: {reason}")]
    Unavailable {
        /// What failed.
        reason: String,
    },
    /// [`Executor::shutdown`] was called.
    #[error("the executor is shutting down")]
    ShuttingDown,
}

/// The core's identifiers are not serializable on purpose; this is their form in a spec.
mod attempt_mirror {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::{AttemptId, JobId};

    pub(super) fn serialize<S: Serializer>(id: &AttemptId, serializer: S) -> Result<S::Ok, S::Error> {
        let AttemptId { job, number, generation, member } = id;
        (job.to_bytes(), job.child_index(), number, generation, member).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AttemptId, D::Error> {
        let (job, child, number, generation, member) =
            <([u8; 16], Option<u32>, u32, u64, u32)>::deserialize(deserializer)?;
        let job = JobId::from_bytes(job);
        let job = child.map_or(job, |index| job.child(index));
        Ok(AttemptId { job, number, generation, member })
    }
}

mod digest_mirror {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        digest.as_bytes().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        Ok(Digest::from_bytes(<[u8; 32]>::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_some_settings_for_nothing_and_can_not_have_others() {
        let default = ContainerSettings::default;
        let device = Device { host_path: "/dev/a".into(), container_path: "/dev/a".into(), permissions: "r".into() };
        let tmpfs = Tmpfs { container_path: "/t".into(), bytes: 1, options: Vec::new() };
        let user = Some("0".to_owned());
        for (settings, expected) in [
            (ContainerSettings { privileged: true, ..default() }, "privileged is"),
            (ContainerSettings { devices: vec![device], ..default() }, "linuxParameters.devices are"),
            (ContainerSettings { tmpfs: vec![tmpfs], ..default() }, "linuxParameters.tmpfs is"),
            (ContainerSettings { gpus: 1, ..default() }, "a GPU for WebAssembly is"),
            (ContainerSettings { pod: true, privileged: true, ..default() }, "securityContext.privileged is"),
            (ContainerSettings { pod: true, user: user.clone(), ..default() }, "securityContext.runAsUser is"),
        ] {
            assert_eq!(settings.needs_of_a_module(), Some(format!("{expected} not available on this node")));
        }
        let harmless = ContainerSettings { user, init_process: true, swappiness: Some(1), ..default() };
        assert_eq!(harmless.needs_of_a_module(), None);
    }
}
