//! The container's root folder, in a mount namespace that only its shim and the container have.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use wasmbatch_executor::{Mount, MountSource, NetworkAccess};
use wasmbatch_jail::mounts::{self, Overlay, OwnerShift};
use wasmbatch_jail::{AllowedFolders, IdMap, grant, scratch};

use crate::folder::{Order, Users};
use crate::oci::RANGE_SIZE;

/// Folders of which one is covered by what the container needs. Its parents must let anybody through,
/// since the container's first process is nobody to the host; the node's own folder doesn't.
const SITES: [&str; 8] = ["/mnt", "/media", "/srv", "/opt", "/boot", "/home", "/var/tmp", "/tmp"];
/// Mode of a folder that nothing describes.
const USUAL_MODE: u32 = 0o755;
/// What the folder of mount points may take, bytes.
const SITE_BYTES: u64 = 4 << 20;
/// Longest file of the host that name lookup wants, bytes.
const MOST_NETWORK_FILE: u64 = 256 * 1024;
/// Empty folders that every container has, whatever its image has in their place: where the runtime
/// mounts.
const FOLDERS: [&str; 3] = ["dev", "proc", "sys"];

/// A root folder, mounted.
#[derive(Debug)]
pub(crate) struct Rootfs {
    site: PathBuf,
    /// The folder that changes and empty volumes are in, open for reading.
    changes: OwnedFd,
}

/// What goes wrong before anything runs, fit for the job's owner.
#[derive(Debug)]
pub(crate) struct Unmountable(pub(crate) String);

fn at(step: &str) -> impl Fn(io::Error) -> Unmountable {
    move |error| Unmountable(format!("ResourceInitializationError: {step}: {error}"))
}

impl Rootfs {
    /// Mounts all of it. This process must have a mount namespace of its own. `changes` is the folder
    /// for changes where there is no disk.
    pub(crate) fn mount(order: &Order, changes: &Path) -> Result<Self, Unmountable> {
        let site = site(order, changes)
            .ok_or_else(|| at("mounting")(io::Error::other("no folder of the host can be covered")))?;
        let memory = mounts::memory(SITE_BYTES).map_err(at("mounting memory"))?;
        mounts::attach(memory, &site).map_err(at("mounting memory"))?;
        rustix::process::chdir(&site).map_err(|error| at("mounting")(error.into()))?;
        let changes = attach_changes(order, changes).map_err(at("the disk of the container"))?;
        let rootfs = Self { site, changes };
        rootfs.put_up(order).map_err(at("the layers of the image"))?;
        Ok(rootfs)
    }

    /// Where the container's root is.
    pub(crate) fn root(&self) -> PathBuf {
        self.site.join("root")
    }

    /// A folder for files of ours that the container gets to see.
    pub(crate) fn site(&self) -> &Path {
        &self.site
    }

    fn put_up(&self, order: &Order) -> io::Result<()> {
        let owner = owner(order.users);
        make_base(owner, order)?;
        let mut lower = vec!["base".to_owned()];
        lower.extend(attach_layers(order)?);
        let changes = if order.spec.read_only_root { "few" } else { "changes" };
        fs::create_dir_all("few")?;
        for name in ["up", "work"] {
            fs::create_dir(format!("{changes}/{name}"))?;
        }
        let (upper, work) = (format!("{changes}/up"), format!("{changes}/work"));
        fs::set_permissions(&upper, fs::Permissions::from_mode(root_mode(&lower[1..])?))?;
        chown(&upper, Some(owner), Some(owner))?;
        fs::create_dir("root")?;
        mounts::overlay(&Overlay { lower: &lower, upper: &upper, work: &work }, &self.root())
    }

    /// Mounts a volume where the runtime can bind it from. `user` and `group` are the process's.
    pub(crate) fn volume(
        &self,
        order: &Order,
        number: usize,
        mount: &Mount,
        user: u32,
        group: u32,
    ) -> Result<PathBuf, Unmountable> {
        let place = PathBuf::from(format!("volume-{number}"));
        let refused = |what: String| Unmountable(format!("ResourceInitializationError: {what}"));
        let failed = |error: io::Error| refused(format!("a volume: {error}"));
        fs::create_dir(&place).map_err(failed)?;
        match &mount.source {
            MountSource::Host(path) => {
                let allowed = AllowedFolders::open(&order.allowed)
                    .map_err(|(path, error)| refused(format!("{}: {error}", path.display())))?;
                let folder = allowed
                    .open_folder(path)
                    .map_err(|error| refused(wasmbatch_executor::refusal("folder", path, &error)))?;
                let shown = match order.users {
                    Users::Range { first, .. } => {
                        let who = (first.saturating_add(user), first.saturating_add(group));
                        grant::grant(&folder, who, mount.read_only, grant::Programs::Run)
                    }
                    Users::Host { .. } | Users::Inner { .. } => mounts::clone_of(&folder),
                };
                let shown = shown.map_err(|error| {
                    refused(format!("folder {} cannot be shown to the job as its own: {error}", path.display()))
                })?;
                mounts::attach(shown, &place).map_err(failed)?;
                Ok(self.site.join(place))
            }
            MountSource::Empty => {
                let folder = self.site.join("changes").join(place);
                fs::create_dir(&folder).map_err(failed)?;
                let owner = owner(order.users);
                chown(&folder, Some(owner.saturating_add(user)), Some(owner.saturating_add(group))).map_err(failed)?;
                Ok(folder)
            }
        }
    }

    /// Takes the root folder apart and empties the disk; whether that is as it was.
    pub(crate) fn take_down(&self) -> bool {
        mounts::detach(&self.root()).and_then(|()| scratch::empty(&self.changes)).is_ok()
    }
}

/// The mode of the image's root folder: of the topmost layer that says anything but the usual, which
/// those have that say nothing.
fn root_mode(layers: &[String]) -> io::Result<u32> {
    for layer in layers {
        let mode = fs::metadata(layer)?.permissions().mode() & 0o1777;
        if mode != USUAL_MODE {
            return Ok(mode);
        }
    }
    Ok(USUAL_MODE)
}

/// What the container's user 0 is to this process.
fn owner(users: Users) -> u32 {
    match users {
        Users::Range { first, .. } => first,
        Users::Host { .. } | Users::Inner { .. } => 0,
    }
}

/// A folder to cover: none that anything of this container lies below.
fn site(order: &Order, changes: &Path) -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    let needed = || {
        let layers = order.layers.iter().map(PathBuf::as_path);
        layers.chain(order.allowed.iter().map(PathBuf::as_path)).chain([&*order.runtime, changes]).chain(own.as_deref())
    };
    let usable = |site: &&Path| site.is_dir() && !needed().any(|path| path.starts_with(site));
    SITES.iter().map(Path::new).find(usable).map(Path::to_owned)
}

/// Mounts what changes go to, which is empty. `folder` is for them where there is no disk.
fn attach_changes(order: &Order, folder: &Path) -> io::Result<OwnedFd> {
    fs::create_dir("changes")?;
    let mount = match &order.disk {
        Some(device) => mounts::device(device)?,
        None => {
            fs::create_dir(folder)?;
            mounts::clone_of(&openat(CWD, folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)?
        }
    };
    mounts::attach(mount, Path::new("changes"))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let changes = openat(CWD, "changes", flags, Mode::empty())?;
    // A new file system has a folder of its own in it, a used one may have more.
    scratch::empty(&changes)?;
    Ok(changes)
}

/// Folders and files that lie over the image's.
fn make_base(owner: u32, order: &Order) -> io::Result<()> {
    let own = |path: &str, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        chown(path, Some(owner), Some(owner))
    };
    fs::create_dir("base")?;
    own("base", 0o755)?;
    for name in FOLDERS.iter().chain(["etc"].iter()) {
        let path = format!("base/{name}");
        fs::create_dir(&path)?;
        own(&path, 0o755)?;
    }
    let of_host = |name: &str| {
        let mut text = Vec::new();
        let file = File::open(Path::new("/etc").join(name)).ok()?;
        file.take(MOST_NETWORK_FILE).read_to_end(&mut text).ok()?;
        Some(text)
    };
    let (hosts, servers) = match order.spec.network {
        NetworkAccess::Host => (of_host("hosts"), of_host("resolv.conf")),
        NetworkAccess::None => (None, None),
    };
    let hosts = hosts.unwrap_or_else(|| b"127.0.0.1 localhost\n::1 localhost\n".to_vec());
    let files = [("hosts", Some(hosts)), ("resolv.conf", servers), ("hostname", Some(b"localhost\n".to_vec()))];
    for (name, text) in files {
        let path = format!("base/etc/{name}");
        fs::write(&path, text.unwrap_or_default())?;
        own(&path, 0o644)?;
    }
    Ok(())
}

/// Mounts every layer once, the topmost first: what lies below the same again shows nothing new.
fn attach_layers(order: &Order) -> io::Result<Vec<String>> {
    let shift = match order.users {
        Users::Range { first, images } => {
            Some(OwnerShift::new(IdMap { inside: images, outside: first, count: RANGE_SIZE })?)
        }
        Users::Host { images } => Some(OwnerShift::new(IdMap { inside: images, outside: 0, count: RANGE_SIZE })?),
        Users::Inner { .. } => None,
    };
    let mut names = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for layer in order.layers.iter().filter(|layer| seen.insert(layer.as_path())) {
        let name = names.len().to_string();
        fs::create_dir(&name)?;
        let mount = match &shift {
            Some(shift) => mounts::shifted(layer, shift)?,
            None => mounts::clone_of(&openat(CWD, layer, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)?,
        };
        mounts::attach(mount, Path::new(&name))?;
        names.push(name);
    }
    Ok(names)
}
