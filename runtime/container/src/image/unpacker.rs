//! The processes that unpack: one an archive, each in its jail.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::{DirBuilderExt as _, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmbatch_jail::{
    Cgroup, CgroupRoot, Killer, NamespaceKind, Namespaces, ProcessEnd, Spawner, UserMap, WorkerCommand, WorkerProcess,
    grant, scratch, socket,
};

use crate::unpack::wire::{self, Form, Orders, Report, Unpacked};

/// Memory of one process, where cgroups are.
const MOST_MEMORY: u64 = 512 << 20;
/// It has one; one more for whatever the C library thinks of.
const MOST_PROCESSES: u32 = 4;
/// How long it may take to remove a layer.
const REMOVAL: Duration = Duration::from_secs(600);

/// Begins processes that unpack.
#[derive(Debug)]
pub(crate) struct Unpacker {
    command: Vec<OsString>,
    spawner: Spawner,
    cgroups: CgroupRoot,
    users: UserMap,
    /// Why nothing can be unpacked here.
    impossible: Option<String>,
}

/// What an archive may come to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// How long it may take.
    pub(crate) time: Duration,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

/// A process at work. Dropping it ends it. In this order: the process is gone before what it used is
/// taken apart.
#[derive(Debug)]
pub(crate) struct Running {
    process: WorkerProcess,
    socket: OwnedFd,
    cgroup: Option<Cgroup>,
    folder: Folder,
}

/// Why an archive wasn't unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// The archive is at fault.
    #[error("{0}")]
    Refused(String),
    /// This node is.
    #[error("unpacking failed: {0}")]
    Io(#[from] io::Error),
}

impl Unpacker {
    pub(crate) fn new(command: Vec<OsString>, image_uid_base: u32) -> io::Result<Self> {
        let (_, no_namespaces) = NamespaceKind::of_this_host();
        Ok(Self {
            command,
            spawner: Spawner::start()?,
            cgroups: CgroupRoot::open(),
            users: UserMap::of_this_host(image_uid_base),
            impossible: no_namespaces,
        })
    }

    /// The user and group of this host that are root in images.
    pub(crate) fn owner(&self) -> (u32, u32) {
        match self.users {
            UserMap::Range { first, .. } => (first, first),
            UserMap::Own | UserMap::Subordinate { .. } => {
                (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
            }
        }
    }

    /// Begins to unpack an archive into a new folder.
    ///
    /// # Errors
    /// No process can be begun.
    pub(crate) fn begin(
        &self,
        archive: File,
        form: Form,
        bounds: Bounds,
        folder: Folder,
    ) -> Result<Running, UnpackError> {
        if let Some(why) = &self.impossible {
            return Err(UnpackError::Io(io::Error::other(why.clone())));
        }
        let (ours, theirs) = socket::pair()?;
        socket::set_receive_timeout(&ours, bounds.time)?;
        let mut descriptors = vec![theirs, archive.into()];
        let target = match self.users {
            UserMap::Range { first, .. } => {
                lchown(folder.path(), Some(first), Some(first))?;
                descriptors.push(grant::detached(folder.path())?);
                None
            }
            // Root of its own namespace, it may mount for itself, and the folder is its own.
            UserMap::Own | UserMap::Subordinate { .. } => Some(folder.path().to_owned()),
        };
        let cgroup = self.cgroup()?;
        let command = WorkerCommand {
            command: self.command.clone(),
            descriptors,
            namespaces: Namespaces { kind: NamespaceKind::Unprivileged, host_network: false },
            cgroup: cgroup.as_ref().map(Cgroup::entry).transpose()?,
        };
        let process = self.spawner.spawn_mapped(command, self.users).map_err(|error| {
            // The kernel has strange words for hosts without user namespaces.
            io::Error::new(error.kind(), format!("no process in a user namespace of its own: {error}"))
        })?;
        let orders =
            Orders { form, target, most_bytes: bounds.bytes, most_entries: bounds.entries, users: self.users.count() };
        let running = Running { process, socket: ours, cgroup, folder };
        // A process that is gone already says why when it is waited for.
        let _ = wire::send(running.socket.as_fd(), &orders);
        Ok(running)
    }

    /// Removes a file or a folder with all that is in it, whatever an image made of it. Follows no link.
    ///
    /// # Errors
    /// Something stays.
    pub(crate) fn remove(self: &Arc<Self>, path: &Path) -> io::Result<()> {
        match (remove(path), self.users) {
            // Users that were set aside for this one own what it can't remove by itself.
            (Err(error), UserMap::Subordinate { .. }) if error.kind() == io::ErrorKind::PermissionDenied => {
                let folder = Folder { path: path.to_owned(), kept: true, unpacker: Arc::clone(self) };
                let bounds = Bounds { time: REMOVAL, bytes: 0, entries: 0 };
                let running = self.begin(File::open("/dev/null")?, Form::Nothing, bounds, folder);
                running.and_then(Running::finish).map_err(io::Error::other)?;
                remove(path)
            }
            (removed, _) => removed,
        }
    }

    fn cgroup(&self) -> io::Result<Option<Cgroup>> {
        if self.cgroups.is_empty() {
            return Ok(None);
        }
        let mut cgroup = self.cgroups.create(MOST_PROCESSES)?;
        cgroup.limit_memory(MOST_MEMORY)?;
        cgroup.yield_cpu()?;
        Ok(Some(cgroup))
    }
}

impl Running {
    /// Ends it from another thread.
    pub(crate) fn killer(&self) -> Killer {
        self.process.killer()
    }

    /// Waits for its end. Blocks.
    ///
    /// # Errors
    /// The archive was refused, or the process failed.
    pub(crate) fn finish(mut self) -> Result<(Unpacked, Folder), UnpackError> {
        let report = match wire::receive::<Report>(self.socket.as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(UnpackError::Refused("it takes too long".to_owned()));
            }
            report => report?,
        };
        let end = self.process.wait()?;
        match report {
            Some(Report::Unpacked(unpacked)) => {
                let Self { folder, .. } = self;
                Ok((unpacked, folder))
            }
            Some(Report::Refused(why)) => Err(UnpackError::Refused(why)),
            None => Err(self.died(end)),
        }
    }

    fn died(&self, end: ProcessEnd) -> UnpackError {
        if self.cgroup.as_ref().is_some_and(|cgroup| cgroup.memory_kills() > 0) {
            return UnpackError::Refused("it takes more memory than unpacking may".to_owned());
        }
        let said = self.process.stderr_text();
        let said = said.lines().next().unwrap_or_default();
        UnpackError::Io(io::Error::other(format!("the unpacking process ended with {end:?} {said}")))
    }
}

/// The folder for what isn't whole yet. What is in it when the store is opened goes.
#[derive(Debug, Clone)]
pub(crate) struct Temporary {
    path: PathBuf,
    next: Arc<AtomicU64>,
    unpacker: Arc<Unpacker>,
}

/// A new folder among what isn't whole yet; removed when it is dropped, whatever is in it.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    kept: bool,
    unpacker: Arc<Unpacker>,
}

impl Temporary {
    pub(crate) fn new(path: PathBuf, unpacker: Arc<Unpacker>) -> Self {
        Self { path, next: Arc::default(), unpacker }
    }

    /// Where all of it lies.
    pub(crate) fn home(&self) -> &Path {
        &self.path
    }

    /// A path that nothing has, in the same file system.
    pub(crate) fn path(&self, kind: &str) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("{kind}-{}-{number}", std::process::id()))
    }

    /// The partial file of a download.
    pub(crate) fn partial(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.part"))
    }

    pub(crate) fn folder(&self) -> io::Result<Folder> {
        let path = self.path("folder");
        // What a root folder has that no entry of its layer describes; nobody else gets as far as here.
        fs::DirBuilder::new().mode(0o755).create(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Folder { path, kept: false, unpacker: Arc::clone(&self.unpacker) })
    }

    /// Takes something that is to go, so that it isn't found where it was any more; what is returned
    /// removes it when it is dropped.
    pub(crate) fn take(&self, path: &Path) -> io::Result<Option<Folder>> {
        let taken = self.path("gone");
        match fs::rename(path, &taken) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            moved => {
                moved?;
                Ok(Some(Folder { path: taken, kept: false, unpacker: Arc::clone(&self.unpacker) }))
            }
        }
    }
}

impl Folder {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, once it is whole and written out.
    pub(crate) fn become_part(mut self, path: &Path) -> io::Result<()> {
        rustix::fs::syncfs(File::open(self.path.parent().unwrap_or(&self.path))?)?;
        fs::rename(&self.path, path)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = self.unpacker.remove(&self.path)
        {
            tracing::warn!(error = %error, "a folder of an image is not removed, the next start tries again");
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if !metadata.is_dir() {
        return fs::remove_file(path);
    }
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use std::os::unix::fs::PermissionsExt as _;
    // Nobody but us can put a link here: the folder above is ours alone.
    if metadata.permissions().mode() & 0o700 != 0o700 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    scratch::empty(openat(CWD, path, flags, Mode::empty())?)?;
    fs::remove_dir(path)
}
