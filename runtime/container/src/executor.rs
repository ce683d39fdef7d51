//! Attempts whose program is an image; all others go to the executor behind.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use wasmbatch_core::{AttemptEvent, AttemptId, Digest, Ending, Report, Usage};
use wasmbatch_executor::{
    Adopted, AttemptSink, AttemptSpec, Executor, Images, PrepareError, Prepared, Program, Quarantined, Survivor, Wall,
    matchable,
};
use wasmbatch_jail::counters::ContainerGroup;
use wasmbatch_jail::{Disk, NamespaceKind, namespace};

use crate::attempt::{self, Conversation};
use crate::folder::ContainerFolder;
use crate::image::{self, ImageStore, PullError, Resolved, Ticket};
use crate::leases::{Devices, Disks, MOST_CONTAINERS, Ranges};
use crate::oci::RANGE_SIZE;
use crate::runtime::RuntimeInfo;

/// How images are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The node's data folder; containers have their folders in `containers/`, images are in `images/`.
    pub data_dir: PathBuf,
    /// What to execute as a container's shim: our own binary and the hidden subcommand. The container's
    /// folder is added.
    pub shim_command: Vec<OsString>,
    /// The container runtime, or why there is none.
    pub runtime: Result<RuntimeInfo, String>,
    /// Folders at or below which mount sources may lie.
    pub allowed_mounts: Vec<PathBuf>,
    /// Devices of the host that jobs may ask for by their paths.
    pub allowed_devices: Vec<PathBuf>,
    /// Whether jobs may ask for `privileged`.
    pub allow_privileged: bool,
    /// Whether containers are refused where the host can't bound what they take.
    pub require_limits: bool,
    /// Processes and threads of a container, from 1.
    pub most_processes: u32,
    /// First of the user and group numbers that containers get, where this process may give them:
    /// 2,048 ranges of 65,536 from there belong to nobody else on this host.
    pub container_uid_base: u32,
    /// Where device specifications are.
    pub device_folders: Vec<PathBuf>,
    /// Names of the devices that stand for GPUs.
    pub gpus: Vec<String>,
    /// Where images come from and how they are kept.
    pub images: image::Options,
}

/// Beyond the users of workers and of images.
pub const CONTAINER_UID_BASE: u32 = 2_000_000_000;

/// Why images can't be run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder can't be used.
    #[error("the folder {path} cannot be used")]
    DataFolder {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The image store can't be opened.
    #[error(transparent)]
    Images(#[from] image::OpenError),
}

/// Runs images in containers, and everything else in the executor behind it.
pub struct Containers {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Containers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Containers").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

/// What the threads of all containers share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) sink: Arc<dyn AttemptSink>,
    pub(crate) images: ImageStore,
    behind: Arc<dyn Executor>,
    /// Where containers' folders are.
    pub(crate) folder: PathBuf,
    /// Users of containers' own, where this process may give them.
    pub(crate) ranges: Option<Arc<Ranges>>,
    /// Disks of containers' own, or why there are none.
    pub(crate) disks: Result<Disks, String>,
    pub(crate) gpus: Arc<Devices>,
    attempts: Mutex<Attempts>,
    /// Attempts whose end is told and not known to be kept, each with who waits for that.
    told: Mutex<HashMap<AttemptId, SyncSender<()>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Readable once this process ends: nobody writes to its other end.
    pub(crate) closing: OwnedFd,
    opener: Mutex<Option<OwnedFd>>,
}

#[derive(Default)]
struct Attempts {
    known: HashMap<AttemptId, Phase>,
    closing: bool,
}

/// How far an attempt is. Whoever takes one out reports its end.
enum Phase {
    /// Its image is looked for; dropping the ticket gives that up. `None` until there is one.
    Resolving(Option<Ticket>),
    /// It gets a container.
    Beginning {
        /// Whether it was asked to stop meanwhile.
        stop: bool,
    },
    /// It has a container.
    Running(Conversation),
}

impl Containers {
    /// Opens images and containers below the data folder. What an earlier process left is still there:
    /// see [`Executor::survivors`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(options: Options, behind: Arc<dyn Executor>, sink: Arc<dyn AttemptSink>) -> Result<Self, StartError> {
        let folder = options.data_dir.join("containers");
        let scratch = options.data_dir.join("scratch");
        let unusable = |path: &PathBuf| {
            let path = path.clone();
            move |source| StartError::DataFolder { path, source }
        };
        fs::create_dir_all(&folder).map_err(unusable(&folder))?;
        fs::create_dir_all(&scratch).map_err(unusable(&scratch))?;
        let images = ImageStore::open(options.images.clone())?;
        let (closing, opener) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|error| unusable(&folder)(error.into()))?;
        let base = options.container_uid_base;
        let last = base.saturating_add(MOST_CONTAINERS * RANGE_SIZE - 1);
        let privileged = NamespaceKind::of_this_host().0 == NamespaceKind::Privileged;
        let ranges = (privileged && namespace::is_root_of(base..=last)).then(|| Ranges::new(base));
        let disks = match &ranges {
            Some(_) => Disk::possible().map(|()| Disks::new(scratch)),
            None => Err("the node may not mount devices".to_owned()),
        };
        let shared = Arc::new(Shared {
            gpus: Devices::new(options.gpus.iter().cloned()),
            options,
            sink,
            images,
            behind,
            folder,
            ranges,
            disks,
            attempts: Mutex::default(),
            told: Mutex::default(),
            threads: Mutex::default(),
            closing,
            opener: Mutex::new(Some(opener)),
        });
        if shared.disks.is_ok() {
            let expiring = Arc::clone(&shared);
            // Without it disks are kept longer than they are wanted, and that is all.
            let _ = shared.spawn("disks", move || {
                if let Ok(disks) = &expiring.disks {
                    disks.expire();
                }
            });
        }
        Ok(Self { shared })
    }
}

impl Executor for Containers {
    fn start(&self, spec: AttemptSpec) {
        let shared = &self.shared;
        let Program::Image { reference } = &spec.program else {
            return shared.behind.start(spec);
        };
        if let Ok(digest) = reference.parse::<Digest>()
            && !shared.images.knows(&digest)
        {
            return shared.start_module(spec, digest);
        }
        let (attempt, reference) = (spec.attempt, reference.clone());
        if !shared.accept(attempt) {
            return;
        }
        let resolving = Arc::clone(shared);
        let ticket = shared.images.resolve(&reference, Box::new(move |resolved| resolving.resolved(spec, resolved)));
        shared.waiting_for(attempt, ticket);
    }

    fn stop(&self, attempt: AttemptId) {
        if !self.shared.stop(attempt) {
            self.shared.behind.stop(attempt);
        }
    }

    fn prepare(&self, digest: Digest) -> Result<Prepared, PrepareError> {
        self.shared.behind.prepare(digest)
    }

    fn walls(&self) -> Vec<Wall> {
        let mut walls = self.shared.behind.walls();
        walls.extend(self.shared.walls());
        walls
    }

    fn quarantined(&self) -> Vec<Quarantined> {
        self.shared.behind.quarantined()
    }

    fn release(&self, digest: Digest) -> io::Result<bool> {
        self.shared.behind.release(digest)
    }

    fn shutdown(&self) {
        self.shared.shutdown();
        self.shared.behind.shutdown();
    }

    fn survivors(&self) -> Vec<Survivor> {
        attempt::survivors(&self.shared.folder)
    }

    fn adopt(&self, survivors: Vec<Adopted>) {
        let wanted: HashMap<AttemptId, u64> = survivors.into_iter().map(|one| (one.attempt, one.lines)).collect();
        for folder in attempt::folders(&self.shared.folder) {
            let order = folder.order();
            let known = order.as_ref().ok().and_then(|order| Some((order, *wanted.get(&order.spec.attempt)?)));
            match known {
                Some((order, lines)) => self.shared.adopt(&folder, order, lines),
                None => self.shared.discard(folder),
            }
        }
    }

    fn surviving(&self) -> usize {
        let attempts = self.shared.attempts();
        attempts.known.values().filter(|phase| matches!(phase, Phase::Running(_))).count()
    }

    fn settled(&self, attempt: AttemptId) {
        if let Some(settled) = self.shared.told().remove(&attempt) {
            // Whoever waits has room for the one word that it waits for.
            let _ = settled.try_send(());
        }
    }

    fn images(&self) -> Option<&dyn Images> {
        Some(&self.shared.images)
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.shared.shutdown();
    }
}

impl Shared {
    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn report(&self, attempt: AttemptId, event: AttemptEvent) {
        self.sink.report(Report { attempt, event });
    }

    /// Begins a thread that is joined when the node ends.
    pub(crate) fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(1 << 20).spawn(work)?;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    fn accept(&self, attempt: AttemptId) -> bool {
        let mut attempts = self.attempts();
        if attempts.closing {
            drop(attempts);
            self.report(attempt, AttemptEvent::ended(Ending::Lost));
            return false;
        }
        if attempts.known.contains_key(&attempt) {
            tracing::warn!(%attempt, "an attempt was started twice");
            return false;
        }
        attempts.known.insert(attempt, Phase::Resolving(None));
        true
    }

    /// The answer may have come already; then there is nothing to wait for.
    fn waiting_for(&self, attempt: AttemptId, ticket: Ticket) {
        let mut attempts = self.attempts();
        match attempts.known.get_mut(&attempt) {
            Some(Phase::Resolving(waiting)) => *waiting = Some(ticket),
            Some(Phase::Beginning { .. } | Phase::Running(_)) | None => {
                drop(attempts);
                drop(ticket);
            }
        }
    }

    /// The image store has an answer.
    fn resolved(self: &Arc<Self>, spec: AttemptSpec, resolved: Result<Resolved, PullError>) {
        let attempt = spec.attempt;
        let mut attempts = self.attempts();
        if !matches!(attempts.known.get(&attempt), Some(Phase::Resolving(_))) {
            return;
        }
        match resolved {
            Err(error) => {
                let waited = attempts.known.remove(&attempt);
                drop(attempts);
                drop(waited);
                let reason = matchable(&format!("CannotPullContainerError: {error}"));
                self.report(attempt, AttemptEvent::ended(Ending::CouldNotStart { reason }));
            }
            Ok(Resolved::Module(digest)) => {
                let waited = attempts.known.remove(&attempt);
                // Under the lock, so that whoever wants to stop it finds it here or there.
                self.start_module(spec, digest);
                drop(attempts);
                drop(waited);
            }
            Ok(Resolved::Image(image)) => {
                let waited = attempts.known.insert(attempt, Phase::Beginning { stop: false });
                drop(attempts);
                drop(waited);
                let shared = Arc::clone(self);
                if let Err(error) = self.spawn("container", move || attempt::serve(&shared, spec, image)) {
                    self.could_not_start(attempt, &format!("ResourceInitializationError: no thread: {error}"));
                }
            }
        }
    }

    /// What was called an image turned out to be a module.
    fn start_module(&self, spec: AttemptSpec, digest: Digest) {
        if let Some(need) = spec.container.needs_of_a_module() {
            let reason = matchable(&format!("ResourceInitializationError: {need}"));
            return self.report(spec.attempt, AttemptEvent::ended(Ending::CouldNotStart { reason }));
        }
        self.behind.start(AttemptSpec { program: Program::Stored { digest }, ..spec });
    }

    /// Whether the attempt is one of a container's.
    fn stop(&self, attempt: AttemptId) -> bool {
        let mut attempts = self.attempts();
        match attempts.known.get_mut(&attempt) {
            None => false,
            Some(Phase::Beginning { stop }) => {
                *stop = true;
                true
            }
            Some(Phase::Running(conversation)) => {
                conversation.stop();
                true
            }
            Some(Phase::Resolving(_)) => {
                let waited = attempts.known.remove(&attempt);
                drop(attempts);
                drop(waited);
                self.report(attempt, AttemptEvent::ended(Ending::Stopped));
                true
            }
        }
    }

    /// The attempt has a container now; whether that is to be stopped at once.
    pub(crate) fn begun(&self, attempt: AttemptId, conversation: Conversation) {
        let mut attempts = self.attempts();
        if let Some(Phase::Beginning { stop: true }) = attempts.known.get(&attempt) {
            conversation.stop();
        }
        attempts.known.insert(attempt, Phase::Running(conversation));
    }

    /// Whether the attempt was asked to stop before it had a container.
    pub(crate) fn is_stopped(&self, attempt: AttemptId) -> bool {
        matches!(self.attempts().known.get(&attempt), Some(Phase::Beginning { stop: true }))
    }

    pub(crate) fn could_not_start(&self, attempt: AttemptId, reason: &str) {
        self.finish(attempt, Ending::CouldNotStart { reason: matchable(reason) }, None);
    }

    /// Tells an attempt's end.
    pub(crate) fn finish(&self, attempt: AttemptId, ending: Ending, usage: Option<Usage>) {
        self.attempts().known.remove(&attempt);
        self.report(attempt, AttemptEvent::Ended { ending, usage });
    }

    fn told(&self) -> MutexGuard<'_, HashMap<AttemptId, SyncSender<()>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells an attempt's end and waits until it is kept for good; `false` when this process ends
    /// first.
    pub(crate) fn finish_for_good(&self, attempt: AttemptId, ending: Ending, usage: Option<Usage>) -> bool {
        let (settled, wait) = sync_channel(1);
        {
            let attempts = self.attempts();
            if attempts.closing {
                drop(attempts);
                self.leave(attempt);
                return false;
            }
            self.told().insert(attempt, settled);
        }
        self.finish(attempt, ending, usage);
        wait.recv().is_ok()
    }

    /// The attempt's container goes on without this process.
    pub(crate) fn leave(&self, attempt: AttemptId) {
        self.attempts().known.remove(&attempt);
    }

    fn adopt(self: &Arc<Self>, folder: &ContainerFolder, order: &crate::folder::Order, lines: u64) {
        let attempt = order.spec.attempt;
        self.attempts().known.insert(attempt, Phase::Beginning { stop: false });
        let held = attempt::Held::again(self, order);
        let (shared, folder) = (Arc::clone(self), folder.clone());
        if let Err(error) = self.spawn("container", move || attempt::adopt(&shared, &folder, attempt, held, lines)) {
            tracing::error!(%attempt, %error, "a container can't be followed");
            self.finish(attempt, Ending::Lost, None);
        }
    }

    /// Ends and removes a container that nobody wants.
    fn discard(self: &Arc<Self>, folder: ContainerFolder) {
        let held = folder.order().ok().map(|order| attempt::Held::again(self, &order));
        let (shared, removing) = (Arc::clone(self), folder.clone());
        let removed = self.spawn("discard", move || {
            attempt::destroy(&shared, &removing);
            drop(held);
        });
        if removed.is_err() {
            attempt::destroy(self, &folder);
        }
    }

    fn walls(&self) -> Vec<Wall> {
        let runtime = match &self.options.runtime {
            Ok(runtime) => runtime.version.clone(),
            Err(why) => format!("images are refused: {why}"),
        };
        let users = match (&self.options.runtime, &self.ranges) {
            (Err(_), _) => return vec![Wall { name: "container runtime", state: Ok(runtime) }],
            (Ok(_), Some(_)) => Ok("65536 of each container's own".to_owned()),
            (Ok(_), None) => Err("the node's own user".to_owned()),
        };
        let disk = match &self.disks {
            Ok(_) => Ok("a file system on disk for each container".to_owned()),
            Err(why) => Err(format!("what containers write to disk has no bound: {why}")),
        };
        vec![
            Wall { name: "container runtime", state: Ok(runtime) },
            Wall { name: "container users", state: users },
            Wall { name: "container disk", state: disk },
        ]
    }

    fn shutdown(&self) {
        let mut attempts = self.attempts();
        attempts.closing = true;
        let waiting = attempts.known.extract_if(|_, phase| matches!(phase, Phase::Resolving(_)));
        let waiting: Vec<_> = waiting.collect();
        drop(attempts);
        for (attempt, phase) in waiting {
            drop(phase);
            self.report(attempt, AttemptEvent::ended(Ending::Lost));
        }
        // Whoever waits for a word of the writer waits no longer; what it told is told again.
        self.told().clear();
        drop(self.opener.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Ok(disks) = &self.disks {
            disks.close();
        }
        ContainerGroup::remove_common();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of a container had panicked");
            }
        }
    }
}
