//! The file systems of a container.

use std::path::PathBuf;

use oci_spec::runtime::Mount;
use wasmbatch_executor::{NetworkAccess, Tmpfs};

use super::command::{INIT, OWN, parts};
use super::error::SpecError;
use super::plan::{Identity, Plan};

/// Docker's size of `/dev/shm`.
const SHARED_MEMORY_BYTES: u64 = 64 << 20;
/// The group of terminals in every distribution.
const TTY_GROUP: u32 = 5;
/// Mount options of a job's tmpfs that are words; `suid` and `dev` are missing on purpose.
const WORDS: [&str; 16] = [
    "ro",
    "rw",
    "nosuid",
    "nodev",
    "noexec",
    "exec",
    "sync",
    "async",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
];
/// The last of them.
const NOSTRICTATIME: &str = "nostrictatime";
/// Mount options of a job's tmpfs that have a number behind them.
const NUMBERS: [&str; 5] = ["mode", "uid", "gid", "nr_inodes", "nr_blocks"];

/// All mounts, in the order in which they are made.
pub(super) fn mounts(plan: &Plan<'_>) -> Result<Vec<Mount>, SpecError> {
    let mut mounts = base(plan);
    if let Some(init) = plan.init {
        mounts.push(bind(init.to_owned(), INIT, true));
    }
    match plan.identity {
        Identity::Range { .. } | Identity::Inner { .. } => mounts.extend(device_nodes(plan)),
        Identity::Host => {}
    }
    mounts.extend(of_the_job(plan)?);
    for edit in &plan.edits.mounts {
        mounts.push(mount(&edit.container_path, &edit.kind, edit.host_path.clone(), edit.options.clone()));
    }
    Ok(mounts)
}

/// What every container has. There is no `/sys` and no cgroup: they show the host.
fn base(plan: &Plan<'_>) -> Vec<Mount> {
    let mut terminals = words(&["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
    if plan.identity.ids() > TTY_GROUP {
        terminals.push(format!("gid={TTY_GROUP}"));
    }
    let shared = plan.settings.shared_memory_bytes.unwrap_or(SHARED_MEMORY_BYTES);
    let mut shared_options = words(&["nosuid", "noexec", "nodev", "mode=1777"]);
    shared_options.push(format!("size={shared}"));
    let quiet = ["nosuid", "noexec", "nodev"];
    let mut mounts = vec![
        mount("/proc", "proc", "proc", words(&quiet)),
        mount("/dev", "tmpfs", "tmpfs", words(&["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"])),
        mount("/dev/pts", "devpts", "devpts", terminals),
        mount("/dev/shm", "tmpfs", "shm", shared_options),
    ];
    match plan.identity {
        Identity::Range { .. } | Identity::Inner { .. } => {}
        Identity::Host => mounts.push(mount("/sys", "sysfs", "sysfs", words(&quiet))),
    }
    mounts
}

/// The host's own nodes, in place of those that a user namespace can't make.
fn device_nodes(plan: &Plan<'_>) -> impl Iterator<Item = Mount> {
    let devices = plan.devices.iter().chain(&plan.edits.devices);
    devices.map(|device| {
        mount(&device.container_path, "bind", device.host_path.clone(), words(&["bind", "nosuid", "noexec"]))
    })
}

/// What the job asks for, outer folders before those in them.
fn of_the_job(plan: &Plan<'_>) -> Result<Vec<Mount>, SpecError> {
    let mut mounts: Vec<(Vec<&str>, Mount)> = Vec::new();
    for asked in plan.mounts {
        let destination = destination(&asked.destination)?;
        let path = format!("/{}", destination.join("/"));
        let mut mount = bind(asked.source.clone(), &path, asked.read_only);
        if let Some(options) = mount.options_mut().as_mut().filter(|_| asked.no_exec) {
            options.push("noexec".to_owned());
        }
        mounts.push((destination, mount));
    }
    for asked in &plan.settings.tmpfs {
        mounts.push((destination(&asked.container_path)?, tmpfs(asked, plan.identity)?));
    }
    mounts.sort_by_key(|(destination, _)| destination.len());
    for (index, (destination, mount)) in mounts.iter().enumerate() {
        if mounts.iter().skip(index.saturating_add(1)).any(|(other, _)| other == destination) {
            return Err(SpecError::Twice(mount.destination().display().to_string()));
        }
    }
    Ok(mounts.into_iter().map(|(_, mount)| mount).collect())
}

/// The names of a path at which a job may have something mounted.
pub(super) fn destination(path: &str) -> Result<Vec<&str>, SpecError> {
    let refused = || SpecError::Destination(path.to_owned());
    let parts = parts(path).ok_or_else(refused)?;
    match parts.first() {
        Some(first) if !OWN.contains(first) => Ok(parts),
        Some(_) | None => Err(refused()),
    }
}

fn tmpfs(asked: &Tmpfs, identity: Identity) -> Result<Mount, SpecError> {
    let path = &asked.container_path;
    if asked.bytes == 0 {
        return Err(SpecError::TmpfsSize(path.clone()));
    }
    let mut options = words(&["nosuid", "nodev", "noexec"]);
    // As mount(8) has it, this one asks for nothing.
    for option in asked.options.iter().filter(|option| *option != "defaults") {
        if !allowed(option, identity) {
            return Err(SpecError::TmpfsOption { path: path.clone(), option: option.clone() });
        }
        options.push(option.clone());
    }
    // The last one counts, also against nr_blocks, which says the same in pages.
    options.push(format!("size={}", asked.bytes));
    let path = format!("/{}", destination(path)?.join("/"));
    Ok(mount(&path, "tmpfs", "tmpfs", options))
}

fn allowed(option: &str, identity: Identity) -> bool {
    let Some((name, value)) = option.split_once('=') else {
        return option == NOSTRICTATIME || WORDS.contains(&option);
    };
    let digits = !value.is_empty() && value.len() <= 10 && value.bytes().all(|byte| byte.is_ascii_digit());
    NUMBERS.contains(&name)
        && digits
        && match name {
            "mode" => u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o1777),
            "uid" | "gid" => value.parse().is_ok_and(|id: u32| id < identity.ids()),
            _ => true,
        }
}

fn bind(source: PathBuf, destination: &str, read_only: bool) -> Mount {
    let access = if read_only { "ro" } else { "rw" };
    mount(destination, "bind", source, words(&["bind", "nosuid", "nodev", access]))
}

fn mount(destination: &str, kind: &str, source: impl Into<PathBuf>, options: Vec<String>) -> Mount {
    let mut mount = Mount::default();
    mount.set_destination(destination.into()).set_typ(Some(kind.to_owned()));
    mount.set_source(Some(source.into())).set_options(Some(options));
    mount
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Whether a container has a network of its own, with nothing in it.
pub(super) fn own_network(network: NetworkAccess) -> bool {
    match network {
        NetworkAccess::None => true,
        NetworkAccess::Host => false,
    }
}
